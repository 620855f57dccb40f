"""Downloads, verified before they get their name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torchmomentum.experiments.data.folder import VARIABLE
from torchmomentum.experiments.errors import UsageError

_TIMEOUT = 30  # seconds without an answer
_BLOCK = 1 << 20  # bytes


def download(mirrors: Sequence[str], target: Path, sha256: str) -> None:
    """Downloads a file from the first mirror that has it as it should be.

    The file is whole or not there: it is received under another name in the same folder, and
    renamed once its checksum is right.

    Args:
        mirrors: Addresses, tried in this order.
        target: The file to write.
        sha256: Its checksum, in hexadecimal.

    Raises:
        UsageError: No mirror gave the file, or pooch is not installed.
    """
    try:
        import pooch
    except ImportError as error:
        raise UsageError("pooch is missing: pip install 'torchmomentum[experiments]'") from error
    failures: list[str] = []
    for url in mirrors:
        try:
            pooch.retrieve(
                url,
                known_hash=f"sha256:{sha256}",
                fname=target.name,
                path=target.parent,
                downloader=pooch.HTTPDownloader(timeout=_TIMEOUT, chunk_size=_BLOCK),
            )
        except (OSError, ValueError) as error:
            failures.append(f"{url}: {' '.join(str(error).split())}")
            continue
        target.chmod(0o644)  # temporary files are their owner's alone
        return
    raise UsageError(
        f"could not download {target.name}: {'; '.join(failures)}. Place {target} (sha256 "
        f"{sha256}) yourself, or set --data-dir or {VARIABLE}"
    )
