"""Where data lies, and how it gets there."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.files import write_bytes

VARIABLE = "TORCHMOMENTUM_DATA"
_TIMEOUT = 30  # seconds without an answer
_BLOCK = 1 << 20


def data_folder(given: str | None) -> Path:
    """The data folder: ``--data-dir``, else ``TORCHMOMENTUM_DATA``, else a cache of this user."""
    if given:
        return Path(given).expanduser()
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "torchmomentum"


def sha256(content: bytes) -> str:
    """The checksum of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _receive(url: str, part: Path) -> None:
    """Downloads into ``part``, going on from what it already holds where the server can."""
    held = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={held}-"} if held else {})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        resumed = answer.status == 206
        with part.open("ab" if resumed else "wb") as file:
            while block := answer.read(_BLOCK):
                file.write(block)


def download(mirrors: Sequence[str], target: Path) -> None:
    """Downloads a file from the first mirror that answers. The caller verifies what came.

    Raises:
        UsageError: No mirror answered.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    failures: list[str] = []
    try:
        for url in mirrors:
            try:
                _receive(url, part)
            except (urllib.error.URLError, OSError, ValueError) as error:
                failures.append(f"{url}: {error}")
                continue
            write_bytes(target, part.read_bytes())
            return
    finally:
        part.unlink(missing_ok=True)
    raise UsageError(f"could not download {target.name}: {'; '.join(failures)}")
