"""Langevin and Hamiltonian Monte Carlo: what they converge to, how far off, and going on."""

import copy

import pytest
import torch

from torchmomentum.sampling import HMC, LMC, DivergedError, sample

BOTH = {"lmc": LMC, "hmc": HMC}


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _chains(make, scale, count, *, burn_in=200, thinning=1, chains=4000):
    """Many independent chains of one dimension each, on the potential scale * x^2 / 2."""
    x = torch.nn.Parameter(torch.zeros(chains, dtype=torch.float64))
    found = sample(
        make([x]), lambda: (scale * x**2 / 2).sum(), count, burn_in=burn_in, thinning=thinning
    )
    return x, found


@pytest.mark.parametrize("temperature", [1.0, 0.25])
@pytest.mark.parametrize("step", [0.5, 0.1])
def test_langevin_has_exactly_the_variance_of_its_step(step, temperature):
    # x <- (1 - s) x + sqrt(2 s T) e: a variance of T / (1 - s / 2)
    def make(params):
        return LMC(params, step, temperature=temperature, generator=_generator())

    _, found = _chains(make, 1.0, 40, thinning=10)
    expected = temperature / (1 - step / 2)
    assert found.var().item() == pytest.approx(expected, rel=0.02)
    assert abs(found.mean().item()) < 0.02


def test_the_bias_of_langevin_is_of_first_order():
    biases = []
    for step in (0.4, 0.2):
        _, found = _chains(
            lambda p, s=step: LMC(p, s, generator=_generator()), 1.0, 60, thinning=12
        )
        biases.append(found.var().item() - 1)
    assert biases[0] / biases[1] == pytest.approx(2, rel=0.25)  # 1 / (1 - s / 2) - 1


@pytest.mark.parametrize("eta", [1.0, 0.5])
def test_hamiltonian_samples_position_and_momentum(eta):
    made = []

    def make(params):
        made.append(HMC(params, 0.05, friction=1.0, inverse_mass=eta, generator=_generator()))
        return made[0]

    x, found = _chains(make, 2.0, 20, burn_in=400, thinning=40)
    assert found.var().item() == pytest.approx(0.5, rel=0.05)
    momentum = made[0].state[x]["momentum_buffer"]
    assert momentum.var().item() == pytest.approx(eta, rel=0.08)  # the equilibrium of energy


def test_the_momentum_is_biased_at_first_order():
    """The exact variances on x^2 / 2, of which the docstring speaks."""
    friction, step, temperature = 10.0, 0.1, 0.25
    a = torch.tensor([[1 - step**2, step * (1 - friction * step)], [-step, 1 - friction * step]])
    noise = torch.tensor([step, 1.0]).double()
    exact, a = torch.zeros(2, 2, dtype=torch.float64), a.double()
    for _ in range(4000):
        exact = a @ exact @ a.T + 2 * friction * step * temperature * torch.outer(noise, noise)
    made = []

    def make(params):
        options = {"friction": friction, "temperature": temperature, "generator": _generator()}
        made.append(HMC(params, step, **options))
        return made[0]

    x, found = _chains(make, 1.0, 12, burn_in=200, thinning=40)
    momentum = made[0].state[x]["momentum_buffer"]
    assert exact[1, 1].item() == pytest.approx(temperature / (1 - friction * step / 2), rel=0.01)
    assert exact[0, 0].item() == pytest.approx(temperature, rel=0.01)
    assert momentum.var().item() == pytest.approx(exact[1, 1].item(), rel=0.08)
    assert found.var().item() == pytest.approx(exact[0, 0].item(), rel=0.02)


@pytest.mark.parametrize("start", ["zero", "position"])
def test_the_papers_equations_with_the_same_noise(start):
    """Equations (4) and (5) written out, every number another."""
    s, t, c, gamma, eta = 0.2, 0.7, 3.0, 1.5, 0.6
    shared = {"temperature": t, "potential_scale": c}
    x0 = torch.tensor([1.0, -0.5], dtype=torch.float64)
    noise, other = _generator(3), _generator(3)
    first = torch.nn.Parameter(x0.clone())
    langevin = LMC([first], s, generator=other, **shared)
    x = x0.clone()
    for _ in range(3):
        first.grad = first.detach() ** 3
        langevin.step()
        e = torch.empty_like(x).normal_(generator=noise)
        x = x - s * c * x**3 + (2 * s * t) ** 0.5 * e
        torch.testing.assert_close(first.detach(), x, rtol=0, atol=1e-14)
    second = torch.nn.Parameter(x0.clone())
    options = {"friction": gamma, "inverse_mass": eta, "start": start, "generator": other}
    hamiltonian = HMC([second], s, **options, **shared)
    x, p = x0.clone(), x0.clone() if start == "position" else torch.zeros_like(x0)
    for _ in range(3):
        second.grad = second.detach() ** 3
        hamiltonian.step()
        e = torch.empty_like(x).normal_(generator=noise)
        p = p - gamma * s * p - s * eta * c * x**3 + (2 * gamma * s * eta * t) ** 0.5 * e
        x = x + s * p
        torch.testing.assert_close(second.detach(), x, rtol=0, atol=1e-14)


def test_defaults():
    p = torch.nn.Parameter(torch.zeros(1))
    shared = {"temperature": 1.0, "potential_scale": 1.0}
    assert LMC([p]).defaults == {"lr": 1e-3, **shared}
    more = {"friction": 1.0, "inverse_mass": 1.0, "start": "zero"}
    assert HMC([p]).defaults == {"lr": 1e-2, **shared, **more}


def test_complex_noise_is_independent_in_both_parts():
    x = torch.nn.Parameter(torch.zeros(20000, dtype=torch.complex128))
    x.grad = torch.zeros_like(x)
    LMC([x], 0.5, temperature=2.0, generator=_generator()).step()
    parts = torch.view_as_real(x.detach())
    covariance = torch.cov(parts.T)
    torch.testing.assert_close(covariance, 2 * torch.eye(2).double(), rtol=0.05, atol=0.05)


def test_a_step_in_full():
    """A closure with gradients, its value, and a parameter that has none."""
    x, still = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    sampler = LMC([x, still], 0.1)

    def closure():
        loss = (x**2).sum()
        loss.backward()
        return loss

    assert sampler.step(closure).item() == 2.0
    assert sampler.step() is None
    assert not torch.equal(x.detach(), torch.ones(2))
    assert torch.equal(still.detach(), torch.ones(2))


def test_a_generator_is_kept_where_there_is_one():
    p = torch.nn.Parameter(torch.zeros(2))
    without, with_one = LMC([p]), LMC([p], generator=_generator())
    assert "generator" not in without.state_dict()
    before = with_one.generator.get_state()
    with_one.load_state_dict(without.state_dict())
    assert torch.equal(with_one.generator.get_state(), before)
    without.load_state_dict(with_one.state_dict())
    assert without.generator is None
    copied = copy.deepcopy(with_one)
    assert torch.equal(copied.generator.get_state(), before)


@pytest.mark.parametrize("kind", BOTH)
def test_a_rejected_group_is_not_added(kind):
    sampler = BOTH[kind]([torch.nn.Parameter(torch.zeros(1))])
    options = [{"lr": -1.0}, {"lr": 0.0}, {"potential_scale": 0.0}]
    options += [{"lr": 1.0, "friction": 2.0}, {"start": "here"}] if kind == "hmc" else []
    for given in options:
        with pytest.raises(ValueError, match="must be"):
            sampler.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], **given})
        assert len(sampler.param_groups) == 1


@pytest.mark.parametrize("kind", BOTH)
def test_a_correlated_target(kind):
    precision = torch.linalg.inv(torch.tensor([[1.0, 0.6], [0.6, 0.5]], dtype=torch.float64))
    x = torch.nn.Parameter(torch.zeros(3000, 2, dtype=torch.float64))
    sampler = BOTH[kind]([x], lr=0.03, generator=_generator())
    found = sample(
        *(sampler, lambda: 0.5 * torch.einsum("bi,ij,bj->", x, precision, x), 12),
        burn_in=600,
        thinning=60,
    )
    covariance = torch.cov(found.view(-1, 2).T)
    expected = torch.linalg.inv(precision)
    torch.testing.assert_close(covariance, expected, rtol=0.1, atol=0.03)


@pytest.mark.parametrize("kind", BOTH)
def test_a_scaled_mean_is_the_sum(kind):
    data = torch.randn(50, dtype=torch.float64, generator=_generator(1))
    paths = []
    for scale, reduce in ((50.0, torch.mean), (1.0, torch.sum)):
        x = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))
        sampler = BOTH[kind]([x], lr=1e-3, potential_scale=scale, generator=_generator())
        paths.append(sample(sampler, lambda: reduce((x - data) ** 2 / 2), 30))  # noqa: B023
    torch.testing.assert_close(*paths)


@pytest.mark.parametrize("kind", BOTH)
def test_goes_on_with_the_same_draws(kind):
    def run(x, sampler, count):
        return sample(sampler, lambda: (x**4).sum(), count)

    x = torch.nn.Parameter(torch.ones(3))
    sampler = BOTH[kind]([x], lr=0.01, generator=_generator())
    run(x, sampler, 5)
    kept, place = copy.deepcopy(sampler.state_dict()), x.detach().clone()
    expected = run(x, sampler, 5)
    again = torch.nn.Parameter(place)
    other = BOTH[kind]([again], lr=0.5, generator=_generator(9))
    other.load_state_dict(kept)
    torch.testing.assert_close(run(again, other, 5), expected, rtol=0, atol=0)


def test_without_temperature_it_is_an_optimizer():
    ours, theirs = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    pairs = (
        (LMC([ours], 0.1, temperature=0.0), torch.optim.SGD([theirs], 0.1)),
        # p <- (1 - g s) p - s e grad, x <- x + s p: the heavy ball with a step of s^2 e
        (
            HMC([ours], 0.1, friction=1.0, inverse_mass=2.0, temperature=0.0),
            torch.optim.SGD([theirs], 0.02, momentum=0.9),
        ),
    )
    for pair in pairs:
        for _ in range(5):
            for p, optimizer in zip((ours, theirs), pair, strict=True):
                p.grad = p.detach() ** 3
                optimizer.step()
        torch.testing.assert_close(ours, theirs)


def test_the_printed_start():
    x = torch.nn.Parameter(torch.tensor([2.0]))
    x.grad = torch.zeros(1)
    HMC([x], 0.1, friction=1.0, temperature=0.0, start="position").step()
    assert x.item() == pytest.approx(2.0 + 0.1 * (1 - 0.1) * 2.0)


def test_collects_thinned_and_after_burn_in():
    x = torch.nn.Parameter(torch.zeros(2, 2))
    steps = []

    def potential():
        steps.append(1)
        return (x**2).sum()

    def run(**options):
        steps.clear()
        with torch.no_grad():
            x.fill_(1.0)
        return sample(LMC([x], 0.1, temperature=0.0), potential, 4, **options)

    # without noise each step multiplies by 0.8
    found = run(burn_in=3, thinning=5, collect=lambda: x.sum())
    assert len(steps) == 23
    assert found.tolist() == pytest.approx([4 * 0.8**k for k in (8, 13, 18, 23)])
    assert run()[:, 3].tolist() == pytest.approx([0.8**k for k in (1, 2, 3, 4)])
    assert len(steps) == 4
    assert run(thinning=2).shape == (4, 4)
    assert not run(collect=lambda: x * 2).requires_grad
    assert not run().requires_grad


def test_a_diverging_chain_says_so():
    x = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(
        DivergedError, match=r"the potential is (inf|nan) in step [3-9]; use a smaller step"
    ):
        sample(LMC([x], 10.0), lambda: (x**4).sum(), 100)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda p: LMC(p, -1.0), ValueError, r"lr must be in \(0, inf\), got -1.0"),
        (lambda p: LMC(p, float("nan")), ValueError, r"lr must be in \(0, inf\), got nan"),
        (lambda p: LMC(p, temperature=-0.1), ValueError, r"temperature must be in \[0, inf\)"),
        (lambda p: LMC(p, 0.0), ValueError, r"lr must be in \(0, inf\), got 0.0"),
        (lambda p: LMC(p, float("inf")), ValueError, r"lr must be in \(0, inf\), got inf"),
        (lambda p: LMC(p, torch.tensor(-1.0)), ValueError, r"lr must be in \(0, inf\), got -1.0"),
        (lambda p: LMC(p, torch.ones(2)), ValueError, "Tensor lr must be 1-element"),
        (
            lambda p: LMC(p, potential_scale=float("inf")),
            ValueError,
            r"potential_scale must be in \(0, inf\), got inf",
        ),
        (lambda p: LMC(p, potential_scale=torch.ones(1)), TypeError, "a number, got Tensor"),
        (lambda p: LMC(p, True), TypeError, "lr must be a number, got bool"),
        (
            lambda p: LMC(p, temperature=float("inf")),
            ValueError,
            r"temperature must be in \[0, inf\)",
        ),
        (lambda p: HMC(p, friction=-1.0), ValueError, r"friction must be in \(0, inf\)"),
        (lambda p: HMC(p, 1.0, friction=2.0), ValueError, "must be below 2, .* got 2"),
        (lambda p: LMC(p, "x"), TypeError, "lr must be a number, got str"),
        (lambda p: LMC(p, generator=3), TypeError, "generator must be a torch.Generator"),
        (lambda p: HMC(p, 1.0, friction=3.0), ValueError, "friction times lr must be below 2"),
        (
            lambda p: HMC(p, start="here"),
            ValueError,
            r"start must be one of zero, position, got 'here'",
        ),
        (lambda p: HMC(p, inverse_mass=0.0), ValueError, r"inverse_mass must be in \(0, inf\)"),
        (lambda p: sample(LMC(p), lambda: 0, 0), ValueError, "count must be at least 1, got 0"),
        (lambda p: sample(LMC(p), lambda: 0, True), TypeError, "count must be an int, got b"),
        (lambda p: sample(LMC(p), lambda: 0, 1.5), TypeError, "count must be an int, got f"),
        (lambda p: sample(LMC(p), lambda: 0, 1, burn_in=-1), ValueError, "burn_in .* at least 0"),
        (lambda p: sample(LMC(p), lambda: 0, 1, thinning=0), ValueError, "thinning .* at least 1"),
    ],
)
def test_wrong_use(make, error, words):
    with pytest.raises(error, match=words):
        make([torch.nn.Parameter(torch.zeros(1))])
