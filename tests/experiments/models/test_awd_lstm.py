"""AWD-LSTM: its size, its state from window to window, what it drops and what it adds."""

import pytest
import torch

import torchmomentum.nn as tnn
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.models import model_of
from torchmomentum.experiments.models.awd_lstm import AWDLSTM, OPTIONS, locked_dropout
from torchmomentum.experiments.tasks import task_of

SMALL = {**OPTIONS, "hidden_size": 6, "embedding_size": 4}
STILL = {**SMALL, **{key: 0.0 for key in OPTIONS if key.endswith("dropout")}}
RULES = {
    "none": lambda: None,
    "momentum": lambda: tnn.Momentum(0.6, 0.9),
    "sr": lambda: tnn.Nesterov(0.6, 2),
    "adam": lambda: tnn.Adam(0.3, 0.6, 0.9),
}
YES, NO = torch.tensor(True), torch.tensor(False)


def test_it_has_the_published_number_of_parameters():
    with torch.device("meta"):
        model = AWDLSTM(10_000, lambda: None, OPTIONS)
    sizes = [(400, 1150), (1150, 1150), (1150, 400)]
    lstms = sum(4 * h * (i + h + 2) for i, h in sizes)
    assert sum(p.numel() for p in model.parameters()) == lstms + 10_000 * 401
    assert 24.0e6 < lstms + 10_000 * 401 < 24.3e6  # "about 24M", Table 3


@pytest.mark.parametrize("name", RULES)
def test_windows_that_follow_equal_one_and_a_stream_that_begins_forgets(name):
    model = AWDLSTM(9, RULES[name], SMALL).double().eval()
    words = torch.randint(9, (12, 3))
    whole = model(words, YES)
    parts = torch.cat([model(words[:5], YES), model(words[5:], NO)])
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(model(words, YES), whole, rtol=0, atol=0)
    assert not torch.allclose(model(words, NO), whole)


@pytest.mark.parametrize("name", RULES)
def test_a_state_dict_holds_the_state(name, tmp_path):
    model, other = (AWDLSTM(9, RULES[name], SMALL).eval() for _ in range(2))
    words = torch.randint(9, (12, 3))
    model(words[:5], YES)
    torch.save(model.state_dict(), tmp_path / "model")
    other.load_state_dict(torch.load(tmp_path / "model", weights_only=True))
    assert torch.equal(other(words[5:], NO), model(words[5:], NO))


def test_a_state_goes_where_the_weights_are():
    model, other = (AWDLSTM(9, RULES["adam"], SMALL) for _ in range(2))
    model(torch.randint(9, (5, 3)), YES)
    other.to("meta").set_extra_state(model.get_extra_state())
    parts = [part for layer in other.get_extra_state() for part in layer[0:2]]
    assert all(part.is_meta for part in parts)


def test_no_gradient_passes_a_window():
    model = AWDLSTM(9, RULES["momentum"], STILL)
    words = torch.randint(9, (8, 3))
    for begins in (YES, NO):
        (
            model(words, begins).sum() + model.training_penalty()
        ).backward()  # raises if the graph is shared


def test_the_penalties_are_those_of_the_last_layer():
    model = AWDLSTM(9, RULES["none"], {**STILL, "activation_penalty": 3.0}).train()
    words = torch.randint(9, (8, 3))
    model(words, YES)
    out = model.weight[words]
    for layer in model.layers:
        out = layer(out)[0]
    expected = 3 * out.square().mean() + (out[1:] - out[:-1]).square().mean()
    torch.testing.assert_close(model.training_penalty(), expected)
    with pytest.raises(RuntimeError, match="needs a forward in training"):
        AWDLSTM(9, RULES["none"], SMALL).training_penalty()


def test_locked_dropout_drops_channels_at_all_steps_and_keeps_the_mean():
    torch.manual_seed(0)
    x = torch.ones(5, 40, 50)
    found = locked_dropout(x, 0.4, True)
    assert torch.equal(found, found[:1].expand_as(found))
    assert found.unique().tolist() == pytest.approx([0.0, 1 / 0.6])
    assert abs(found[0].mean() - 1) < 4 * (0.4 / 0.6 / 2000) ** 0.5
    assert locked_dropout(x, 0.4, False) is x


@pytest.mark.parametrize(
    ("option", "same"),
    [("layer_dropout", True), ("output_dropout", False), ("input_dropout", False)],
)
def test_of_one_layer_the_output_is_dropped_and_nothing_is_between(option, same):
    torch.manual_seed(0)
    model = AWDLSTM(9, RULES["none"], {**STILL, "num_layers": 1, option: 0.7})
    words = torch.randint(9, (8, 3))
    assert torch.equal(model(words, YES), model(words, YES)) == same


def test_embedding_dropout_drops_whole_words():
    torch.manual_seed(0)
    model = AWDLSTM(400, RULES["none"], {**STILL, "embedding_dropout": 0.25})
    found = model._embedded(torch.arange(400)) / model.weight
    assert torch.allclose(found, found[:, :1].expand_as(found))
    dropped = (found[:, 0] == 0).float().mean()
    assert abs(dropped - 0.25) < 4 * (0.25 * 0.75 / 400) ** 0.5
    torch.testing.assert_close(found[found != 0].mean().item(), 1 / 0.75)


def test_weights_are_dropped_and_the_readout_is_the_embedding():
    torch.manual_seed(0)
    model = AWDLSTM(9, RULES["none"], {**STILL, "weight_dropout": 0.5})
    words = torch.randint(9, (8, 3))
    assert not torch.equal(model(words, YES), model(words, YES))
    model.eval()
    assert torch.equal(model(words, YES), model(words, YES))
    assert [name for name, _ in model.named_parameters() if "layers" not in name] == [
        "weight",
        "bias",
    ]


def _data(task, words):
    empty = task_of(task)
    return Data([], [], [], None, None, empty.metric, False, input_size=0, output_size=words)


@pytest.mark.parametrize(
    "name", ["awd-lstm", "sr-awd-lstm", "rms-awd-lstm", "standardized-awd-lstm"]
)
def test_every_rule_and_control_by_name(name):
    found = model_of(name)
    model = found.build(_data("ptb", 7), {**found.options, "hidden_size": 6, "embedding_size": 4})
    assert model(torch.randint(7, (5, 2)), YES).shape == (5, 2, 7)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("num_layers", 0, "num_layers must be at least 1, got 0"),
        ("layer_dropout", 1.5, r"layer_dropout must be in \[0, 1\), got 1.5"),
        ("difference_penalty", float("nan"), "difference_penalty must be"),
        (
            "init",
            "zero",
            "init must be one of torch, paper, paper-gates, torch-unit, paper-unit, got 'zero'",
        ),
    ],
)
def test_options_out_of_their_range_are_named(option, value, message):
    with pytest.raises(ValueError, match=message):
        model_of("momentum-awd-lstm").check({**SMALL, "rule": {}, option: value})
