"""Orthogonal networks beside their transcription, and the matrix that is trained."""

import copy
import io
from collections import Counter
from functools import partial

import pytest
import torch
from torch import nn

import torchmomentum.nn as tnn
from tests.reference import cells, orthogonal
from torchmomentum.nn import _trivialization
from torchmomentum.testing import check_rnn

RULES = {
    "none": (None, lambda t, drive, memory: (drive, None)),
    "momentum": (tnn.Momentum(0.6, 0.9), cells.momentum(0.6, 0.9)),
    "restarted": (tnn.Nesterov(0.8, restart=4), cells.nesterov(0.8, 4)),
    "adam": (tnn.Adam(0.6, 0.9, 0.7), cells.adam(0.6, 0.9, 0.7, 1e-8)),
    "rmsprop": (tnn.RMSProp(0.9, 0.7), cells.adam(0.0, 0.9, 0.7, 1e-8)),
}
maps = pytest.mark.parametrize("map", ["exp", "cayley"])


def _moved(layer):
    """A layer whose matrix is neither its base nor symmetric in its states."""
    for each in layer.orthogonal:
        nn.init.normal_(each.tangent, std=0.3)
    return layer


@pytest.mark.parametrize("rule", [rule for rule, _ in RULES.values()] + [tnn.NesterovLookahead()])
def test_every_rule_keeps_the_contract(rule):
    check_rnn(partial(tnn.OrthogonalRNN, momentum=rule), skip=["gradients"])


@pytest.mark.parametrize("rule", RULES)
@maps
def test_equals_the_papers_recurrence(rule, map):
    ours, transcription = RULES[rule]
    layer = _moved(tnn.OrthogonalRNN(3, 6, momentum=ours, map=map, dtype=torch.float64))
    layer.eval()  # no rebase
    x = torch.randn(200, 2, 3, dtype=torch.float64, requires_grad=True)
    at = [x, layer.weight_ih_l0, layer.orthogonal[0].tangent, layer.bias_modrelu_l0]
    out, h = layer(x)
    u = orthogonal.orthogonal(layer.orthogonal[0].base, at[2], map)
    expected = orthogonal.rnn(transcription, x, at[1], u, at[3])
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(h[0], expected[-1], rtol=0, atol=1e-10)
    probe = torch.randn_like(out)
    for a, b in zip(
        torch.autograd.grad((out * probe).sum(), at),
        torch.autograd.grad((expected * probe).sum(), at),
        strict=True,
    ):
        assert (a - b).norm() < 1e-10 * b.norm()


@maps
@pytest.mark.parametrize("every", [1, 3, None])
def test_descends_as_the_transcription(map, every):
    each = tnn.Trivialization(5, map, every, dtype=torch.float64)
    gradient = torch.randn(5, 5, dtype=torch.float64)
    base, a = each.base.clone(), each.tangent.detach().clone()
    optimizer = torch.optim.SGD([each.tangent], lr=0.2)
    for expected in orthogonal.descend(base, a, map, every, 0.2, gradient, 10):
        for _ in range(2):  # gradients of two evaluations for one step are no two steps
            optimizer.zero_grad()
            u = each()
            (u * gradient).sum().backward()
        torch.testing.assert_close(u, expected, rtol=0, atol=1e-12)
        optimizer.step()


@pytest.mark.parametrize(("map", "init"), [("exp", "henaff"), ("cayley", "cayley")])
@pytest.mark.parametrize("every", [1, 100, None])
def test_stays_orthogonal(map, init, every):
    each = tnn.Trivialization(24, map, every, init)
    target, *_ = torch.linalg.qr(torch.randn(24, 24))
    first = each().detach()
    optimizer = torch.optim.RMSprop([each.tangent], lr=2e-3)
    for _ in range(1000):
        optimizer.zero_grad()
        (each() - target).square().sum().backward()
        optimizer.step()
    assert each.in_manifold(1e-5)
    assert (each() - first).abs().max() > 0.1
    assert int(each.steps) == 1000
    assert int(each.rebases) == {1: 1000, 100: 10, None: 0}[every]


@pytest.mark.parametrize("off", [0.999, 1.001])
def test_is_led_back_to_the_manifold_every_hundredth_time(off):
    each = tnn.Trivialization(4)
    each.base.mul_(off)
    for _ in range(100):
        assert not each.in_manifold()
        each.rebase()
    assert each.in_manifold(1e-6)


def test_what_counts_as_in_the_manifold():
    layer = tnn.OrthogonalRNN(3, 4, num_layers=2, dtype=torch.float64)
    for error, held in ((0.9e-5, True), (1.5e-5, False)):
        layer.orthogonal[1].base.copy_(torch.eye(4) * (1 + error) ** 0.5)
        assert layer.orthogonal[1].in_manifold() == held
        assert layer.in_manifold() == held
        assert layer.in_manifold(2e-5)


def _trained(layer, optimizer, steps):
    for step in range(steps):
        x = torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        layer(x)[0].square().sum().backward()
        optimizer.step()
    return layer


@pytest.mark.parametrize("way", ["state_dict", "pickle", "deepcopy"])
def test_goes_on_to_the_bit(way):
    torch.manual_seed(3)
    layer = tnn.MomentumDTRIV(3, 4, rebase_every=2)
    optimizer = torch.optim.RMSprop(layer.parameters(), lr=1e-2)
    _trained(layer, optimizer, 3)
    if way == "state_dict":
        other = tnn.MomentumDTRIV(3, 4, rebase_every=2)
        other.load_state_dict(layer.state_dict())
    elif way == "pickle":
        file = io.BytesIO()
        torch.save(layer, file)
        file.seek(0)
        other = torch.load(file, weights_only=False)
    else:
        other = copy.deepcopy(layer)
    again = torch.optim.RMSprop(other.parameters(), lr=1e-2)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    _trained(layer, optimizer, 3)
    _trained(other, again, 3)
    assert int(layer.orthogonal[0].steps) == int(other.orthogonal[0].steps) == 5
    for p, q in zip(layer.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(p, q)


def test_writing_a_state_dict_changes_nothing():
    def run(saving):
        torch.manual_seed(3)
        layer = tnn.OrthogonalRNN(3, 4, rebase_every=2)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        for _ in range(5):
            _trained(layer, optimizer, 1)
            if saving:
                layer.state_dict()
        return layer(torch.ones(4, 1, 3))[0]

    assert torch.equal(run(True), run(False))


def test_is_evaluated_once_in_a_forward_and_kept_without_gradients(monkeypatch):
    calls = Counter()

    def counted(*args):
        calls["moved"] += 1
        return moved(*args)

    moved = _trivialization.moved
    monkeypatch.setattr(_trivialization, "moved", counted)
    layer, x = tnn.OrthogonalRNN(3, 4, num_layers=2), torch.randn(30, 2, 3)
    layer(x)
    assert calls["moved"] == 2  # one for each layer
    with torch.no_grad():
        for _ in range(3):
            before = layer(x)[0]
        assert calls["moved"] == 4
        layer.orthogonal[0].tangent[0, 1] += 0.5
        assert not torch.equal(layer(x)[0], before)
        layer.orthogonal[1].base.copy_(torch.eye(4))
        layer(x)
    assert calls["moved"] == 6


def test_a_kept_matrix_is_not_the_callers():
    layer, x = tnn.OrthogonalRNN(3, 4), torch.randn(5, 2, 3)
    with torch.no_grad():
        before = layer(x)[0]
        for _ in range(2):
            layer.orthogonal[0]().mul_(2)
        assert torch.equal(layer(x)[0], before)
    assert layer.in_manifold()


def test_a_call_without_gradients_takes_none_from_another(monkeypatch):
    """As from another thread, in the midst of a forward."""
    layer, x = tnn.OrthogonalRNN(3, 4, num_layers=2), torch.randn(5, 2, 3)
    run = tnn.OrthogonalRNN._run

    def interrupted(self, k, *given):
        with torch.no_grad(), monkeypatch.context() as patched:
            patched.setattr(tnn.OrthogonalRNN, "_run", run)
            self(x)
        return run(self, k, *given)

    monkeypatch.setattr(tnn.OrthogonalRNN, "_run", interrupted)
    layer(x)[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in layer.parameters())


def test_evaluation_and_foreign_parameters_rebase_nothing():
    layer = tnn.OrthogonalRNN(3, 4)
    x, each = torch.randn(6, 2, 3), layer.orthogonal[0]
    own = {name: p.detach() + 0.1 for name, p in layer.named_parameters()}
    base = each.base.clone()
    torch.func.functional_call(layer, own, (x,))
    assert own["orthogonal.0.tangent"].any()
    nn.init.normal_(each.tangent)
    layer.eval()(x)
    assert torch.equal(each.base, base)
    assert int(each.steps) == 0
    layer.train()(x)
    assert int(each.steps) == 1


@pytest.mark.parametrize("rule", [None, tnn.Momentum(0.6, 0.9)])
def test_compiled_equals_eager(rule):
    layer = _moved(tnn.OrthogonalRNN(3, 4, momentum=rule)).eval()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(compiled(x)[0], layer(x)[0], rtol=0, atol=1e-5)


def test_how_the_bases_are_drawn():
    torch.manual_seed(0)
    henaff, cayley = (tnn.Trivialization(2001, init=init) for init in ("henaff", "cayley"))
    half = torch.arange(1000) * 2
    for each, low, high, mean, sd in (
        (henaff, -torch.pi, torch.pi, 0.0, torch.pi / 3**0.5),
        # -tan(u / 2), u uniform up to pi / 2
        (cayley, -1.0, 0.0, -0.4413, 0.2831),
    ):
        angles = torch.atan2(each.base[half, half + 1], each.base[half, half])
        assert low <= angles.min() < low + 0.02
        assert high - 0.02 < angles.max() <= high
        assert abs(angles.mean() - mean) < 4 * sd / 1000**0.5
        assert abs(angles.std() - sd) < 0.1 * sd
        assert each.base[2000, 2000] == 1
        assert torch.equal(each.base[half + 1, half], -each.base[half, half + 1])


def test_how_the_other_weights_are_drawn():
    torch.manual_seed(0)
    layer = tnn.OrthogonalRNN(50, 200, bias=True)
    assert layer.weight_ih_l0.std().item() == pytest.approx((2 / 50) ** 0.5, rel=0.05)
    b = layer.bias_modrelu_l0
    assert -0.01 <= b.min() < -0.009
    assert 0.009 < b.max() <= 0.01
    assert not layer.bias_ih_l0.any()
    assert "weight_hh_l0" not in layer.state_dict()
    assert "bias_ih_l0" not in tnn.OrthogonalRNN(3, 4).state_dict()


def test_the_matrices_have_a_learning_rate_of_their_own():
    model = nn.Sequential(tnn.OrthogonalRNN(3, 4, bidirectional=True), nn.Linear(8, 2))
    others, own = tnn.orthogonal_parameter_groups(model, orthogonal_lr=2e-4, alpha=0.9)
    tangents = [each.tangent for each in model[0].orthogonal]
    assert {*map(id, own["params"])} == {*map(id, tangents)}
    assert len(others["params"]) + 2 == len([*model.parameters()])
    assert not {*map(id, others["params"])} & {*map(id, tangents)}
    assert (own["lr"], own["alpha"]) == (2e-4, 0.9)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"map": "log"}, ValueError, "map must be one of exp, cayley, got 'log'"),
        ({"init": "eye"}, ValueError, "init must be one of cayley, henaff, got 'eye'"),
        ({"rebase_every": 0}, ValueError, "rebase_every must be at least 1"),
        ({"rebase_every": 1.5}, TypeError, "rebase_every must be"),
    ],
)
def test_wrong_arguments(options, error, words):
    with pytest.raises(error, match=words):
        tnn.OrthogonalRNN(3, 4, **options)


def test_the_papers_names():
    for name, rule in (
        (tnn.MomentumDTRIV, "Momentum(mu=0.6, step_size=0.9)"),
        (tnn.AdamDTRIV, "Adam(mu=0.6, step_size=0.9, beta=0.8, eps=1e-08)"),
        (tnn.RMSPropDTRIV, "RMSProp(step_size=0.9, beta=0.8, eps=1e-08)"),
        (tnn.SRDTRIV, "Nesterov(step_size=0.9, restart=2)"),
    ):
        given = {"mu": 0.6, "step_size": 0.9, "beta": 0.8, "restart": 2}
        given = {key: given[key] for key in given if f"{key}=" in rule}
        made = name(3, 4, map="cayley", rebase_every=None, **given)
        assert repr(made.momentum) == rule
        assert made.orthogonal[0].map == "cayley"
        assert made.orthogonal[0].rebase_every is None


@pytest.mark.parametrize("lr", [float("nan"), -1.0, float("inf")])
def test_a_rate_of_the_tangents_out_of_its_range_is_named(lr):
    with pytest.raises(ValueError, match=r"orthogonal_lr must be in \[0, inf\)"):
        tnn.orthogonal_parameter_groups(tnn.OrthogonalRNN(3, 4), orthogonal_lr=lr)


def test_what_stands_where_nothing_is_said():
    each = tnn.OrthogonalRNN(3, 4).orthogonal[0]
    assert each.extra_repr() == tnn.Trivialization(4).extra_repr()
    assert each.extra_repr() == "4, exp, rebase_every=1, cayley"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_step_before_a_conversion_counts(overwrite):
    each = tnn.Trivialization(4)
    each()
    nn.init.normal_(each.tangent)  # as an optimizer writes it
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(overwrite)
    try:
        each.double()
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)
    each()
    assert int(each.rebases) == 1
    assert not each.tangent.any()


@pytest.mark.parametrize("init", ["cayley", "henaff"])
def test_all_is_made_where_it_is_to_lie(init):
    each = tnn.Trivialization(4, init=init, device="meta")
    assert {t.device.type for t in (each.tangent, *each.buffers())} == {"meta"}
    with torch.no_grad():
        assert each().is_meta
    with torch.device("meta"):
        each = tnn.Trivialization(4, init=init, device="cpu")
        assert each.in_manifold()
    assert not torch.equal(each.base, torch.eye(4))


def test_a_new_draw_begins_the_counts_anew():
    each = tnn.Trivialization(4)
    each()
    nn.init.normal_(each.tangent)
    each()
    assert (int(each.steps), int(each.rebases)) == (1, 1)
    assert each.steps.dtype == each.rebases.dtype == torch.long
    each.reset_parameters()
    assert (int(each.steps), int(each.rebases)) == (0, 0)


def test_a_tangent_that_is_put_in_is_trained_as_the_first_was():
    each = tnn.Trivialization(4, rebase_every=2)
    each.tangent = nn.Parameter(torch.zeros(4, 4))
    for _ in range(3):
        each()
        nn.init.normal_(each.tangent)
    assert (int(each.steps), int(each.rebases)) == (2, 1)


def test_a_step_of_a_copy_before_its_first_forward_counts():
    other = copy.deepcopy(tnn.Trivialization(4))
    nn.init.normal_(other.tangent)
    other()
    assert int(other.rebases) == 1


def test_a_batch_of_tangents_without_gradients():
    each, tangents = tnn.Trivialization(4), torch.randn(3, 4, 4)

    def at(tangent):
        return torch.func.functional_call(each, {"tangent": tangent}, ())

    with torch.no_grad():
        found = torch.func.vmap(at)(tangents)
        torch.testing.assert_close(found, torch.stack([*map(at, tangents)]))
