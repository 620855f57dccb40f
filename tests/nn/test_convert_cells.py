"""Cells of torch.nn get momentum, which goes from step to step with h."""

import copy
import warnings

import pytest
import torch
from torch import nn

import torchmomentum as tm
from tests.nn.test_convert import MOMENTUM, RULES

CELLS = {
    "rnn": (nn.RNNCell, tm.nn.RNNCell, {"nonlinearity": "relu"}),
    "lstm": (nn.LSTMCell, tm.nn.LSTMCell, {}),
    "gru": (nn.GRUCell, tm.nn.GRUCell, {}),
}


@pytest.mark.parametrize("rule", [name for name in RULES if name != "hidden"])
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_computes_what_ours_does(name, rule):
    torchs, ours, options = CELLS[name]
    cell = torchs(3, 4, **options)
    plain = copy.deepcopy(cell)
    expected = ours(3, 4, **options, momentum=RULES[rule]())
    expected.load_state_dict(cell.state_dict(), strict=False)
    tm.nn.momentumize(cell, RULES[rule]())
    assert isinstance(cell, torchs)
    state = hidden = v = unbatched = None
    for x in torch.randn(6, 2, 3):
        state = cell(x, state)
        unbatched = cell(x[0], unbatched)
        h, hidden, v = expected(x, hidden, v)
        found, first = (state, unbatched) if name != "lstm" else (state[0], unbatched[0])
        torch.testing.assert_close(torch.as_tensor(found), h, rtol=0, atol=0, check_stride=False)
        torch.testing.assert_close(first.as_subclass(torch.Tensor), h[0], rtol=1e-5, atol=1e-6)
    assert type(tm.nn.to_torch(cell)) is torchs
    assert vars(cell).keys() == vars(plain).keys()
    torch.testing.assert_close(cell(x), plain(x), rtol=0, atol=0)


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_warns_where_its_momentum_is_lost(name):
    cell = tm.nn.momentumize(CELLS[name][0](3, 4), MOMENTUM)
    x = torch.randn(2, 3)
    state = cell(x)
    lost = state * 1.5 + 0 if name != "lstm" else (state[0] + 0, state[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cell(x, state)
        cell(x, torch.zeros(2, 4) if name != "lstm" else (torch.zeros(2, 4),) * 2)
    kind = CELLS[name][0].__name__
    with pytest.warns(
        UserWarning, match=f"begins at zero.* or use torchmomentum.nn.{kind}"
    ) as told:
        cell(x, lost)
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # once
        cell(x, lost)


def test_a_state_of_another_cell_begins_without_momentum():
    cells = [tm.nn.momentumize(nn.GRUCell(3, 3), MOMENTUM) for _ in range(2)]
    x = torch.randn(2, 3)
    h = cells[0](x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = cells[1](x, h)
    plain = tm.nn.GRUCell(3, 3, momentum=MOMENTUM)
    plain.load_state_dict(cells[1].state_dict())
    assert torch.equal(found, plain(x, h.as_subclass(torch.Tensor))[0])


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # dynamo looks at each input
@pytest.mark.filterwarnings("ignore:.torch.jit")
def test_a_cell_in_graphs():
    """Compiled code breaks its graph at a converted cell; what must be one graph says why not."""
    cell = tm.nn.momentumize(nn.GRUCell(3, 4), MOMENTUM)

    def run(steps):
        h = None
        for x in steps:
            h = cell(x, h)
        return h * 1

    x = torch.randn(4, 2, 3)
    torch.testing.assert_close(torch.compile(run, backend="eager")(x), run(x))
    torch.compiler.reset()
    with pytest.raises(torch._dynamo.exc.Unsupported):
        torch.compile(run, backend="eager", fullgraph=True)(x)
    with pytest.raises(RuntimeError, match=r"use torchmomentum.nn.GRUCell there"):
        torch.func.vmap(cell)(x[:, 0])
    with pytest.raises(RuntimeError, match=r"use torchmomentum.nn.GRUCell there"):
        torch.jit.trace(cell, x[0])
    with pytest.raises(ValueError, match="GRUCell: Expected input to be 1D or 2D, got 3D"):
        cell(x)
