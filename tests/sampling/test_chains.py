"""Thermostats, cycles, several chains at once, predictions: against what is known of each."""

import math

import pytest
import torch

from torchmomentum.sampling import (
    HMC,
    LMC,
    SGNHT,
    CyclicalSteps,
    DivergedError,
    diagnose,
    predict,
    sample,
    to_arviz,
)


def _generator():
    return torch.Generator().manual_seed(0)


def test_a_thermostat_by_hand():
    """Three steps of algorithm 2 in float64, the noise drawn alike."""
    x = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
    start, s, a, t, scale = x.detach().clone(), 0.1, 0.7, 1.5, 2.0
    sampler = SGNHT(
        [x], lr=s, diffusion=a, temperature=t, potential_scale=scale, generator=_generator()
    )
    noise = _generator()
    position, momentum, friction = start, torch.zeros(3, dtype=torch.float64), a
    for _ in range(3):
        sampler.zero_grad()
        (x**4 / 4).sum().backward()
        sampler.step()
        drawn = torch.empty(3, dtype=torch.float64).normal_(generator=noise)
        momentum = momentum - friction * s * momentum - s * scale * position**3
        momentum = momentum + math.sqrt(2 * s * a * t) * drawn
        position = position + s * momentum
        friction = friction + s * (momentum.square().sum().item() / 3 - t)
    torch.testing.assert_close(x.detach(), position)
    assert sampler.state[x]["friction"].item() == pytest.approx(friction)


@pytest.mark.parametrize("kind", ["thermostat", "hmc"])
def test_noise_of_gradients_does_not_warm_a_thermostat(kind):
    """On a Gaussian of variance 1 whose gradients have noise of standard deviation 10."""
    noise, s = torch.Generator().manual_seed(1), 0.02
    x = torch.nn.Parameter(torch.zeros(500))
    if kind == "hmc":
        sampler = HMC([x], lr=s, friction=1.0, generator=_generator())
    else:
        sampler = SGNHT([x], lr=s, diffusion=1.0, generator=_generator())

    def potential():
        return (x**2 / 2 + 10 * torch.randn(500, generator=noise) * x).sum()

    variance = sample(sampler, potential, 300, burn_in=1500, thinning=20).var().item()
    added = s * 100 / 2  # a friction that would balance the noise of the gradients
    if kind == "hmc":
        assert variance == pytest.approx(1 + added, rel=0.1)
    else:
        assert variance == pytest.approx(1.0, abs=0.05)
        assert sampler.state[x]["friction"].item() == pytest.approx(1 + added, rel=0.15)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_a_thermostat_samples_its_temperature(temperature):
    x = torch.nn.Parameter(torch.zeros(500, dtype=torch.complex64))
    sampler = SGNHT([x], lr=0.05, temperature=temperature, generator=_generator())
    found = sample(sampler, lambda: (x.abs() ** 2 / 2).sum(), 500, burn_in=500, thinning=5)
    parts = torch.view_as_real(found)
    assert parts.var().item() == pytest.approx(temperature, rel=0.05)


def test_cycles_by_hand():
    x = torch.nn.Parameter(torch.ones(1))
    sampler = LMC([x], lr=0.4, temperature=3.0)
    steps = CyclicalSteps(sampler, length=4, exploration=0.3)
    found = []
    for _ in range(6):
        found.append((sampler.param_groups[0]["lr"], sampler.param_groups[0]["temperature"]))
        sampler.step()
        steps.step()
    rates = [0.2 * (math.cos(math.pi * k / 4) + 1) for k in (0, 1, 2, 3, 0, 1)]
    assert [lr for lr, _ in found] == pytest.approx(rates)
    assert [t for _, t in found] == [0.0, 0.0, 3.0, 3.0, 0.0, 0.0]  # r = 0, 1/4 explore
    again = CyclicalSteps(LMC([x], lr=9.0, temperature=3.0), length=4, exploration=0.3)
    again.load_state_dict(steps.state_dict())
    assert again.samples == steps.samples
    assert again.last_epoch == 6


def test_only_sampling_stages_give_samples():
    x = torch.nn.Parameter(torch.ones(1))
    sampler = LMC([x], lr=1e-3, temperature=1e-12)
    steps, taken = CyclicalSteps(sampler, length=10, exploration=0.6), []

    def collect():
        taken.append(steps.last_epoch)  # after the step
        return x

    sample(sampler, lambda: 0 * x.sum(), 4, thinning=2, collect=collect, schedule=steps)
    assert taken == [8, 10, 18, 20]


def test_cycles_find_other_modes():
    """Two modes six standard deviations apart: a chain of constant small steps stays in its own."""

    def run(schedule):
        x = torch.nn.Parameter(torch.full((200,), -6.0))
        sampler = LMC([x], lr=1.9 if schedule else 0.05, generator=_generator())
        steps = CyclicalSteps(sampler, length=50) if schedule else None
        modes = torch.tensor([-6.0, 6.0])

        def potential():
            near = -((x.unsqueeze(1) - modes) ** 2) / 2
            return -near.logsumexp(1).sum()

        drawn = sample(sampler, potential, 200, schedule=steps)
        return (drawn > 0).float().mean().item()

    assert run(schedule=False) == 0.0
    assert 0.25 < run(schedule=True) < 0.75


def test_chains_at_once_are_chains_alone():
    def make(start):
        x = torch.nn.Parameter(start.clone())
        b = torch.nn.Parameter(torch.ones(*start.shape[:-1], 2, 2))
        return x, b, HMC([x, b], lr=0.1, temperature=0.0)

    starts = torch.randn(3, 4)
    x, b, sampler = make(starts)

    def potential():
        return (x**4).sum(1) + (b**2).flatten(1).sum(1) * x[:, 0]

    together = sample(sampler, potential, 5, burn_in=2, thinning=3, chains=3)
    assert together.shape == (3, 5, 8)

    def run(start):
        x, b, alone = make(start)
        potential = lambda: (x**4).sum() + (b**2).sum() * x[0]  # noqa: E731
        return sample(alone, potential, 5, burn_in=2, thinning=3)

    for k, start in enumerate(starts):
        torch.testing.assert_close(together[k], run(start))


def test_chains_at_once_are_independent():
    x = torch.nn.Parameter(torch.zeros(4, 2))
    sampler = LMC([x], lr=0.2, generator=_generator())
    found = sample(sampler, lambda: (x**2 / 2).sum(1), 2000, chains=4, thinning=5)
    result = diagnose(found)
    assert (result.r_hat < 1.01).all()
    assert (result.ess_bulk > 4000).all()
    correlation = torch.corrcoef(found.flatten(2).transpose(1, 2).reshape(8, -1))
    assert (correlation - torch.eye(8)).abs().max() < 0.1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"chains": 3}, ValueError, r"must have 3 chains in its first dimension, got \[2, 5\]"),
        ({"chains": 0}, ValueError, "chains must be at least 1, got 0"),
        ({"chains": 2}, ValueError, r"the potential must be \(2,\), got \(\)"),
    ],
)
def test_wrong_chains_are_named(options, error, message):
    x = torch.nn.Parameter(torch.zeros(2, 5))
    with pytest.raises(error, match=message):
        sample(LMC([x]), lambda: x.sum(), 5, **options)


def test_one_chain_that_diverges_is_seen():
    x = torch.nn.Parameter(torch.tensor([[0.0], [1e30]]))
    with pytest.raises(DivergedError, match=r"the potential is \[0.0, inf\] in step 1"):
        sample(LMC([x]), lambda: (x**2).sum(1), 5, chains=2)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: SGNHT(p, diffusion=0.0), ValueError, r"diffusion must be in \(0, inf\), got 0"),
        (lambda p: SGNHT(p, lr=-1.0), ValueError, r"lr must be in \(0, inf\), got -1"),
        (lambda p: CyclicalSteps(LMC(p), 0), ValueError, "length must be at least 1 step, got 0"),
        (
            lambda p: CyclicalSteps(LMC(p), 2, 0.9),
            ValueError,
            "at most 0.5, so that one of 2 steps",
        ),
        (lambda p: CyclicalSteps(LMC(p), 5, 1.0), ValueError, r"exploration must be in \[0, 1\)"),
        (
            lambda p: CyclicalSteps(torch.optim.SGD(p, 0.1), 5),
            TypeError,
            "SGD is no sampler with a temperature",
        ),
    ],
)
def test_wrong_settings_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make([torch.nn.Parameter(torch.ones(1))])


def test_a_predictive_is_that_of_each_draw():
    model, x = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh()), torch.randn(4, 3)
    before = [p.detach().clone() for p in model.parameters()]
    draws = torch.randn(2, 5, 8)
    found = predict(model, draws, x)
    assert found.shape == (2, 5, 4, 2)
    weight, bias = draws[1, 3].split([6, 2])
    torch.testing.assert_close(found[1, 3], torch.tanh(x @ weight.view(2, 3).T + bias))
    assert all(torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))
    assert not found.requires_grad
    with pytest.raises(ValueError, match=r"\(draws, 8\), the param.* got \[5, 7\]"):
        predict(model, torch.randn(5, 7), x)
    with pytest.raises(ValueError, match=r"got \[8\]"):
        predict(model, torch.randn(8), x)


def test_a_predictive_leaves_the_buffers():
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    before = {name: b.clone() for name, b in model.named_buffers()}
    predict(model, torch.randn(5, 12), torch.randn(6, 3))
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, before[name])


def test_chains_of_a_thermostat_have_frictions_of_their_own():
    def first(scale):
        x = torch.nn.Parameter(torch.zeros(2, 50))
        sampler = SGNHT([x], lr=0.05, chains=2, generator=_generator())
        scales = torch.tensor([1.0, scale])
        return sample(sampler, lambda: (x**2 / 2).sum(1) * scales, 100, chains=2)[0]

    assert torch.equal(first(1.0), first(100.0))
    x = torch.nn.Parameter(torch.zeros(2, 50))
    with pytest.raises(ValueError, match="the sampler must be made with chains=2"):
        sample(SGNHT([x]), lambda: (x**2 / 2).sum(1), 5, chains=2)


def test_a_schedule_is_the_samplers_own():
    x = torch.nn.Parameter(torch.zeros(2))
    other = CyclicalSteps(LMC([x]), 5)
    for wrong in (other, torch.optim.lr_scheduler.StepLR(torch.optim.SGD([x], 0.1), 3)):
        with pytest.raises(ValueError, match="schedule must be the CyclicalSteps of this sampler"):
            sample(LMC([x]), lambda: x.sum(), 5, schedule=wrong)


def test_a_regression_has_its_posterior():
    """A Gaussian line: the predictive mean and spread are known in closed form."""
    x = torch.linspace(-1, 1, 40, dtype=torch.float64).unsqueeze(1)
    y = 2 * x - 1 + 0.5 * torch.randn(40, 1, generator=_generator(), dtype=torch.float64)
    model = torch.nn.Linear(1, 1).double()
    sampler = HMC(model.parameters(), lr=0.02, friction=2.0, generator=_generator())

    def potential():
        prior = sum(p.square().sum() for p in model.parameters()) / 2
        return (model(x) - y).square().sum() / (2 * 0.25) + prior

    found = predict(model, sample(sampler, potential, 4000, burn_in=500, thinning=3), x)
    design = torch.cat([x, torch.ones_like(x)], 1)
    precision = design.T @ design / 0.25 + torch.eye(2, dtype=torch.float64)
    mean = design @ torch.linalg.solve(precision, design.T @ y / 0.25)
    spread = (design @ torch.linalg.inv(precision) * design).sum(1).sqrt()
    torch.testing.assert_close(found.mean(0), mean, rtol=0, atol=0.03)
    torch.testing.assert_close(found.std(0).squeeze(1), spread, rtol=0.1, atol=0)


def test_arviz_takes_the_chains():
    pytest.importorskip("arviz_base")
    chains = torch.randn(4, 50, 2, requires_grad=True)
    tree = to_arviz({"weights": chains, "scale": chains[..., 0]})
    assert tree.posterior["weights"].dims[:2] == ("chain", "draw")
    assert tree.posterior["scale"].shape == (4, 50)
    assert (tree.posterior["weights"].values == chains.detach().numpy()).all()
    with pytest.raises(ValueError, match=r"scale must be \(chains, draws, ...\), got \[4\]"):
        to_arviz({"scale": torch.zeros(4)})
