"""``python -m torchmomentum.ops build``: builds the CPU kernels ahead of their first use."""

from __future__ import annotations

import argparse
import sys

from torchmomentum.ops.cpu.build import BuildError, build


def main() -> int:
    """Runs the command; 0 where the kernels are there afterwards."""
    parser = argparse.ArgumentParser(prog="python -m torchmomentum.ops", description=__doc__)
    commands = parser.add_subparsers(required=True)
    building = commands.add_parser("build", help="build the CPU kernels for this machine")
    building.add_argument("--force", action="store_true", help="even where the cache has them")
    options = parser.parse_args()
    try:
        print(build(force=options.force))
    except BuildError as error:
        print(f"torchmomentum: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
