"""Cells without recurrent weights in blocks, beside their equations written out."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

import torchmomentum.nn as tnn
from torchmomentum.experiments.engine.optimizers import Schedule
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.models._model import check_model
from torchmomentum.experiments.models.blocks import LRU, LRUStack, MinGRUStack
from torchmomentum.experiments.models.controls import UnitRMS
from torchmomentum.experiments.models.sequence import SequenceModel
from torchmomentum.experiments.studies.training import training_recipe


def _normalized(norm, x):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt()


def _made_by_mingru(unit, x, mu=0.0):
    """The unit and, with constant momentum of step size one, its rule: step by step."""
    z, candidate = (x @ unit.weight_ih_l0.T + unit.bias_ih_l0).chunk(2, -1)
    h, v, w, out = 0.0, 0.0, 0.0, []
    for gate, drive in zip(z, candidate, strict=True):
        v, w = mu * v + gate, mu * w + drive
        h = (1 - v.sigmoid()) * h + v.sigmoid() * w
        out.append(h)
    return torch.stack(out)


def _made_by_lru(unit, x):
    own = dict(unit.named_parameters())
    drives = x @ own["weight_ih_l0"].T + own["bias_ih_l0"]
    re, im, skip = drives.chunk(3, -1)
    decay = torch.exp(-own["nu_log_l0"].exp() + 1j * own["theta_log_l0"].exp())
    real, imaginary = own["weight_ro_l0"].chunk(2, -1)
    state, out = torch.zeros((), dtype=decay.dtype), []
    for t in range(len(x)):
        state = decay * state + own["gamma_log_l0"].exp() * (re[t] + 1j * im[t])
        out.append((state @ (real + 1j * imaginary).T).real + skip[t])
    return torch.stack(out)


@pytest.mark.parametrize("mu", [0.0, 0.6])
def test_mingru(mu):
    rule = tnn.Momentum(mu, 1.0) if mu else None
    stack = MinGRUStack(3, 4, rule, depth=2, expansion=3).double()
    x = torch.randn(7, 2, 3, dtype=torch.float64)
    found, state = stack(x)
    assert state is None
    assert stack.units[0].hidden_size == 12
    expected = stack.encoder(x)
    for norm, unit, closing in zip(stack.norms, stack.units, stack.closings, strict=True):
        made = _made_by_mingru(unit, _normalized(norm, expected), mu)
        expected = expected + made @ closing.weight.T + closing.bias
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_lru():
    stack = LRUStack(3, 4, depth=2).double()
    x = torch.randn(7, 2, 3, dtype=torch.float64)
    expected = stack.encoder(x)
    for norm, unit, closing in zip(stack.norms, stack.units, stack.closings, strict=True):
        made = nn.functional.gelu(_made_by_lru(unit, _normalized(norm, expected)))
        value, gate = (made @ closing.weight.T + closing.bias).chunk(2, -1)
        expected = expected + value * gate.sigmoid()
    torch.testing.assert_close(stack(x)[0], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", [LRUStack, MinGRUStack])
def test_each_block_has_a_rule_of_its_own(kind):
    """A rule may learn, or remember what it saw."""
    stack = kind(3, 4, tnn.Gain(2.0, learnable=True))
    first, second = (unit.momentum for unit in stack.units[:2])
    assert first is not second
    assert first.gain == second.gain == 2.0
    assert sum("momentum" in name for name, _ in stack.named_parameters()) == len(stack.units)


def test_lru_begins_on_its_ring_and_drops_what_its_gate_reads():
    stack, seen = LRUStack(3, 50, r_min=0.4, r_max=0.5, dropout=1.0), []
    for unit in stack.units:
        modulus = torch.exp(-unit.nu_log_l0.detach().exp())
        assert 0.4 - 1e-6 <= modulus.min() < 0.45 < modulus.max() <= 0.5 + 1e-6
    stack.closings[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    stack(torch.randn(5, 2, 3))
    assert not seen[0].any()


@pytest.mark.parametrize("kind", [LRUStack, MinGRUStack])
def test_dropout_is_of_what_blocks_add(kind):
    stack, x = kind(3, 4, dropout=1.0), torch.randn(5, 2, 3)
    assert torch.equal(stack(x)[0], stack.encoder(x))
    assert not torch.equal(stack.eval()(x)[0], stack.encoder(x))


@pytest.mark.parametrize("kind", [LRUStack, MinGRUStack])
def test_what_follows_a_sequences_end_changes_nothing_before_it(kind):
    """Of a rule that takes a mean over all steps of all sequences."""
    stack, x, lengths = kind(3, 4, UnitRMS()), torch.randn(6, 2, 3), torch.tensor([6, 3])
    out = stack(x, lengths=lengths)[0]
    x = x.clone()
    x[3:, 1] = torch.randn(3, 3)
    again = stack(x, lengths=lengths)[0]
    torch.testing.assert_close(again[:, 0], out[:, 0], rtol=0, atol=0)
    torch.testing.assert_close(again[:3, 1], out[:3, 1], rtol=0, atol=0)


@pytest.mark.parametrize("option", ["depth", "expansion"])
def test_sizes_are_checked(option):
    recipe = training_recipe({"task": "pdigits", "model": "mingru"}, 0)
    recipe = replace(recipe, model_options={**recipe.model_options, option: 0})
    with pytest.raises(UsageError, match=f"{option} must be at least 1, got 0"):
        check_model(recipe)


@pytest.mark.parametrize("lr", [None, 0.25])
def test_the_decays_may_have_a_rate_of_their_own(lr):
    model = SequenceModel(
        LRUStack(3, 4), 2, False, groups=partial(LRU.groups, {"recurrent_lr": lr})
    )
    groups = model.parameter_groups()
    everything = {id(p) for group in groups for p in group["params"]}
    assert everything == {id(p) for p in model.parameters()}
    if lr is None:
        assert len(groups) == 1
        return
    own = [
        getattr(u, f"{name}_l0")
        for u in model.layer.units
        for name in ("nu_log", "theta_log", "gamma_log")
    ]
    assert {id(p) for p in groups[1]["params"]} == {id(p) for p in own}
    optimizer = torch.optim.AdamW(groups, lr=1.0, weight_decay=0.5)
    told = [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    assert told == [(1.0, 0.5), (0.25, 0.0)]


def test_the_rate_of_decays_is_checked():
    recipe = training_recipe({"task": "pdigits", "model": "lru", "recurrent_lr": 0.0}, 0)
    with pytest.raises(UsageError, match="recurrent_lr must be in"):
        check_model(recipe)


def test_lru_has_its_recipe_on_cifar_pixel_by_pixel():
    settings = {"task": "cifar10-pixels", "scale": "paper"}
    lru, lstm = (training_recipe({**settings, "model": name}, 0) for name in ("lru", "lstm"))
    assert lru.optimizer_options == {"lr": 5e-3, "weight_decay": 0.05}
    own = ("depth", "dropout", "recurrent_lr", "hidden_size")
    assert [lru.model_options[name] for name in own] == [6, 0.1, 1.25e-3, 512]
    assert (lru.batch_size, lru.epochs, lru.clip, lstm.clip) == (50, 200, None, 1.0)
    assert lru.schedule == lstm.schedule == {"cosine": True, "warmup": 0.1}
    desk = training_recipe({**settings, "model": "lru", "scale": "desk"}, 0)
    assert Schedule(**desk.schedule, epochs=desk.epochs).rate(0) == 1.0


def test_selective_copying_has_mingrus_recipe():
    given = {"task": "selective-copying", "scale": "paper"}
    options = training_recipe({**given, "model": "momentum-mingru"}, 0).model_options
    assert (options["depth"], options["dropout"], options["hidden_size"]) == (3, 0.1, 64)
    assert options["rule"] == {"mu": 0.6, "step_size": 0.4}
