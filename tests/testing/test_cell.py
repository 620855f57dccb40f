"""The contract of one-step cells: PyTorch's and ours keep it, each check finds its own fault."""

from functools import partial

import pytest
import torch
from torch import nn

import torchmomentum.nn as tnn
from tests.testing.faults import is_found
from torchmomentum.testing import check_cell
from torchmomentum.testing._cell import CONTRACT


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_torchs_cells_keep_the_contract(cell):
    assert check_cell(cell) == list(CONTRACT.checks)


@pytest.mark.parametrize(
    "make",
    [
        partial(tnn.LSTMCell, momentum=tnn.Momentum(0.6, 0.9)),
        partial(tnn.GRUCell, momentum=tnn.Adam(0.6, 0.9, 0.7)),
        partial(tnn.RNNCell, momentum=tnn.NesterovLookahead(0.9, restart=3)),
    ],
)
def test_our_cells_keep_the_contract(make):
    check_cell(make)


class Faulty(nn.GRUCell):
    """A GRU's cell whose output is changed."""

    def __init__(self, *args, change=lambda cell, h: h, **options):
        super().__init__(*args, **options)
        self.change = change

    def forward(self, x, h=None):
        return self.change(self, super().forward(x, h))


def _faulty(change):
    return partial(Faulty, change=change)


class BadState(nn.LSTMCell):
    def forward(self, x, state=None):
        h, c = super().forward(x, state)
        return h, c[:1]


class StartsFromOnes(nn.GRUCell):
    def forward(self, x, h=None):
        return super().forward(x, torch.ones(len(x), 6, dtype=x.dtype) if h is None else h)


class Forgets(nn.GRUCell):
    def forward(self, x, h=None):
        return super().forward(x, None)


class Mixes(nn.GRUCell):
    def forward(self, x, h=None):
        return super().forward(x + 1e-6 * x.sum(0), h)


class InPlace(nn.GRUCell):
    def forward(self, x, h=None):
        new = super().forward(x, h)
        if h is not None and not torch.is_grad_enabled():
            h.copy_(new)
        return new


class ChangesItsInput(nn.GRUCell):
    def forward(self, x, h=None):
        new = super().forward(x, h)
        if not torch.is_grad_enabled():
            x.mul_(2)
        return new


class Widens(nn.GRUCell):
    def forward(self, x, h=None, v=None):
        new = super().forward(x, h)
        return new.double(), new, x


class LoadsNothing(nn.GRUCell):
    def load_state_dict(self, *args, **options):
        return None


class CopiedAnew(nn.GRUCell):
    def __deepcopy__(self, memo):
        torch.manual_seed(7)
        return CopiedAnew(self.input_size, self.hidden_size, dtype=torch.float64)


class PickledAnew(nn.GRUCell):
    def __reduce__(self):
        torch.manual_seed(7)
        return partial(PickledAnew, 4, 6, dtype=torch.float64), ()

    def __deepcopy__(self, memo):
        return self


class DrawsOtherwise(nn.GRUCell):
    def reset_parameters(self):
        self.drawn = getattr(self, "drawn", 0) + 1
        for p in self.parameters():
            nn.init.uniform_(p, -0.1 * self.drawn, 0.1 * self.drawn)


class NoMeta(nn.GRUCell):
    def __init__(self, *args, device=None, **options):
        super().__init__(*args, **options)


class FirstOnly(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad):
        return 3 * ctx.saved_tensors[0].detach() ** 2 * grad


FAULTS = [
    ("shapes", _faulty(lambda cell, h: torch.cat([h, h], 1)), "output [3, 12] with bias=True"),
    ("shapes", _faulty(lambda cell, h: h if cell.bias else h[:, :5]), "[3, 5] with bias=False"),
    ("shapes", BadState, "state [1, 6] with bias=True"),
    ("bias", _faulty(lambda cell, h: h if cell.bias else h + 1e-6), "biases of zero"),
    ("starts_from_zero", StartsFromOnes, "a state of zeros"),
    ("sequences_are_independent", Mixes, "sequence 0 alone"),
    ("reads_its_state", Forgets, "no effect"),
    ("gradients", _faulty(lambda cell, h: h + 0.1 * h.detach()), ""),
    ("gradients", _faulty(lambda cell, h: FirstOnly.apply(h)), ""),
    (
        "without_gradients",
        _faulty(lambda cell, h: h if torch.is_grad_enabled() else h + 1e-6),
        "under no_grad",
    ),
    ("copies", LoadsNothing, "state_dict"),
    ("copies", CopiedAnew, "deepcopy"),
    ("copies", PickledAnew, "pickle"),
    ("leaves_its_input", InPlace, "were changed"),
    ("leaves_its_input", ChangesItsInput, "were changed"),
    ("types", Widens, "output of torch.float64 for torch.float32"),
    ("types", _faulty(lambda cell, h: h / 0), "not finite"),
    ("types", _faulty(lambda cell, h: torch.cat([h[:1] / 0, h[1:]])), "not finite"),
    ("types", _faulty(lambda cell, h: h.detach().requires_grad_()), "gradient of"),
    ("meta_device", DrawsOtherwise, "draws other values"),
    ("meta_device", NoMeta, "not on the meta device"),
]


@pytest.mark.parametrize(("check", "make", "words"), FAULTS)
def test_each_check_finds_its_fault(check, make, words):
    is_found(CONTRACT, check, make, words)


class Lenient(nn.GRUCell):
    """Takes one wrong argument, and gives something back."""

    def __init__(self, *args, takes, **options):
        super().__init__(*args, **options)
        self.takes = takes

    def forward(self, x, h=None):
        if (
            (self.takes == "size" and x.shape[-1] == 5)
            or (self.takes == "rank" and x.dim() == 3)
            or (self.takes == "type" and x.dtype == torch.float32)
            or (self.takes == "batch" and len(x) == 4)
        ):
            x, h = torch.zeros(3, 4, dtype=torch.float64), None
        return super().forward(x, h)


@pytest.mark.parametrize(
    ("takes", "words"),
    [
        ("size", "input of another size"),
        ("rank", "input of rank 3"),
        ("type", "input of another type"),
        ("batch", "state of another batch"),
    ],
)
def test_wrong_arguments_that_are_taken(takes, words):
    is_found(
        CONTRACT, "wrong_arguments", partial(Lenient, takes=takes), f"{words}: no error was raised"
    )


def test_every_check_has_a_fault():
    assert {check for check, _, _ in FAULTS} | {"wrong_arguments"} == set(CONTRACT.checks)
