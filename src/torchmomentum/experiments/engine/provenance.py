"""Where a result comes from: versions, hardware, command and commit."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import torchmomentum

_PACKAGES = ("lightning-fabric", "numpy", "scikit-learn", "scipy")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _git(*arguments: str) -> str | None:
    folder = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


# as this process began: what it runs is of that commit, whatever is committed meanwhile; of a
# repository that has this file, not one that an installed package happens to lie in
_OURS = _git("ls-files", "--error-unmatch", Path(__file__).name) is not None
_COMMIT = _git("rev-parse", "HEAD") if _OURS else None
_CHANGES = _git("status", "--porcelain", "--untracked-files=no") if _OURS else None


def without_passwords(text: str) -> str:
    """A text whose addresses have no passwords.

    Example:
        >>> without_passwords("--storage postgresql://me:secret@host/x")
        '--storage postgresql://me:***@host/x'
    """
    return re.sub(r"(://[^:/@\s]*):[^@\s]+@", r"\1:***@", text)


def provenance(command: list[str] | None = None) -> dict[str, Any]:
    """What a reader needs to judge or repeat a result.

    Args:
        command: The command line; by default this process's.
    """
    return {
        "command": without_passwords(" ".join(command or ["torchmomentum", *sys.argv[1:]])),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "torchmomentum": torchmomentum.__version__,
        "commit": _COMMIT,
        "uncommitted_changes": None if _CHANGES is None else bool(_CHANGES),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "packages": {name: _version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
