"""Whether a data set is there, told before anything slow begins. No torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from torchmomentum.experiments.data.cifar_files import NAMES, check_cifar
from torchmomentum.experiments.data.imagenet_files import check_imagenet
from torchmomentum.experiments.data.mnist_files import check_mnist
from torchmomentum.experiments.data.spoken_digits_files import check_spoken_digits
from torchmomentum.experiments.data.text_files import check_ptb, check_shakespeare
from torchmomentum.experiments.data.timit_files import check_timit
from torchmomentum.experiments.errors import check_name


def _digits(folder: Path, *, offline: bool) -> None:
    """Scikit-learn ships them."""


def _imagenet(folder: Path, *, offline: bool) -> None:
    check_imagenet(folder)


def _timit(folder: Path, *, offline: bool) -> None:
    check_timit(folder)


def _spoken_digits(folder: Path, *, offline: bool) -> None:
    check_spoken_digits(folder)


_CHECKS: dict[str, Callable[..., None]] = {
    "digits": _digits,
    "mnist": check_mnist,
    **{name: partial(check_cifar, name) for name in NAMES},
    "imagenet": _imagenet,
    "timit": _timit,
    "spoken-digits": _spoken_digits,
    "ptb": check_ptb,
    "tinyshakespeare": check_shakespeare,
}
DATA_SETS = tuple(_CHECKS)


def check_data(name: str, folder: Path, *, offline: bool = False) -> None:
    """Checks that a data set's files are there or may be downloaded, without reading them.

    Args:
        name: A name of :data:`DATA_SETS`.
        folder: The data folder.
        offline: Nothing may be downloaded.

    Raises:
        UsageError: An unknown name, or what loading would raise for a missing file or one of a
            wrong size.
    """
    check_name("data set", name, DATA_SETS)
    _CHECKS[name](folder, offline=offline)
