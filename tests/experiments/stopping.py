"""What tests of stopped and resumed runs share."""

import torch

from torchmomentum.experiments.engine.checkpoints import newest_checkpoint
from torchmomentum.experiments.engine.compute import compute, folder_of


class Stop(Exception):
    """Ends a run from within, as Ctrl-C would."""


def stop_at(stop):
    """A progress that ends the run at a step."""

    def interrupt(words, step, steps):
        if step == stop:
            raise Stop

    return interrupt


def weights(folder):
    """Those of a run's newest checkpoint."""
    newest = newest_checkpoint(folder)
    assert newest is not None
    return newest["model"]


def train(recipe, place, *told):
    """Computes a run; returns its result and its weights."""
    return compute(recipe, place, *told), weights(folder_of(recipe, place))


def assert_equal(a, b):
    """Bit for bit."""
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def without_seconds(curves):
    """Curves but for the time they took."""
    return {name: values for name, values in curves.items() if name != "train_seconds"}
