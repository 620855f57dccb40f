"""A stream of words in columns, cut into windows that follow one another."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from torchmomentum.experiments.data.batches import Batch, BatchStream, generator
from torchmomentum.experiments.errors import UsageError

_SHORTER = 0.05  # how probable a window around half the length is
_DEVIATION, _SHORTEST = 5.0, 5  # of a window, in steps


def in_columns(words: Tensor, columns: int) -> Tensor:
    """Words ``(N,)`` as ``(N // columns, columns)``, each column a piece of the text.

    Raises:
        UsageError: There are too few words.
    """
    rows = len(words) // columns
    if rows < 2:
        raise UsageError(f"{columns} columns need at least {2 * columns} words, got {len(words)}")
    return words[: rows * columns].view(columns, rows).t().contiguous()


def _window(rows: Tensor, start: int, length: int) -> Batch:
    """The words of a window, whether it is the first of a stream, and the words that follow."""
    stop = min(start + length, len(rows) - 1)
    return (rows[start:stop], torch.tensor(start == 0)), rows[start + 1 : stop + 1]


def even_windows(rows: Tensor, length: int) -> list[Batch]:
    """Windows of one length, the last as long as it gets."""
    return [_window(rows, start, length) for start in range(0, len(rows) - 1, length)]


class Windows(BatchStream):
    """Windows of random lengths, as AWD-LSTM is trained on.

    A length is normal around ``length``, or with probability 0.05 around half of it, with a
    standard deviation of 5, and at least 5. How many windows an epoch has depends on its draws.

    Args:
        rows: Words in columns, ``(R, B)``.
        length: Steps.
        seed: Fixes the lengths.
    """

    def __init__(self, rows: Tensor, length: int, seed: int) -> None:
        super().__init__(0)
        self._rows, self._length, self._seed = rows, length, seed
        self._cuts: tuple[int, list[tuple[int, int]]] = (-1, [])

    def _windows(self) -> list[tuple[int, int]]:
        """Starts and lengths of the epoch's windows."""
        if self._cuts[0] != self.epoch:
            drawn, start = generator(self._seed, self.epoch), 0
            found = list[tuple[int, int]]()
            while start < len(self._rows) - 1:
                half = torch.rand((), generator=drawn).item() < _SHORTER
                around = self._length / (2 if half else 1)
                length = around + _DEVIATION * torch.randn((), generator=drawn).item()
                found.append((start, max(_SHORTEST, int(length))))
                start += found[-1][1]
            self._cuts = self.epoch, found
        return self._cuts[1]

    def __len__(self) -> int:
        return len(self._windows())

    def __iter__(self) -> Iterator[Batch]:
        """The epoch's windows, from ``start`` on."""
        for start, length in self._windows()[self.start :]:
            yield _window(self._rows, start, length)
