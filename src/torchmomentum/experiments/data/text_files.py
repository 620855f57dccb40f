"""Text files by name: where they lie, their checksums, and where one comes from. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from torchmomentum.experiments.data.damage import read_file, told
from torchmomentum.experiments.data.download import download
from torchmomentum.experiments.data.folder import missing, verify_sha256, verify_size
from torchmomentum.experiments.errors import UsageError

_NO_TEXT = "is not a text in UTF-8"
_FOLDERS = ("text", "ptb", "penn", "")


class TextFile(NamedTuple):
    """A file that is known.

    Attributes:
        name: Of the file.
        size: Bytes.
        sha256: Of its content.
        mirrors: Where it may be downloaded from; none where its licence forbids.
    """

    name: str
    size: int
    sha256: str
    mirrors: tuple[str, ...] = ()


# Mikolov's version of the Penn Treebank; licensed by the LDC, so from a user's own copy alone
PTB = {
    "train": TextFile(
        "ptb.train.txt",
        5_101_618,
        "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
    ),
    "validation": TextFile(
        "ptb.valid.txt",
        399_782,
        "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
    ),
    "test": TextFile(
        "ptb.test.txt",
        449_945,
        "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
    ),
}
SHAKESPEARE = TextFile(
    "tinyshakespeare.txt",
    1_115_394,
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",),
)


def find(folder: Path, file: TextFile, *, offline: bool) -> Path | None:
    """A file's place; None where it has to be downloaded.

    Raises:
        UsageError: It is missing and cannot be downloaded, or of a wrong size.
    """
    for place in _FOLDERS:
        path = folder / place / file.name
        if path.is_file():
            verify_size(path, file.size)
            return path
    target = folder / _FOLDERS[0] / file.name
    if file.mirrors and not offline:
        return None
    remedy = f"place {target} (sha256 {file.sha256})"
    if file.mirrors:
        raise missing(file.name, folder, remedy, "leave out --offline")
    remedy = f"{remedy} (it cannot be downloaded)"
    raise missing(file.name, folder, remedy, "take words, which is free")


def check_ptb(folder: Path, *, offline: bool) -> None:
    """Checks that the Penn Treebank is there, without reading it.

    Raises:
        UsageError: It is not.
    """
    for file in PTB.values():
        find(folder, file, offline=offline)


def check_shakespeare(folder: Path, *, offline: bool) -> None:
    """Checks that the text is there or may be downloaded.

    Raises:
        UsageError: It is not, and may not.
    """
    find(folder, SHAKESPEARE, offline=offline)


def read_known(folder: Path, file: TextFile, *, offline: bool) -> str:
    """A known file's text, downloaded where it is not there and may be.

    Raises:
        UsageError: It is missing or damaged.
    """
    path = find(folder, file, offline=offline)
    if path is None:
        path = folder / _FOLDERS[0] / file.name
        download(file.mirrors, path, file.sha256, file.size)
    content = read_file(path, file.size)
    verify_sha256(path, content, file.sha256)
    with told(path, _NO_TEXT):
        return content.decode()


def read_own(name: Any) -> str:
    """The text of a user's own file, in UTF-8.

    Raises:
        UsageError: It is not there, or another kind of file.
    """
    path = Path(str(name)).expanduser()
    if name is None or not path.is_file():
        raise UsageError(f"file must be a text file: file=TEXT.txt, got {name}")
    with told(name, _NO_TEXT):
        return path.read_text(encoding="utf-8")
