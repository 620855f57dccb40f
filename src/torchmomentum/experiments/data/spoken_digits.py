"""Free Spoken Digits, joined to sentences of one speaker each. Read from its zip file.

The 3,000 recordings are 50 of each digit by each of six speakers. Those with the numbers 0 to 4 are
for testing, as their authors say; here those with 5 to 9 are for validation.
"""

from __future__ import annotations

import re
import zipfile
from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor

from torchmomentum.experiments.data.audio import HOP, WINDOW, log_magnitudes, read_audio
from torchmomentum.experiments.data.batches import generator
from torchmomentum.experiments.data.damage import WholeFile, damaged, read_member, told
from torchmomentum.experiments.data.spoken_digits_files import find
from torchmomentum.experiments.errors import UsageError

FRAMES = 200  # that a sentence has at least
_COUNT = 3000
_LONGEST = 1 << 17  # bytes of a recording; the longest of theirs has a quarter of it
_NAME = re.compile(r"recordings/(\d)_(\w+)_(\d{1,4})\.wav$")
_JOINED = -5  # a kind of draws, apart from all seeds


def _part(number: int) -> str:
    return "test" if number < 5 else "validation" if number < 10 else "train"


def _recordings(path: Path) -> dict[tuple[str, str], list[Tensor]]:
    """The recordings of each set and speaker, in the order of their names."""
    found: dict[tuple[str, str], list[Tensor]] = defaultdict(list)
    with told(path), WholeFile(path) as stream, zipfile.ZipFile(stream) as archive:
        members = {each.filename: each for each in archive.infolist()}
        chosen = {name: match for name in sorted(members) if (match := _NAME.search(name))}
        if len(chosen) != _COUNT:
            raise UsageError(f"{path} should hold {_COUNT} recordings, has {len(chosen)}")
        for name, match in chosen.items():
            _, speaker, number = match.groups()
            samples = read_audio(read_member(archive, members[name], _LONGEST), f"{path}:{name}")
            found[_part(int(number)), speaker].append(samples)
    return found


def load_spoken_digits(folder: Path) -> dict[str, list[Tensor]]:
    """Sentences of spoken digits for training, validation and testing.

    Recordings of one speaker are joined in an order that is drawn once, the same in every run,
    until a sentence has 200 frames; what is left over at the end of a speaker is dropped.

    Returns:
        For ``train``, ``validation`` and ``test`` the log-magnitudes ``(T, 129)`` of each sentence.

    Raises:
        UsageError: The file is missing or damaged.
    """
    path = find(folder)
    recordings = _recordings(path)
    found: dict[str, list[Tensor]] = {"train": [], "validation": [], "test": []}
    for number, ((part, _), each) in enumerate(sorted(recordings.items())):
        order = torch.randperm(len(each), generator=generator(_JOINED, number))
        waiting: list[Tensor] = []
        for index in order.tolist():
            waiting.append(each[index])
            if sum(map(len, waiting)) >= WINDOW + (FRAMES - 1) * HOP:
                found[part].append(log_magnitudes(torch.cat(waiting)))
                waiting = []
    if not all(found.values()):
        raise damaged(path, f"a set has no sentence of {FRAMES} frames")
    return found
