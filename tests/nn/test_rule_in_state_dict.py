"""A state dict says which rule its weights belong to, and repr what the rule is now."""

import copy
import io
import warnings

import pytest
import torch
from torch import nn

import torchmomentum.nn as tnn

MISMATCH = r"trained with Momentum\(mu=0\.9, step_size=0\.6\), and it has "


def _lstm(rule=None):
    return tnn.LSTM(3, 4, momentum=rule)


def _saved(module, **options):
    """A state dict by way of a file, read without trust."""
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True, **options)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (tnn.Momentum(0.1, 0.6), r"Momentum\(mu=0\.1, step_size=0\.6\)"),
        (tnn.Adam(0.9, 0.6), r"Adam\("),
        (None, "no rule"),
        (tnn.Momentum(0.9, 0.6, space="hidden"), r"Momentum\(.*space='hidden'\)"),
        (tnn.Momentum(0.9, 0.6, learnable=True), r"Momentum\(learnable=True\)"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_weights_of_another_rule_are_an_error_or_a_warning(other, told, nested):
    own, another = _lstm(tnn.Momentum(0.9, 0.6)), _lstm(copy.deepcopy(other))
    if nested:
        own, another = nn.ModuleDict({"rnn": own}), nn.ModuleDict({"rnn": another})
    state = _saved(own)
    where = "of rnn were " if nested else "of LSTM were "
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError, match=where + MISMATCH + told):
            another.load_state_dict(state)
    with pytest.warns(UserWarning, match=MISMATCH + told):
        another.load_state_dict(state, strict=False)
    found = another["rnn"] if nested else another
    assert torch.equal(found.weight_hh_l0, state["rnn." * nested + "weight_hh_l0"])


def test_the_same_rule_and_torchs_layers_load_as_ever():
    own = _lstm(tnn.Momentum(0.9, 0.6))
    _lstm(tnn.Momentum(0.9, 0.6)).load_state_dict(_saved(own))
    plain = nn.LSTM(3, 4)
    plain.load_state_dict(own.state_dict())
    own.load_state_dict(plain.state_dict())
    own.load_state_dict(_lstm().state_dict())  # trained without a rule: it is being added
    own.load_state_dict(dict(own.state_dict()))  # no metadata
    assert own.state_dict(destination={}).keys() == own.state_dict().keys()


def test_learned_values_are_the_state_dicts_own():
    own = _lstm(tnn.Momentum(0.9, 0.6, learnable=True))
    with torch.no_grad():
        own.momentum.logit_mu.fill_(0.0)
    other = _lstm(tnn.Momentum(0.3, 0.1, learnable=True))
    other.load_state_dict(_saved(own))
    assert repr(other.momentum) == "Momentum(mu=0.5, step_size=0.6, learnable=True)"


def test_a_rule_of_ones_own_is_told_by_its_name():
    class Halved(tnn.Rule):
        def initial_state(self, batch_size, width, **options):
            return ()

        def step(self, drive, state):
            return drive / 2, ()

    with pytest.warns(UserWarning, match=r"trained with Halved\(\), and it has no rule"):
        _lstm().load_state_dict(_lstm(Halved()).state_dict(), strict=False)


def test_one_step_cells_too():
    own = tnn.LSTMCell(3, 4, momentum=tnn.Momentum(0.9, 0.6))
    with pytest.warns(UserWarning, match=r"of LSTMCell were trained with Momentum.*has Adam"):
        tnn.LSTMCell(3, 4, momentum=tnn.Adam()).load_state_dict(own.state_dict(), strict=False)


@pytest.mark.parametrize(
    ("rule", "shown"),
    [
        (tnn.Momentum(0.9, 0.6, learnable=True), "Momentum(mu=0.7311, step_size=2.718, learn"),
        (tnn.Nesterov(0.5, restart=3, learnable=True), "Nesterov(step_size=2.718, restart=3, l"),
        (tnn.Gain(8.0, learnable=True), "Gain(gain=2.718, learnable=True)"),
    ],
)
def test_repr_shows_what_is_learned_by_now(rule, shown):
    with torch.no_grad():
        for parameter in rule.parameters():
            parameter.fill_(1.0)
    assert repr(rule).startswith(shown)
    assert "?" in repr(copy.deepcopy(rule).to("meta"))
