"""TIMIT as log-magnitudes of spectra, from a user's own copy."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from torchmomentum.experiments.data.audio import log_magnitudes, read_audio
from torchmomentum.experiments.data.timit_files import utterances


def load_timit(folder: Path) -> dict[str, list[Tensor]]:
    """For ``train``, ``validation`` and ``test`` the log-magnitudes ``(T, 129)`` of each sentence.

    Raises:
        UsageError: TIMIT is not there, not whole, or a file is damaged; the message names it.
    """
    return {
        part: [log_magnitudes(read_audio(path.read_bytes(), str(path))) for path in paths]
        for part, paths in utterances(folder).items()
    }
