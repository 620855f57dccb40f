"""TIMIT as log-magnitudes of spectra, from a user's own copy."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from torchmomentum.experiments.data.audio import log_magnitudes, read_audio
from torchmomentum.experiments.data.damage import damaged, read_file
from torchmomentum.experiments.data.timit_files import utterances

_LARGEST = 1 << 24  # bytes of a recording


def _sentence(path: Path) -> Tensor:
    found = log_magnitudes(read_audio(read_file(path, _LARGEST), str(path)))
    if len(found) < 2:  # one to predict from, one to predict
        raise damaged(path, "it is shorter than two frames")
    return found


def load_timit(folder: Path) -> dict[str, list[Tensor]]:
    """For ``train``, ``validation`` and ``test`` the log-magnitudes ``(T, 129)`` of each sentence.

    Raises:
        UsageError: TIMIT is not there, not whole, or a file is damaged; the message names it.
    """
    return {part: [_sentence(path) for path in paths] for part, paths in utterances(folder).items()}
