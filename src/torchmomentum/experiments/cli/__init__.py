"""The command line, ``torchmomentum``: a file for each command, ``add`` its options and ``run`` it.

It imports torch only once there is something to do.
"""

from torchmomentum.experiments.cli.entry import main

__all__ = ["main"]
