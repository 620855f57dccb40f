"""What tests of stopped and resumed runs share."""

import torch

from torchmomentum.experiments.recorder import newest_checkpoint


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
    return torch.load(newest, weights_only=True)["state_dict"]


def assert_equal(a, b):
    """Bit for bit."""
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
