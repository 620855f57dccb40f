"""The optimizer that begins to average once validation no longer improves."""

import copy

import pytest
import torch
from torch import nn

from torchmomentum.experiments.engine.nt_asgd import NTASGD


def _descend(optimizer, p, steps):
    """A few steps on a noisy slope, and where they went."""
    found = []
    for step in range(steps):
        p.grad = p.detach() + (step % 3 - 1)
        optimizer.step()
        found.append(p.detach().clone())
    return found


def test_before_the_trigger_it_is_sgd():
    a, b = (nn.Parameter(torch.ones(3)) for _ in range(2))
    ours, theirs = NTASGD([a], 0.1, 0.01), torch.optim.SGD([b], 0.1, weight_decay=0.01)
    for found, expected in zip(_descend(ours, a, 5), _descend(theirs, b, 5), strict=True):
        assert torch.equal(found, expected)
    with ours.averaged():
        assert torch.equal(a, b)


def test_the_trigger_looks_back_further_than_its_patience():
    for losses, patience, when in (
        ([5.0, 4.0, 4.5, 4.2, 4.1], 2, 5),  # 4.1 > min(5, 4, 4.5)? the least of the first three
        ([5.0, 4.0, 4.5], 0, 3),
        ([5.0, 4.0, 3.0, 2.0], 1, None),
        ([5.0, 4.0, 4.0], 0, None),  # as good as before is not worse
        ([5.0, 6.0, 7.0], 5, None),
        ([5.0, 4.0, 3.0, 5.0, 5.0, 5.0], 5, None),
        ([5.0, 4.0, 3.0, 5.0, 5.0, 6.0, 5.5], 5, 7),
    ):
        optimizer = NTASGD([nn.Parameter(torch.ones(1))], 0.1, patience=patience)
        fired = None
        for i, loss in enumerate(losses, 1):
            optimizer.observe(loss)
            if fired is None and optimizer.param_groups[0]["averaged"] is not None:
                fired = i
        assert fired == when, losses


def test_after_it_the_mean_of_all_iterates_since_is_evaluated():
    p = nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = NTASGD([p], 0.3, patience=0)
    _descend(optimizer, p, 2)
    optimizer.observe(1.0)
    optimizer.observe(2.0)
    found = _descend(optimizer, p, 7)
    now = p.detach().clone()
    with optimizer.averaged():
        torch.testing.assert_close(p.detach(), torch.stack(found).mean(0), rtol=0, atol=1e-14)
    assert torch.equal(p, now)


def test_a_state_dict_holds_all_of_it():
    p = nn.Parameter(torch.ones(3))
    optimizer = NTASGD([p], 0.3, patience=0)
    optimizer.observe(1.0)
    optimizer.observe(2.0)
    _descend(optimizer, p, 4)
    other = NTASGD([q := nn.Parameter(p.detach().clone())], 0.3, patience=0)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert torch.equal(_descend(optimizer, p, 3)[-1], _descend(other, q, 3)[-1])
    with optimizer.averaged(), other.averaged():
        assert torch.equal(p, q)


def test_a_negative_patience_is_named():
    with pytest.raises(ValueError, match="patience must be at least 0, got -1"):
        NTASGD([nn.Parameter(torch.ones(1))], 0.1, patience=-1)
