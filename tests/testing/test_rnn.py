"""The contract of layers: PyTorch's keep it, and each check finds its own fault."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import torchmomentum.nn as tnn
from tests.testing.faults import is_found
from torchmomentum.ops.cells import Cell, recurrent
from torchmomentum.testing import check_rnn
from torchmomentum.testing._rnn import CONTRACT


def test_all_checks_run():
    assert check_rnn(nn.RNN) == list(CONTRACT.checks)


def test_unknown_checks_are_named():
    with pytest.raises(ValueError, match=r"unknown checks \['shape'\]; known: shapes, "):
        check_rnn(nn.LSTM, skip=["shape"])
    assert check_rnn(nn.LSTM, skip=list(CONTRACT.checks)[1:]) == ["shapes"]


class Faulty(nn.GRU):
    """A GRU whose output or state is changed where a condition holds."""

    def __init__(self, *args, when=lambda layer, x: True, out=None, state=None, **options):
        super().__init__(*args, **options)
        self.when, self.out, self.state = when, out, state

    def forward(self, x, hx=None):
        y, h = super().forward(x, hx)
        if isinstance(x, torch.Tensor) and self.when(self, x):
            y = self.out(y) if self.out else y
            h = self.state(h) if self.state else h
        return y, h


def _faulty(**fault):
    return partial(Faulty, **fault)


WHERE = {
    "two layers": lambda layer, x: layer.num_layers == 2,
    "one layer": lambda layer, x: layer.num_layers == 1,
    "two directions": lambda layer, x: layer.bidirectional,
    "one direction": lambda layer, x: not layer.bidirectional,
    "biases": lambda layer, x: layer.bias,
    "no biases": lambda layer, x: not layer.bias,
}


def _one_more(x):
    return torch.cat([x, x[..., :1]], -1)


def _off(x):
    return x + 1e-6


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(
    ("check", "change", "also"),
    [
        ("shapes", {"out": _one_more}, lambda layer, x: True),
        ("shapes", {"state": _one_more}, lambda layer, x: True),
        ("batch_first", {"out": _off}, lambda layer, x: layer.batch_first),
        ("batch_first", {"state": _off}, lambda layer, x: layer.batch_first),
        ("unbatched", {"out": _off}, lambda layer, x: x.dim() == 2),
        ("unbatched", {"state": _off}, lambda layer, x: x.dim() == 2),
        # of a sequence alone, so that what is packed is another
        ("packed", {"out": _off}, lambda layer, x: x.dim() == 2),
        ("packed", {"state": _off}, lambda layer, x: x.dim() == 2),
    ],
)
def test_each_kind_of_layer_is_checked(check, change, also, where):
    def when(layer, x):
        return also(layer, x) and WHERE[where](layer, x)

    is_found(CONTRACT, check, _faulty(when=when, **change))


class Forgets(nn.LSTM):
    def forward(self, x, hx=None):
        return super().forward(x, None)


class ForgetsWithoutBias(nn.LSTM):
    def forward(self, x, hx=None):
        return super().forward(x, hx if self.bias else None)


class LosesMomentum(tnn.MomentumLSTM):
    """Returns a state that carries none."""

    def forward(self, x, hx=None):
        out, state = super().forward(x, hx)
        self._asked = 1000  # no warning either
        return out, tuple(s.as_subclass(torch.Tensor) for s in state)


class StartsFromOnes(nn.GRU):
    """Goes on only from the state that it names itself."""

    def initial_state(self, batch):
        return torch.ones(2, batch, self.hidden_size, dtype=torch.float64)

    def forward(self, x, hx=None):
        return super().forward(x, self.initial_state(x.shape[1]) if len(x) > 2 else hx)


class OtherLengths(nn.GRU):
    def forward(self, x, hx=None):
        if not isinstance(x, PackedSequence):
            return super().forward(x, hx)
        padded, lengths = pad_packed_sequence(x)
        y, h = super().forward(padded)
        lengths = lengths.clone()
        lengths[0] += 1
        return pack_padded_sequence(y, lengths, enforce_sorted=False), h


class NoSecondDerivative(nn.GRU):
    def forward(self, x, hx=None):
        return _FirstOnly.apply(x, self), x.new_zeros(1)


class _FirstOnly(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, layer):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return (3 * x.detach() ** 2) * grad, None


class Detached(nn.GRU):
    def forward(self, x, hx=None):
        y, h = super().forward(x, hx)
        return y + 0.1 * y.detach(), h


class DetachedTwice(Detached):
    def forward(self, x, hx=None):
        return (super() if self.bidirectional else super(Detached, self)).forward(x, hx)


class LoadsNothing(nn.GRU):
    def load_state_dict(self, *args, **options):
        return None


class CopiedAnew(nn.GRU):
    def __deepcopy__(self, memo):
        torch.manual_seed(7)
        return CopiedAnew(self.input_size, self.hidden_size, 2, dtype=torch.float64)


class PickledAnew(nn.GRU):
    def __reduce__(self):
        torch.manual_seed(7)
        return partial(PickledAnew, 4, 6, 2, dtype=torch.float64), ()

    def __deepcopy__(self, memo):
        return self


class ChangesItsInput(nn.GRU):
    def forward(self, x, hx=None):
        found = super().forward(x, hx)
        x.data.mul_(2)
        return found


def _typed(y):
    return y.float()


class NoGradient(nn.GRU):
    def forward(self, x, hx=None):
        y, h = super().forward(x, hx)
        return y.detach().requires_grad_(), h


class DrawsOtherwise(nn.GRU):
    def reset_parameters(self):
        bound = 0.1 if any(p.is_meta for p in self.parameters()) else self.hidden_size**-0.5
        self.drawn = getattr(self, "drawn", 0) + 1
        for p in self.parameters():
            nn.init.uniform_(p, -bound * self.drawn, bound * self.drawn)


class NoMeta(nn.GRU):
    def __init__(self, *args, device=None, **options):
        super().__init__(*args, **options)


def _own(step, **options):
    class Own(tnn.Recurrent):
        cell = Cell("OWN", gates=1, step=step, **options)

    return Own


def _reads_the_state(pre, state, weights, operand, modifiers):
    """The state itself, whatever recurrent dropout makes of it."""
    return (torch.tanh(pre + recurrent(weights, state[0], modifiers)),)


def _adds_up(pre, state, weights, operand, modifiers):
    return (state[0] + pre,)


def _forgets(pre, state, weights, lengths):
    return state[0] + pre, state[0] + pre[-1]


def _ends_at_once(pre, state, weights, lengths):
    """All sequences together."""
    out = state[0] + pre.cumsum(0)
    return out, out[-1]


def _does_not_normalize(pre, state, weights, operand, modifiers):
    return (torch.tanh(pre + operand @ weights.weight_hh.T),)


def _is(dtype):
    return lambda layer, x: x.dtype == dtype


FAULTS = [
    ("packed", OtherLengths, "lengths"),
    ("goes_on", Forgets, "cut at 1"),
    ("goes_on", ForgetsWithoutBias, "cut at 1"),
    ("goes_on", StartsFromOnes, "cut at"),
    ("goes_on_from_what_it_returned", Forgets, "step 1"),
    ("goes_on_from_what_it_returned", LosesMomentum, "step 1"),
    ("gradients", Detached, ""),
    ("gradients", DetachedTwice, ""),
    ("gradients", NoSecondDerivative, ""),
    ("copies", LoadsNothing, "state_dict"),
    ("copies", CopiedAnew, "deepcopy"),
    ("copies", PickledAnew, "pickle"),
    ("leaves_its_input", ChangesItsInput, "changed"),
    ("types", _faulty(out=_typed, when=_is(torch.bfloat16)), "output of torch.float32"),
    ("types", _faulty(out=torch.Tensor.double, when=_is(torch.float32)), "output of torch.float64"),
    ("types", _faulty(out=lambda y: y / 0), "not finite"),
    ("types", _faulty(out=lambda y: torch.cat([y[:1] / 0, y[1:]])), "not finite"),
    ("types", NoGradient, "gradient of"),
    ("non_contiguous", _faulty(out=_off, when=lambda layer, x: not x.is_contiguous()), "differs"),
    ("meta_device", DrawsOtherwise, "draws other values"),
    ("meta_device", NoMeta, "not on the meta device"),
    ("options_of_a_cell", _own(_reads_the_state), "recurrent_dropout changes nothing"),
    ("options_of_a_cell", _own(_does_not_normalize), "norm_hh has no part in the output"),
    ("scan_of_a_cell", _own(_adds_up, scan=_forgets), "output of step 1: differs"),
    ("scan_of_a_cell", _own(_adds_up, scan=_ends_at_once), "last state: differs"),
]


@pytest.mark.parametrize(("check", "make", "words"), FAULTS)
def test_each_check_finds_its_fault(check, make, words):
    is_found(CONTRACT, check, make, words)


class Lenient(nn.GRU):
    """Takes one wrong argument, and gives something back."""

    def __init__(self, inputs, hidden, layers=1, *, takes, num_layers=1, dropout=0.0, **options):
        if (takes == "units" and hidden == 0) or (takes == "layers" and num_layers == 0):
            hidden, num_layers = 6, 1
        dropout = 0.5 if takes == "dropout" and dropout > 1 else dropout
        super().__init__(inputs, hidden, num_layers, dropout=dropout, **options)
        self.takes = takes

    def forward(self, x, hx=None):
        right = torch.zeros(5, 3, 4, dtype=torch.float64)
        if (
            (self.takes == "no steps" and len(x) == 0)
            or (self.takes == "size" and x.shape[-1] == 5)
            or (self.takes == "rank" and x.dim() == 4)
            or (self.takes == "type" and x.dtype == torch.float32)
            or (self.takes == "batch" and x.shape[1] == 4)
        ):
            x, hx = right, None
        return super().forward(x, hx)


@pytest.mark.parametrize(
    ("takes", "words"),
    [
        ("no steps", "no steps"),
        ("size", "input of another size"),
        ("rank", "input of rank 4"),
        ("type", "input of another type"),
        ("units", "no hidden units"),
        ("layers", "no layers"),
        ("dropout", "dropout of 1.5"),
        ("batch", "state of another batch"),
    ],
)
def test_wrong_arguments_that_are_taken(takes, words):
    is_found(
        CONTRACT, "wrong_arguments", partial(Lenient, takes=takes), f"{words}: no error was raised"
    )


def test_every_check_has_a_fault():
    found = {"shapes", "batch_first", "unbatched", "wrong_arguments"} | {
        check for check, _, _ in FAULTS
    }
    assert found == set(CONTRACT.checks)
