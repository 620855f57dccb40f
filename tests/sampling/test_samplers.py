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

    found = sample(
        *(LMC([x], 0.1, generator=_generator()), potential, 4),
        burn_in=3,
        thinning=5,
        collect=lambda: x.sum(),
    )
    assert len(steps) == 23
    assert found.shape == (4,)
    assert len(set(found.tolist())) == 4


def test_a_diverging_chain_says_so():
    x = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(DivergedError, match="take a smaller step size"):
        sample(LMC([x], 10.0), lambda: (x**4).sum(), 100)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda p: LMC(p, -1.0), ValueError, "lr must be positive, got -1.0"),
        (lambda p: LMC(p, float("nan")), ValueError, "lr must be positive, got nan"),
        (lambda p: LMC(p, temperature=-0.1), ValueError, "temperature must be at least 0"),
        (lambda p: LMC(p, "x"), TypeError, "lr must be a number, got str"),
        (lambda p: LMC(p, generator=3), TypeError, "generator must be a torch.Generator"),
        (lambda p: HMC(p, 1.0, friction=3.0), ValueError, "friction times lr must be below 2"),
        (lambda p: HMC(p, start="here"), ValueError, "start must be zero or position"),
        (lambda p: HMC(p, inverse_mass=0.0), ValueError, "inverse_mass must be positive"),
        (lambda p: sample(LMC(p), lambda: 0, 0), ValueError, "count must be an integer of at"),
    ],
)
def test_wrong_use(make, error, words):
    with pytest.raises(error, match=words):
        make([torch.nn.Parameter(torch.zeros(1))])
