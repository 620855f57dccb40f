import pytest
import torch
from torch import nn

import torchmomentum.nn as tnn
from torchmomentum.ops import Cell


@pytest.mark.parametrize("make", [nn.LSTM, tnn.MomentumLSTM, tnn.AdamLSTM])
def test_the_papers_initialization(make):
    layer = make(3, 4, 2)
    tnn.paper_init_(layer, forget_bias=-8.0)
    weight = layer.weight_ih_l0
    torch.testing.assert_close(weight.T @ weight, torch.eye(3))
    assert torch.equal(layer.weight_hh_l1, torch.eye(16, 4))
    total = layer.bias_ih_l1 + layer.bias_hh_l1
    assert total.tolist() == [0.0] * 4 + [-8.0] * 4 + [0.0] * 8


def test_other_cells_have_no_forget_gate():
    layer = tnn.MomentumGRU(3, 4)
    tnn.paper_init_(layer)
    assert not layer.bias_ih_l0.any()
    cell = tnn.MomentumLSTMCell(3, 4)
    tnn.paper_init_(cell)
    assert (cell.bias_ih + cell.bias_hh)[4:8].tolist() == [2.0] * 4


def test_four_gates_alone_are_no_lstm():
    class Four(tnn.Recurrent):
        cell = Cell("FOUR", gates=4, step=lambda pre, state, *_: (pre.chunk(4, -1)[0],))

    layer = Four(3, 4)
    tnn.paper_init_(layer)
    assert not layer.bias_ih_l0.any()
    assert torch.equal(layer.weight_hh_l0, torch.eye(16, 4))
    original = nn.LSTMCell(3, 4)
    tnn.paper_init_(original)
    assert original.bias_ih[4:8].tolist() == [1.0] * 4


@pytest.mark.parametrize("make", [nn.LSTM, tnn.AdamLSTM, nn.LSTMCell])
def test_an_identity_in_each_gate(make):
    layer = make(3, 4)
    tnn.paper_init_(layer, identity="gates")
    weight = dict(layer.named_parameters())["weight_hh" + ("" if make is nn.LSTMCell else "_l0")]
    assert torch.equal(weight, torch.eye(4).repeat(4, 1))
    projected = nn.LSTM(3, 4, proj_size=2)
    tnn.paper_init_(projected, identity="gates")
    assert torch.equal(projected.weight_hh_l0, torch.eye(4, 2).repeat(4, 1))


def test_wrong_calls_are_named():
    with pytest.raises(ValueError, match="identity must be one of stack, gates, got 'rows'"):
        tnn.paper_init_(nn.LSTM(2, 2), identity="rows")
    with pytest.raises(TypeError, match="must be a recurrent layer or cell, got Linear"):
        tnn.paper_init_(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="forget_bias must be finite, got nan"):
        tnn.paper_init_(nn.LSTM(2, 2), float("nan"))
