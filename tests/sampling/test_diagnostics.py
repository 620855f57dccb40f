"""ArviZ on chains whose worth is known."""

import sys

import pytest
import torch

from torchmomentum.sampling import HMC, LMC, diagnose, sample

array_stats = pytest.importorskip("arviz_stats.base").array_stats


def _autoregressive(rho, chains=8, draws=4000):
    """x_t = rho x_{t-1} + noise: worth (1 - rho) / (1 + rho) of its draws."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(draws, chains, generator=generator, dtype=torch.float64)
    x, found = noise[0] / (1 - rho**2) ** 0.5, []
    for e in noise:
        x = rho * x + e
        found.append(x)
    return torch.stack(found, 1)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_effective_samples_of_a_known_chain(rho):
    found = diagnose(_autoregressive(rho))
    expected = 8 * 4000 * (1 - rho) / (1 + rho)
    assert found.ess_bulk.item() == pytest.approx(expected, rel=0.2)
    assert found.r_hat.item() == pytest.approx(1.0, abs=0.01)
    values = _autoregressive(rho).numpy()[..., None]
    worst = min(
        array_stats.ess(values, chain_axis=0, draw_axis=1, method="quantile", prob=prob).item()
        for prob in (0.05, 0.95)
    )
    assert found.ess_tail.item() == pytest.approx(worst, rel=1e-9)


def test_what_never_changes_is_worth_nothing():
    """ArviZ counts 400 effective draws of 400 in a chain that stands still."""
    chains = torch.randn(4, 100, 3, dtype=torch.float64)
    chains[..., 1] = 2.5
    found = diagnose(chains)
    alone = diagnose(chains[..., [0, 2]])
    for value, moving in zip(found, alone, strict=True):
        assert value.isnan().tolist() == [False, True, False]
        torch.testing.assert_close(value[[0, 2]], moving, rtol=0, atol=0)
    assert all(value.isnan() for value in diagnose(torch.ones(4, 100)))
    # one draw apart, and chains that stand still in places of their own
    chains[..., 1] = torch.arange(4.0).unsqueeze(1)
    assert diagnose(chains).r_hat[1] > 1e3
    chains[..., 1] = 0.0
    chains[2, 7, 1] = 1.0
    assert not diagnose(chains).ess_bulk.isnan().any()


def test_four_draws_are_enough():
    assert diagnose(torch.randn(2, 4)).ess_bulk.shape == ()
    found = diagnose(torch.randn(2, 4, 1, 3, requires_grad=True))
    assert found.r_hat.shape == (1, 3)
    assert not found.r_hat.isnan().any()


def test_chains_that_do_not_meet():
    apart = torch.randn(4, 200, 2, 3) + torch.arange(4.0).view(4, 1, 1, 1) * torch.tensor(
        [0, 0, 5.0]
    )
    found = diagnose(apart)
    assert found.r_hat.shape == (2, 3)
    assert (found.r_hat[:, :2] < 1.03).all()
    assert (found.r_hat[:, 2] > 1.5).all()
    assert diagnose(apart[:1]).r_hat.isnan().all()


def test_momentum_mixes_a_long_valley_faster():
    """A Gaussian whose widths differ by thirty: friction matched to it, one step size each."""
    scale = torch.tensor([1.0, 1e-3], dtype=torch.float64)
    worth = {}
    for name, make in {
        "lmc": lambda p, g: LMC(p, lr=0.2, generator=g),
        "hmc": lambda p, g: HMC(p, lr=0.4, friction=0.1, generator=g),
    }.items():
        x = torch.nn.Parameter(torch.zeros(4, 2, dtype=torch.float64))  # four chains at once
        found = sample(
            make([x], torch.Generator().manual_seed(0)),
            lambda x=x: (scale * x * x).sum() / 2,
            4000,
            burn_in=2000,
        )
        worth[name] = diagnose(found.view(-1, 4, 2).transpose(0, 1)).ess_bulk[1].item()
    assert worth["hmc"] > 3 * worth["lmc"]


@pytest.mark.parametrize("shape", [(5,), (2, 3)])
def test_too_little_to_judge(shape):
    with pytest.raises(ValueError, match="at least 4 draws"):
        diagnose(torch.zeros(shape))


def test_without_arviz_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz_stats.base", None)
    with pytest.raises(ImportError, match="pip install arviz-stats"):
        diagnose(torch.zeros(2, 10))
