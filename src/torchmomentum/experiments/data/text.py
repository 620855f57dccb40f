"""Text as words: a vocabulary, and the numbers of the words of each part."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from torchmomentum.experiments.data.batches import generator
from torchmomentum.experiments.data.text_files import PTB, read_known
from torchmomentum.experiments.errors import UsageError

END, UNKNOWN = "<eos>", "<unk>"
_WORD = re.compile(r"<unk>|[^\W\d_]+(?:'[^\W\d_]+)*|\d+|[^\w\s]")  # words, numbers, punctuation
_HELD_OUT = 20  # of so many lines one is kept for validation and one for testing
_MADE = -7  # a kind of draws, apart from all seeds


class Text(NamedTuple):
    """A text in three parts.

    Attributes:
        words: The vocabulary.
        train: The words' numbers, ``(N,)``.
        validation: Likewise.
        test: Likewise.
    """

    words: Sequence[str]
    train: Tensor
    validation: Tensor
    test: Tensor


def _numbered(parts: Iterable[Sequence[str]], words: Sequence[str]) -> Text:
    number = {word: i for i, word in enumerate(words)}
    rows = [[number.get(word, number[UNKNOWN]) for word in part] for part in parts]
    return Text(words, *[torch.tensor(row, dtype=torch.long) for row in rows])


def load_ptb(folder: Path) -> Text:
    """The Penn Treebank's three files, whose 10,000 words are those of its training part.

    Each line ends in ``<eos>``, which is predicted like a word.

    Raises:
        UsageError: A file is missing or damaged.
    """
    texts = [read_known(folder, file, offline=True) for file in PTB.values()]
    parts = [[w for line in text.splitlines() for w in (*line.split(), END)] for text in texts]
    words = list(dict.fromkeys(parts[0]))
    if not all(parts) or UNKNOWN not in words:
        raise UsageError(f"{', '.join(f.name for f in PTB.values())}: empty, or without {UNKNOWN}")
    return _numbered(parts, words)


def text_of(content: str, vocabulary: int, name: str) -> Text:
    r"""A text by words, numbers and punctuation marks, in lower case.

    Of the lines that are not empty the last tenth is held out: its first half for validation, its
    second half for testing. Words beyond the vocabulary, which is that of the training part, are
    ``<unk>``.

    Args:
        content: The text.
        vocabulary: Words to know, ``<eos>`` and ``<unk>`` among them.
        name: What it is called in an error.

    Raises:
        UsageError: The text is too short.

    Example:
        >>> text = text_of("To be, or not to be.\n" * 20, 5, "this")
        >>> len(text.train), [text.words[i] for i in text.test]
        (162, ['to', 'be', ',', '<unk>', '<unk>', 'to', 'be', '<unk>', '<eos>'])
    """
    lines = [[*_WORD.findall(line), END] for line in content.lower().splitlines() if line.strip()]
    held = len(lines) // _HELD_OUT
    if not held:
        raise UsageError(f"{name} must have at least {_HELD_OUT} lines, got {len(lines)}")
    cuts = lines[: -2 * held], lines[-2 * held : -held], lines[-held:]
    parts = [[word for line in cut for word in line] for cut in cuts]
    counts = Counter(parts[0]).most_common(vocabulary)
    common = [word for word, _ in counts if word not in (END, UNKNOWN)]
    return _numbered(parts, [END, UNKNOWN, *common[: vocabulary - 2]])


def made_text(counts: Sequence[int], vocabulary: int = 40) -> Text:
    """Words that each depend on the one before, where text is not at hand: the same each time.

    Args:
        counts: Words to train, validate and test on.
        vocabulary: Words to know.

    Example:
        >>> [len(part) for part in made_text([8, 4, 2])[1:]]
        [8, 4, 2]
    """
    drawn = generator(_MADE)
    chances = torch.rand(vocabulary, vocabulary, generator=drawn) ** 8
    word, found = 0, list[int]()
    for _ in range(sum(counts)):
        word = int(torch.multinomial(chances[word], 1, generator=drawn))
        found.append(word)
    parts = torch.tensor(found).split(list(counts))
    return Text([str(i) for i in range(vocabulary)], *parts)
