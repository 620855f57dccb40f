"""Builds a wheel with the CPU kernels of every instruction set, so that no user needs a compiler.

``python -m tools.wheel [--out dist] [--platform manylinux_2_17_x86_64]``. The kernels know of no
Python and of no PyTorch: one wheel serves all of them on one kind of processor and system.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from torchmomentum.ops.cpu.build import compile_for, file_name, find_compiler
from torchmomentum.ops.cpu.isa import of_machine

ROOT = Path(__file__).parents[1]
_FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
_LARGEST = 2 * 2**20  # bytes
_STRIPPED = ["-Wl,-s"] if sys.platform == "linux" else []


def build_wheel(out: Path, name: str | None = None, machine: str | None = None) -> Path:
    """Builds a wheel from the working tree.

    Args:
        out: The folder that it is put into.
        name: The platform's tag; None for that of this machine.
        machine: The kind of processor, as ``platform.machine()`` names it; None for this one's.
            For another one ``CXX`` must name a compiler that makes its code.

    Raises:
        BuildError: A variant does not compile.
        ValueError: The wheel is larger than 2 MB.
    """
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        shutil.copytree(ROOT / "src", tree / "src", ignore=shutil.ignore_patterns("*.egg-info"))
        for file in _FILES:
            shutil.copy(ROOT / file, tree)
        bundled = tree / "src/torchmomentum/ops/cpu/bundled"
        bundled.mkdir()
        for isa in of_machine(machine or platform.machine()):
            compile_for(isa, bundled / file_name(isa), [*find_compiler(), *_STRIPPED])
        built = tree / "built"
        options = [f"--config-settings=--build-option=--plat-name={name}"] if name else []
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(built)]
        subprocess.run([*command, *options, str(tree)], check=True)
        (wheel,) = built.glob("*.whl")
        size = wheel.stat().st_size
        if size > _LARGEST:
            raise ValueError(f"a wheel must be at most {_LARGEST:,} bytes, got {size:,}")
        out.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(wheel, out))


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m tools.wheel", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("dist"), help="folder of the wheel")
    parser.add_argument("--platform", help="tag of the platform, say manylinux_2_17_x86_64")
    parser.add_argument("--machine", help="kind of processor, where CXX compiles for another")
    given = parser.parse_args()
    wheel = build_wheel(given.out, given.platform, given.machine)
    print(f"{wheel} ({wheel.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()
