"""``python -m torchmomentum``."""

import sys

from torchmomentum.experiments.cli import main

sys.exit(main())
