"""Models of torch.nn get momentum, stay the objects they were, and get rid of it again."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import torchmomentum as tm

RULES = {
    "momentum": lambda: tm.nn.Momentum(0.6, 0.5),
    "adam": lambda: tm.nn.Adam(0.6, 0.5, 0.9),
    "nesterov": lambda: tm.nn.Nesterov(1.0, restart=3),
    "lookahead": lambda: tm.nn.NesterovLookahead(1.0, restart=3),
    "hidden": lambda: tm.nn.Momentum(0.6, 0.5, space="hidden"),
}
LAYERS = {
    "rnn": (nn.RNN, tm.nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (nn.LSTM, tm.nn.LSTM, {}),
    "gru": (nn.GRU, tm.nn.GRU, {}),
}
MOMENTUM = tm.nn.Momentum(0.6, 0.5)


class Doubled(nn.LSTM):
    """A subclass that adds to what torch.nn's forward gives."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, x, hx=None):
        out, state = super().forward(x, hx)
        return out * self.scale, state


class Named(nn.LSTM):
    """A subclass whose forward is its parent's and nothing else."""

    def forward(self, x):
        return super().forward(x)


class Alone(nn.LSTM):
    """A subclass that does not ask its parent."""

    def forward(self, x, hx=None):
        return nn.LSTM.forward(self, x, hx)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
        self.middle = nn.ModuleList([Doubled(8, 4), nn.GRU(4, 5)])
        self.cell = nn.GRUCell(5, 5)
        self.out = nn.Linear(5, 1)

    def forward(self, x):
        for layer in (self.encoder, *self.middle):
            x, _ = layer(x)
        h = None
        for step in x:
            h = self.cell(step, h)
        return self.out(h)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_computes_what_ours_does(name, rule):
    torchs, ours, options = LAYERS[name]
    options = {"num_layers": 2, "bidirectional": True, "batch_first": True, **options}
    layer = torchs(3, 4, **options)
    plain = copy.deepcopy(layer)
    expected = ours(3, 4, **options, momentum=RULES[rule]())
    expected.load_state_dict(layer.state_dict(), strict=False)
    x = torch.randn(2, 5, 3)
    assert tm.nn.momentumize(layer, RULES[rule]()) is layer
    assert isinstance(layer, torchs)
    assert repr(layer) == repr(expected)
    out, state = layer(x)
    torch.testing.assert_close(out, expected(x)[0], rtol=0, atol=0)
    assert (out - plain(x)[0]).abs().max() > 1e-3
    # a state carries the momentum on
    again, _ = layer(x, state)
    torch.testing.assert_close(again, expected(x, expected(x)[1])[0], rtol=0, atol=0)

    assert tm.nn.to_torch(layer) is layer
    assert type(layer) is torchs
    assert vars(layer).keys() == vars(plain).keys()
    assert torch.equal(layer(x)[0], plain(x)[0])
    assert repr(layer) == repr(plain)


def test_a_model_keeps_what_it_has():
    model = Model()
    hooked = []
    model.encoder.register_forward_hook(lambda *_: hooked.append("forward"))
    model.middle[0].register_full_backward_hook(lambda *_: hooked.append("backward"))
    parameters, modules = dict(model.named_parameters()), dict(model.named_modules())
    before = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    tm.nn.momentumize(model.double(), MOMENTUM)
    assert {name: id(p) for name, p in model.named_parameters()} == {
        name: id(p) for name, p in parameters.items()
    }
    assert all(model.get_submodule(name) is module for name, module in modules.items())
    assert model.state_dict().keys() == before.state_dict().keys()
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    loss = model(x).square().mean()
    assert loss.dtype == torch.float64
    loss.backward()
    optimizer.step()
    assert model(x).square().mean() < loss
    assert set(hooked) == {"forward", "backward"}
    assert model.middle[0].scale == 2
    assert type(model.middle[0]).__module__ == Doubled.__module__
    tm.nn.momentumize(tm.nn.to_torch(model).eval(), MOMENTUM)
    assert not any(module.training for module in model.modules())


def test_what_a_subclass_adds_stays():
    layer = Doubled(3, 4)
    expected = tm.nn.from_torch(nn.LSTM(3, 4), MOMENTUM)
    expected.load_state_dict({k: v for k, v in layer.state_dict().items() if k != "scale"})
    tm.nn.momentumize(layer, MOMENTUM)
    x = torch.randn(5, 2, 3)
    assert torch.equal(layer(x)[0], 2 * expected(x)[0])
    assert type(layer).__name__ == "Doubled"
    assert isinstance(layer, Doubled)
    assert type(tm.nn.to_torch(layer)) is Doubled


def test_a_forward_that_is_its_parents_alone():
    layer = Named(3, 4)
    expected = tm.nn.LSTM(3, 4, momentum=MOMENTUM)
    expected.load_state_dict(layer.state_dict())
    tm.nn.momentumize(layer, MOMENTUM)
    x = torch.randn(5, 2, 3)
    assert torch.equal(layer(x)[0], expected(x)[0])


def _saved(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("way", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), _saved])
def test_copies(way):
    model = tm.nn.momentumize(Model(), tm.nn.Momentum(0.6, 0.5, learnable=True))
    made, x = way(model), torch.randn(6, 2, 3)
    for (name, module), other in zip(model.named_modules(), made.modules(), strict=True):
        assert type(module) is type(other), name
    assert torch.equal(made(x), model(x))
    made(x).sum().backward()
    assert made.encoder.weight_ih_l0.grad is not None
    assert model.encoder.weight_ih_l0.grad is None
    tm.nn.to_torch(made)
    assert [type(m) for m in made.modules()] == [type(m) for m in Model().modules()]


def test_each_layer_has_a_rule_of_its_own():
    rule = tm.nn.Momentum(0.6, 0.5, learnable=True)
    model = tm.nn.momentumize(Model(), rule)
    rules = [module.momentum for module in model.modules() if hasattr(module, "momentum")]
    assert len(rules) == 4
    parameters = [p for each in [rule, *rules] for p in each.parameters()]
    assert len({id(p) for p in parameters}) == 10
    model.to(torch.float64)
    assert rule.mu.dtype == torch.float32


@pytest.mark.parametrize(
    ("where", "names"),
    [
        (None, ["encoder", "middle.0", "middle.1", "cell"]),
        ("middle.*", ["middle.0", "middle.1"]),
        (["cell", "enc*"], ["encoder", "cell"]),
        (lambda name, module: isinstance(module, nn.GRU), ["middle.1"]),
    ],
)
def test_where(where, names):
    report = tm.nn.momentum_report(tm.nn.momentumize(Model(), MOMENTUM, where=where))
    assert [found.name for found in report if found.momentum] == names
    assert len(report) == 4


def test_the_report():
    model = nn.ModuleDict({"a": nn.LSTM(3, 4), "b": Alone(3, 4), "c": tm.nn.LRU(3, 4)})
    assert str(tm.nn.momentum_report(model)).splitlines() == [
        "a: LSTM, no momentum",
        "b: Alone, left: Alone.forward computes the recurrence itself",
        "c: LRU, no momentum",
    ]
    tm.nn.momentumize(model, MOMENTUM, where="[ac]")
    assert str(tm.nn.momentum_report(model)).splitlines() == [
        "a: LSTM, Momentum(mu=0.6, step_size=0.5)",
        "b: Alone, left: Alone.forward computes the recurrence itself",
        "c: LRU, Momentum(mu=0.6, step_size=0.5)",
    ]
    assert str(tm.nn.momentum_report(nn.Linear(2, 2))) == "no recurrent layer"
    assert str(tm.nn.momentum_report(model["a"])).startswith("the model: LSTM, Momentum")


def _replaced():
    layer = nn.LSTM(3, 4)
    layer.forward = layer.forward
    return layer


def _named():
    layer = Doubled(3, 4)
    layer.layer_norm = nn.LayerNorm(4)
    return layer


class Checked(nn.LSTM):
    """A subclass that asks its parent for something else."""

    def forward(self, x, hx=None):
        super().check_input(x, None)
        return nn.functional.linear(x, self.weight_hh_l0.T), None


class Stepwise(nn.LSTM):
    """A subclass with a method that has the name of one of ours."""

    def _run(self, x):
        return x

    def forward(self, x, hx=None):
        return super().forward(self._run(x), hx)


class Tagged(nn.LSTM):
    """A class that asks its subclasses for something."""

    def __init_subclass__(cls, *, tag):
        super().__init_subclass__()


class Decoder(nn.RNNBase):
    """Another cell than torch.nn's, which the base class lets pass."""

    def __init__(self):
        super().__init__("LSTM", 3, 4)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Alone(3, 4), "Alone.forward computes the recurrence itself"),
        (lambda: torch.jit.script(nn.LSTM(3, 4)), "compiled by TorchScript"),
        (lambda: parametrizations.weight_norm(nn.LSTM(3, 4), "weight_hh_l0"), "is parametrized"),
        (_replaced, "its forward was replaced"),
        (_named, "its attribute layer_norm stands in the way"),
        (lambda: Checked(4, 4), "Checked.forward computes the recurrence itself"),
        (lambda: Stepwise(3, 4), "its attribute _run stands in the way"),
        (lambda: Tagged(3, 4), "no class can be made of Tagged: .*tag"),
        (Decoder, "another cell than those of torch.nn"),
        (lambda: tm.nn.MomentumLSTM(3, 4, mu=0.1), r"it has Momentum\(mu=0.1, step_size=1\)"),
    ],
)
def test_what_cannot_be_converted_is_left(make, why):
    model = nn.Sequential(make(), nn.GRU(4, 4))
    kind, names = type(model[0]), vars(model[0]).keys()
    with pytest.warns(UserWarning, match=rf"^0 \(.*\) is left: .*{why}") as told:
        tm.nn.momentumize(model, MOMENTUM)
    assert len(told) == 1
    assert told[0].filename == __file__
    assert type(model[0]) is kind
    assert vars(model[0]).keys() == names
    assert model[1].momentum is not None


def test_a_weight_that_is_made_anew():
    """A parametrization after the conversion, and one of the old kind, which are attributes."""
    layer = tm.nn.momentumize(nn.LSTM(3, 4), MOMENTUM)
    expected, x = copy.deepcopy(layer), torch.randn(5, 2, 3)
    parametrizations.weight_norm(layer, "weight_hh_l0")
    torch.testing.assert_close(layer(x)[0], expected(x)[0])
    layer.parametrizations.weight_hh_l0.original0.data.mul_(0)
    expected.weight_hh_l0.data.zero_()
    torch.testing.assert_close(layer(x)[0], expected(x)[0])
    with pytest.warns(UserWarning, match="is left: it is parametrized"):
        tm.nn.to_torch(layer)


def test_nothing_to_convert():
    with pytest.raises(ValueError, match=r"Linear has no recurrent layer of torch.nn; it has none"):
        tm.nn.momentumize(nn.Linear(2, 2), MOMENTUM)
    with pytest.raises(ValueError, match=r"chosen by where='x'; it has encoder, middle.0, "):
        tm.nn.momentumize(Model(), MOMENTUM, where="x")
    with pytest.raises(TypeError, match=r"momentum must be a rule .* got float"):
        tm.nn.momentumize(Model(), 0.6)
    with pytest.raises(TypeError, match=r"momentum must be a rule .* got None"):
        tm.nn.momentumize(Model(), None)


def test_a_rule_that_does_not_fit_changes_nothing():
    hidden = tm.nn.Momentum(0.6, 0.5, space="hidden")
    model = nn.Sequential(nn.LSTM(3, 4), nn.LSTM(4, 4, proj_size=2))
    with pytest.raises(ValueError, match="proj_size must be 0"):
        tm.nn.momentumize(model, hidden)
    assert [type(module) for module in model] == [nn.LSTM, nn.LSTM]
    with pytest.raises(ValueError, match="no recurrent weights, and no the rule Momentum"):
        tm.nn.momentumize(tm.nn.MinGRU(3, 4), hidden)
    cell = tm.nn.momentumize(nn.LSTMCell(3, 4), hidden)  # has no projection
    assert cell.momentum.space == "hidden"


def test_tied_weights_stay_tied():
    layer = nn.LSTM(4, 4, num_layers=2)
    layer.weight_hh_l1 = layer.weight_hh_l0
    for made in (tm.nn.from_torch(layer, MOMENTUM), tm.nn.momentumize(layer, MOMENTUM)):
        assert made.weight_hh_l1 is made.weight_hh_l0
        assert made(torch.ones(3, 2, 4))[0].isfinite().all()


def test_a_shared_layer_has_all_its_names():
    layer = nn.LSTM(4, 4)
    model = nn.ModuleDict({"encoder": layer, "decoder": layer})
    tm.nn.momentumize(model, MOMENTUM, where="decoder")
    assert [found.name for found in tm.nn.momentum_report(model)] == ["encoder"]
    with pytest.raises(ValueError, match="chosen by where='typo'; it has encoder, decoder"):
        tm.nn.momentumize(model, MOMENTUM, where=["encoder", "typo"])


def test_truncated_backpropagation_through_a_converted_layer():
    layer = tm.nn.momentumize(nn.LSTM(3, 4, num_layers=2), tm.nn.Adam(0.6, 1.0, 0.9))
    x, state, parts = torch.randn(9, 2, 3), None, []
    for piece in x.split(2):
        out, state = layer(piece, state)
        state = tuple(s.detach() for s in state)
        parts.append(out)
    torch.testing.assert_close(torch.cat(parts), layer(x)[0])


def test_on_the_meta_device():
    with torch.device("meta"):
        model = nn.Sequential(nn.LSTM(3, 4))
    tm.nn.momentumize(model, tm.nn.Momentum(0.6, 0.5, learnable=True))
    assert model[0].momentum.mu.is_meta
    assert model[0](torch.empty(5, 2, 3, device="meta"))[0].shape == (5, 2, 4)
