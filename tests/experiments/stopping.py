"""What tests of stopped and resumed runs share."""

import signal
import subprocess
import time

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
    return newest.values["model"]


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


def hear_interrupts():
    """Before a program starts: it hears Ctrl-C, which whoever runs the tests may ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def in_group(group):
    """The processes of a group that still run."""
    found = subprocess.run(
        ["ps", "-eo", "pgid=,stat=,pid="], capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in found.stdout.splitlines()]
    return [pid for pgid, stat, pid in rows if int(pgid) == group and not stat.startswith("Z")]


def all_end(group, seconds=30):
    """Whether the processes of a group end in time."""
    deadline = time.monotonic() + seconds
    while in_group(group) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not in_group(group)
