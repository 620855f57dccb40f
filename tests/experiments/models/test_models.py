"""Models by name: rules with cells, controls, one's own."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import torchmomentum.nn as tnn
from torchmomentum.experiments.data.batches import Batches
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.models import Model, build_model, model_of
from torchmomentum.experiments.models._model import check_model, of_module
from torchmomentum.experiments.models.controls import (
    DriveLayerNorm,
    Standardize,
    UnitRMS,
)
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.registry import RULES
from torchmomentum.experiments.studies.training import training_recipe
from torchmomentum.experiments.tasks import Data


def _data(**changes):
    values = {"input_size": 3, "output_size": 4, **changes}
    return Data(
        train=Batches(lambda *_: None, 1),
        validation=[],
        test=[],
        loss=nn.functional.mse_loss,
        metric=nn.functional.mse_loss,
        metric_name="x",
        higher_is_better=False,
        **values,
    )


def _build(model, data=None, **changes):
    recipe = training_recipe({"task": "pdigits", "model": model, "hidden_size": 5, **changes}, 0)
    torch.manual_seed(0)
    return build_model(recipe, _data() if data is None else data)


def test_a_composed_name_is_its_rule_on_its_cell():
    model = _build("adam-gru", mu=0.25, beta=0.5)
    assert isinstance(model.layer, tnn.GRU)
    assert isinstance(model.layer.momentum, tnn.Adam)
    assert (model.layer.momentum.mu, model.layer.momentum.beta) == (0.25, 0.5)
    assert type(_build("gru").layer) is nn.GRU  # the baseline is torch's own
    assert isinstance(_build("released-sr-lstm").layer.momentum, tnn.NesterovLookahead)


def test_an_identity_in_each_gate_is_a_recipes():
    gates = _build("adam-lstm", init="paper-gates").layer
    size = gates.hidden_size
    assert torch.equal(gates.weight_hh_l0, torch.eye(size).repeat(4, 1))


def test_an_orthogonal_network_has_a_group_of_its_own():
    options = {"orthogonal_lr": 0.25, "rebase_every": 0, "map": "cayley"}
    for name in ("dtriv", "adam-dtriv"):
        model = _build(name, **options, orthogonal_init="henaff")
        others, own = model.parameter_groups()
        assert own["lr"] == 0.25
        assert own["params"] == [model.layer.orthogonal[0].tangent]
        assert "lr" not in others
        each = model.layer.orthogonal[0]
        assert (each.map, each.rebase_every, each.init) == ("cayley", None, "henaff")
    assert len(_build("lstm").parameter_groups()) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"orthogonal_lr": 0.0}, "orthogonal_lr must be in"),
        ({"map": "log"}, "map must be one of exp, cayley"),
        ({"rebase_every": -1}, "rebase_every must be at least 1"),
    ],
)
def test_wrong_options_of_an_orthogonal_network(options, told):
    recipe = training_recipe({"task": "digits", "model": "dtriv", **options}, 0)
    with pytest.raises(UsageError, match=told):
        check_model(recipe)


def test_the_initialization_is_the_recipes():
    paper = _build("lstm", init="paper", forget_bias=4.0).layer
    assert torch.equal(
        paper.bias_ih_l0 + paper.bias_hh_l0, torch.tensor([0.0, 4, 0, 0]).repeat_interleave(5)
    )
    assert _build("lstm").layer.bias_ih_l0.abs().min() > 0


def test_the_readout_is_of_the_last_output_or_of_all():
    x = torch.randn(6, 2, 3)
    model = _build("momentum-lstm")
    expected = model.readout(model.layer(x)[0])
    assert torch.equal(model(x), expected[-1])
    each = _build("momentum-lstm", _data(each_step=True))
    assert each(x).shape == (6, 2, 4)


@pytest.mark.parametrize("model", ["lstm", "momentum-lstm", "rms-gru"])
def test_lengths_end_each_sequence(model):
    """What stands after a sequence's end has no part in its output."""
    net = _build(model).eval()
    x, lengths = torch.randn(6, 3, 3), torch.tensor([6, 2, 4])
    found = net(x, lengths)
    for i, length in enumerate(lengths.tolist()):
        if model.startswith("rms") and net.layer.momentum.mean_square is None:
            break  # its scale is the batch's until it was trained
        torch.testing.assert_close(found[i], net(x[:length, i : i + 1])[0])
    changed = x.clone()
    changed[4:, 1:] = 9.0
    torch.testing.assert_close(net(changed, lengths), found)


# --- controls -------------------------------------------------------------------------------------


def test_a_control_steps_as_it_scans():
    x = torch.randn(4, 2, 3)
    rule = DriveLayerNorm()
    one, state = rule.step(x[1], ())
    torch.testing.assert_close(one, rule.scan(x)[0][1])
    assert (one.shape, state) == ((2, 3), ())


@pytest.mark.parametrize(("name", "gain"), [("gain", 2.5), ("learned-gain", 1.0)])
def test_the_controls_of_gain_are_the_rule(name, gain):
    rule = RULES.find(name)()
    assert isinstance(rule, tnn.Gain)
    assert float(torch.as_tensor(rule.gain).detach()) == gain
    assert rule.learnable == (name == "learned-gain")
    again = RULES.find(name)(gain=8.0)
    assert float(torch.as_tensor(again.gain).detach()) == pytest.approx(8.0)


def test_what_a_recipe_asks_is_compiled(monkeypatch):
    recipe = training_recipe({"task": "pdigits", "model": "lstm", "hidden_size": 5}, 0)
    compiled = []
    monkeypatch.setattr(nn.Module, "compile", lambda module: compiled.append(module))
    assert build_model(recipe, _data()) is not None
    assert compiled == []
    assert compiled == [build_model(replace(recipe, compile=True), _data())]


def test_depths_that_are_none_are_refused_before_training():
    for name, depth in (("preresnet", 12), ("resnet", 51)):
        with pytest.raises(ValueError, match=str(depth)):
            model_of(name).check({"depth": depth})


def test_the_rms_is_one_for_each_unit():
    x = torch.randn(50, 8, 3) * torch.tensor([0.1, 1.0, 30.0]) + torch.tensor([0.0, 2.0, 0.0])
    rule = UnitRMS()
    found = rule.scan(x)[0]
    torch.testing.assert_close(found.square().mean((0, 1)), torch.ones(3), rtol=2e-3, atol=0)
    torch.testing.assert_close(rule.mean_square, x.square().mean((0, 1)))
    rule.scan(2 * x)  # a tenth of four times as much
    torch.testing.assert_close(rule.mean_square, 1.3 * x.square().mean((0, 1)))
    rule.eval()
    one = rule.scan(x[:1, :1])[0]  # the training's, whatever the batch is
    torch.testing.assert_close(one, x[:1, :1] / (rule.mean_square + 1e-5).sqrt())
    again = UnitRMS()
    again.load_state_dict(rule.state_dict())
    torch.testing.assert_close(again.mean_square, rule.mean_square)


def test_the_rms_counts_the_steps_that_count():
    x, lengths = torch.ones(4, 2, 1), torch.tensor([1, 3])
    x[1:, 0], x[3:, 1] = 100.0, 100.0
    rule = UnitRMS()
    rule.scan(x, None, lengths)
    torch.testing.assert_close(rule.mean_square, torch.ones(1))


def test_the_norms():
    x = torch.randn(50, 8, 3) * torch.tensor([0.1, 1.0, 30.0]) + 5
    found = DriveLayerNorm().scan(x)[0]
    torch.testing.assert_close(found.mean(-1), torch.zeros(50, 8), atol=1e-4, rtol=0)
    found = Standardize(3)(x)
    torch.testing.assert_close(found.mean((0, 1)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.std((0, 1)), torch.ones(3), atol=1e-2, rtol=0)
    lengths = torch.arange(8) * 7 + 1
    steps = torch.arange(50).unsqueeze(1) < lengths  # (T, B)
    padded = x.masked_fill(~steps.unsqueeze(-1), 1e3)
    kept = Standardize(3)(padded, lengths)
    torch.testing.assert_close(kept[steps].mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(kept[steps], Standardize(3)(x[steps].unsqueeze(1))[:, 0])
    assert kept[~steps].eq(0).all()
    net = _build("standardized-lstm")
    assert isinstance(net.standardize, Standardize)
    assert torch.equal(net(padded, lengths), net(x.masked_fill(~steps.unsqueeze(-1), 7.0), lengths))
    assert _build("lstm").standardize is None


# --- one's own ------------------------------------------------------------------------------------


class Own(nn.Module):
    def __init__(self, input_size, output_size, *, width=7):
        super().__init__()
        self.linear = nn.Linear(input_size, output_size)
        self.width = width


def test_a_module_is_given_what_it_names():
    model = of_module(Own, "own")
    assert model.options == {"width": 7}
    made = model.build(_data(), {"width": 9})
    assert (made.linear.in_features, made.linear.out_features, made.width) == (3, 4, 9)
    assert of_module(
        lambda hidden_size, output_size: nn.Linear(hidden_size, output_size), "f"
    ).options == {"hidden_size": 64}
    with pytest.raises(UsageError, match="has a required argument color that nothing sets"):
        of_module(lambda color: None, "f")
    with pytest.raises(UsageError, match="made a int, not a module"):
        of_module(lambda: 3, "f").build(_data(), {})
    with pytest.raises(UsageError, match="must be a module's class or a function"):
        of_module(3, "f")


def test_a_model_without_more_takes_no_options():
    assert Model(lambda data, options: nn.Linear(1, 1)).options == {}


def test_a_models_check_is_of_its_rule_if_it_has_one():
    sizes = {"hidden_size": 4, "init": "torch"}
    model_of("lstm").check(sizes)
    model_of("adam-lstm").check({**sizes, "rule": {"mu": 0.5}})
    with pytest.raises(ValueError, match="mu must be in"):
        model_of("adam-lstm").check({**sizes, "rule": {"mu": 2.0}})
    with pytest.raises(ValueError, match="hidden_size must be at least 1, got 0"):
        model_of("lstm").check({**sizes, "hidden_size": 0})


def test_wrong_hyperparameters_name_the_model():
    recipe = Training(
        "pdigits", "momentum-lstm", "adam", model_options={"rule": {"mu": 2.0}, "hidden_size": 4}
    )
    with pytest.raises(UsageError, match="model momentum-lstm:"):
        build_model(recipe, _data())
    assert isinstance(model_of("lstm"), Model)
