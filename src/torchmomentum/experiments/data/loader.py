"""A user's loader as a stream of batches that are a seed's, whatever it draws from."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from torchmomentum.experiments.data.batches import Batch, BatchStream, generator
from torchmomentum.experiments.errors import UsageError


def _generators(loader: Any) -> Iterator[torch.Generator]:
    """The generators that a loader draws its order from, but for the default one."""
    batches = getattr(loader, "batch_sampler", None)
    samplers = getattr(loader, "sampler", None), batches, getattr(batches, "sampler", None)
    for part in (loader, *samplers):
        found = getattr(part, "generator", None)
        if isinstance(found, torch.Generator):
            yield found


def _states() -> tuple[Any, ...]:
    return torch.get_rng_state(), np.random.get_state(), random.getstate()


def _set_states(states: tuple[Any, ...]) -> None:
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])


class _GlobalNumbers:
    """PyTorch's, NumPy's and Python's global random numbers, apart from those of all others."""

    def __init__(self, seed: int) -> None:
        before = _states()
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        self._own = _states()
        _set_states(before)

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """In it the global numbers are these."""
        before = _states()
        _set_states(self._own)
        try:
            yield
        finally:
            self._own = _states()
            _set_states(before)


class LoaderStream(BatchStream):
    """A loader's batches, its random numbers being its own: those of a seed and the epoch.

    Args:
        loader: Iterable, with a length.
        seed: Fixes its order.
        form: Makes a batch of what it gives.
    """

    def __init__(self, loader: Any, seed: int, form: Callable[[Any], Batch]) -> None:
        super().__init__(len(loader))
        self._loader, self._seed, self._form = loader, seed, form

    def __iter__(self) -> Iterator[Batch]:
        seed = generator(self._seed, self.epoch).initial_seed()
        for own in _generators(self._loader):
            own.manual_seed(seed)
        numbers = _GlobalNumbers(seed)
        with numbers.drawn():
            iterator = iter(self._loader)
        for index in range(len(self)):
            with numbers.drawn():
                given = next(iterator, None)
            if given is None:
                raise UsageError(f"the training loader has {len(self)} batches, it gave {index}")
            if index >= self.start:
                yield self._form(given)
