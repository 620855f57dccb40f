"""``python -m torchmomentum.experiments.cli``."""

import sys

from torchmomentum.experiments.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
