"""A recurrent layer and a linear readout, built from a model's name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import torchmomentum.nn as tnn
from torchmomentum.experiments.configuration import RunConfig, rule_of
from torchmomentum.experiments.errors import UsageError

_RULES: dict[str, Callable[..., tnn.Rule]] = {
    "momentum": tnn.Momentum,
    "nag": tnn.Nesterov,
    "sr": tnn.Nesterov,
    "released-sr": tnn.NesterovLookahead,
    "adam": tnn.Adam,
    "rmsprop": tnn.RMSProp,
}
_CELLS: dict[str, Callable[..., nn.RNNBase]] = {"lstm": tnn.LSTM, "gru": tnn.GRU, "rnn": tnn.RNN}
_BASELINES: dict[str, Callable[..., nn.RNNBase]] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "rnn": nn.RNN,
}


class SequenceModel(nn.Module):
    """A recurrent layer, then a linear readout of its last output or of all of them."""

    def __init__(self, layer: nn.RNNBase, output_size: int, each_step: bool) -> None:
        super().__init__()
        self.layer = layer
        self.readout = nn.Linear(layer.hidden_size, output_size)
        self.each_step = each_step

    def forward(self, x: Tensor) -> Tensor:
        """``(T, B, I)`` to ``(B, O)``, or to ``(T, B, O)``."""
        out, _ = self.layer(x)
        result: Tensor = self.readout(out if self.each_step else out[-1])
        return result


def build_rule(config: RunConfig) -> tnn.Rule | None:
    """A run's momentum rule, None for a plain cell.

    Raises:
        UsageError: A hyperparameter is out of its range.
    """
    name = rule_of(config.model)
    if name is None:
        return None
    try:
        return _RULES[name](**config.rule)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error


def build_model(
    config: RunConfig, input_size: int, output_size: int, each_step: bool
) -> SequenceModel:
    """A run's model, initialized from ``init_seed``. The baseline's layer is torch's own."""
    cell, momentum = config.model.rpartition("-")[2], build_rule(config)
    torch.manual_seed(config.init_seed)
    if momentum is None:
        layer = _BASELINES[cell](input_size, config.hidden_size)
    else:
        layer = _CELLS[cell](input_size, config.hidden_size, momentum=momentum)
    if config.init == "paper":
        tnn.paper_init_(layer, config.forget_bias)
    return SequenceModel(layer, output_size, each_step)
