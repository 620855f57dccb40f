import pytest
import torch
from torch import nn

import torchmomentum.nn as tnn


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


def test_wrong_calls_are_named():
    with pytest.raises(TypeError, match="must be a recurrent layer or cell, got Linear"):
        tnn.paper_init_(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="forget_bias must be finite, got nan"):
        tnn.paper_init_(nn.LSTM(2, 2), float("nan"))
