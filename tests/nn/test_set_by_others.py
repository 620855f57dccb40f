"""Programs that know torch.nn's layers by type get a clear answer from ours."""

import copy

import pytest
import torch
from torch import nn

import torchmomentum.nn as tnn


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated", "ignore:.*quint8")
@pytest.mark.parametrize(
    "make",
    [
        lambda: tnn.MomentumLSTM(3, 4, mu=0.6),
        lambda: tnn.momentumize(nn.LSTM(3, 4), tnn.Momentum(0.6, 0.6)),
        lambda: tnn.AdamLSTMCell(3, 4),
    ],
)
def test_quantization_says_what_it_leaves(make):
    layer = make()
    kind = type(layer).__name__
    model = nn.ModuleList([layer, nn.Linear(4, 2)])
    x = torch.randn(5, 2, 3)
    given = x[0] if isinstance(layer, tnn.RecurrentCell) else x
    expected = layer(given)[0]
    with pytest.warns(UserWarning, match=rf"^{kind} stays in floating point: .*to_torch\(model\)"):
        quantized = torch.ao.quantization.quantize_dynamic(
            model, {nn.LSTM, nn.LSTMCell, nn.Linear, type(layer)}, dtype=torch.qint8
        )
    assert type(quantized[0]) is type(layer)
    assert type(quantized[1]) is not nn.Linear
    assert torch.equal(quantized[0](given)[0], expected)
    assert not hasattr(layer, "qconfig")
    copy.deepcopy(layer)


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated", "ignore:.*quint8")
def test_quantization_of_others_is_no_matter():
    model = nn.ModuleList([tnn.MomentumLSTM(3, 4, mu=0.6), nn.Linear(4, 2)])
    torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


def test_opacus_is_told_at_once():
    layer = tnn.MomentumLSTM(3, 4, mu=0.6)
    assert not hasattr(layer, "ft_compute_sample_grad")
    with pytest.raises(NotImplementedError, match="samples for MomentumLSTM: register some as exa"):
        layer.ft_compute_sample_grad = print
