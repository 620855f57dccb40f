"""Restart policies: by schedule, by the loss, by the gradient."""

import copy
import math
from functools import partial

import pytest
import torch

from tests.optim.problem import WAYS
from torchmomentum.optim import NAG, SRSGD
from torchmomentum.testing import check_optimizer


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("policy", ["function", "gradient", [(9, 3), (20, 7)]])
def test_policies_equal_the_slides(policy, way):
    start, scale = (torch.tensor(x, dtype=torch.float64) for x in ([3.0, -2.0], [1.0, 0.02]))

    def gradient(w):
        return scale * w

    def loss(w):
        return 0.5 * (scale * w * w).sum()

    w, v, j, last = start.clone(), start.clone(), 0, None
    p = torch.nn.Parameter(start.clone())
    optimizer = NAG([p], lr=0.9, restart=policy, **WAYS[way])
    restarts = 0
    for k in range(1, 201):
        now, g = loss(w), gradient(w)
        if policy == "function" and last is not None and now > last:
            j, restarts = 0, restarts + 1
        last = now
        new = w - 0.9 * g
        climbs = policy == "gradient" and (g * (new - v)).sum() > 0
        w, v = new + j / (j + 3) * (new - v), new
        j += 1
        if climbs or (isinstance(policy, list) and j >= (3 if k <= 9 else 7)):
            j, restarts = 0, restarts + 1
        p.grad = gradient(p.detach())
        optimizer.step(loss(p.detach()) if policy == "function" else None)
        torch.testing.assert_close(p.detach(), w, rtol=0, atol=1e-10)
    assert restarts > 1


@pytest.mark.parametrize("way", [*WAYS.values(), {"capturable": True}])
def test_a_restart_is_one_for_all_parameters(way):
    """Also for one that has no gradient then, as a layer that is left out at random."""
    kept, left_out = (torch.nn.Parameter(torch.zeros(2)) for _ in range(2))
    optimizer = SRSGD([kept, left_out], lr=0.1, restart_every=4, **way)
    moves = []
    for step in range(1, 8):
        kept.grad = torch.ones(2)
        left_out.grad = None if step in (4, 5) else torch.ones(2)
        before = left_out.detach().clone()
        optimizer.step()
        moves.append(float((before - left_out.detach())[0]))
    fresh = torch.nn.Parameter(torch.zeros(2))
    optimizer, expected = SRSGD([fresh], lr=0.1, restart_every=4, **way), []
    for step in range(1, 4):
        fresh.grad = torch.zeros(2) if step == 1 else torch.ones(2)
        before = fresh.detach().clone()
        optimizer.step()
        expected.append(float((before - fresh.detach())[0]))
    assert moves[5:] == pytest.approx(expected[1:], abs=1e-7)


def test_a_closure_gives_the_loss():
    found = []
    for give in ("closure", "loss"):
        w = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
        optimizer = NAG([w], lr=1.2, restart="function")

        def closure(w=w, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (w**2 * torch.tensor([0.5, 0.05])).sum()
            loss.backward()
            return loss

        for _ in range(20):
            optimizer.step(closure if give == "closure" else closure())
        found.append(w.detach().clone())
    torch.testing.assert_close(*found, rtol=0, atol=0)


def test_adaptive_policies_resume():
    def train(steps, state=None):
        w = torch.nn.Parameter(torch.tensor([3.0, -2.0]) if state is None else state[0].clone())
        optimizer = NAG([w], lr=1.2, restart="function")
        if state is not None:
            optimizer.load_state_dict(copy.deepcopy(state[1]))
        for _ in range(steps):
            loss = (w**2 * torch.tensor([0.5, 0.05])).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step(loss)
        return w.detach(), optimizer.state_dict()

    torch.testing.assert_close(train(9, train(8))[0], train(17)[0], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("policy", "error", "message"),
    [
        ("sometimes", ValueError, "must be one of function, gradient, got 'sometimes'"),
        (0, ValueError, "must be at least 1 iteration, got 0"),
        ([(10, 0)], ValueError, "an interval must be at least 1 iteration, got 0"),
        ([(20, 5), (10, 5)], ValueError, r"increasing last iterations, got \[20, 10\]"),
        ([], ValueError, "at least one pair"),
        ([5, 6], TypeError, "made of pairs"),
        (1.5, TypeError, "must be an int or None, got float"),
    ],
)
def test_wrong_policies(policy, error, message):
    with pytest.raises(error, match=message):
        NAG([torch.nn.Parameter(torch.zeros(1))], restart=policy)


def test_an_equal_loss_and_a_first_one_restart_nothing():
    w = torch.nn.Parameter(torch.zeros(1))
    w.grad = torch.ones(1)
    optimizer = NAG([w])
    for _ in range(3):
        optimizer.step()
    optimizer.param_groups[0]["restart"] = "function"
    for done, loss in enumerate((2.0, 2.0, 1.0), 4):
        optimizer.step(loss)
        assert optimizer.param_groups[0]["cycle_step"] == done
    optimizer.step(1.5)
    assert optimizer.param_groups[0]["cycle_step"] == 1


def test_the_loss_is_asked_for():
    w = torch.nn.Parameter(torch.zeros(1))
    w.grad = torch.ones(1)
    with pytest.raises(ValueError, match=r"needs the loss: step\(closure\) or step\(loss\)"):
        NAG([w], restart="function").step()


@pytest.mark.parametrize("restart", ["gradient", [(10, 3)]])
def test_policies_keep_the_contract(restart):
    check_optimizer(partial(NAG, restart=restart))


def test_the_slope_counts_every_parameter_and_the_decay():
    """restart='gradient' sums g . d over a group, with d of the whole step."""
    generator = torch.Generator().manual_seed(0)
    for maximize in (False, True):
        sizes = (2, 7)
        params = [torch.nn.Parameter(torch.ones(n, dtype=torch.complex128)) for n in sizes]
        options = {"lr": 0.1, "weight_decay": 0.5, "maximize": maximize}
        optimizer = NAG(params, restart="gradient", **options)
        v = [p.detach().clone() for p in params]
        j = 0
        counts, expected = [], []
        for step in range(30):
            slope, new_v = 0.0, []
            for p in params:  # gradients that turn from time to time, each at its own
                noise = torch.randn(len(p), dtype=torch.complex128, generator=generator)
                p.grad = math.cos(0.7 * step + len(p)) * (9 - len(p)) + 0.2 * noise
            w = [p.detach().clone() for p in params]
            optimizer.step()
            for x, old, p in zip(w, v, params, strict=True):
                g = (-p.grad if maximize else p.grad) + 0.5 * x
                new = x - 0.1 * g
                slope += (g.conj() * (new - old)).real.sum()
                new_v.append(new)
            torch.testing.assert_close(
                [p.detach() for p in params],
                [n + j / (j + 3) * (n - old) for n, old in zip(new_v, v, strict=True)],
            )
            v, j = new_v, 0 if j > 0 and slope > 0 else j + 1
            counts.append(optimizer.param_groups[0]["cycle_step"])
            expected.append(j)
        assert counts == expected
        assert 0 in counts
