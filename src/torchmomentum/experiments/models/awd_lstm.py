"""AWD-LSTM, the language model of Merity, Keskar and Socher (arXiv:1708.02182), with any rule."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear

import torchmomentum.nn as tnn
from torchmomentum._checks import check_integer, check_number
from torchmomentum._tuples import each_tensor
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.models._model import Family, Model
from torchmomentum.experiments.models.controls import Standardize
from torchmomentum.experiments.models.sequence import check_init, initialize, rule_of

OPTIONS: Mapping[str, Any] = {
    "hidden_size": 1150,
    "embedding_size": 400,
    "num_layers": 3,
    "embedding_dropout": 0.1,  # of whole words
    "input_dropout": 0.4,
    "layer_dropout": 0.25,
    "output_dropout": 0.4,
    "weight_dropout": 0.5,
    "activation_penalty": 2.0,
    "difference_penalty": 1.0,
    "init": "torch",
    "forget_bias": 0.0,
}
_CHANCES = ("embedding", "input", "layer", "output", "weight")
_RANGE = 0.1  # of the embedding's initial values


def locked_dropout(x: Tensor, probability: float, training: bool) -> Tensor:
    """Drops the same channels at every step of ``(T, B, N)``."""
    if not training or not probability:
        return x
    kept = torch.empty_like(x[:1]).bernoulli_(1 - probability)
    return x * kept / (1 - probability)


class AWDLSTM(nn.Module):
    """Tied embedding and readout, LSTMs between, and state carried from window to window.

    The state of cells and momentum is part of the module's state dict. It begins anew where the
    data says that a stream begins.

    Args:
        words: Words to know, :math:`V`.
        rule: ``rule(layer)`` makes the momentum rule of each layer, or None.
        options: As :data:`OPTIONS`.
        standardize: Whether what is embedded is standardized.
    """

    def __init__(
        self, words: int, rule: Any, options: Mapping[str, Any], standardize: bool = False
    ) -> None:
        super().__init__()
        self.options = dict(options)
        narrow, wide, count = (options[n] for n in ("embedding_size", "hidden_size", "num_layers"))
        sizes = [narrow, *[wide] * (count - 1), narrow]
        self.layers = nn.ModuleList(
            tnn.LSTM(a, b, momentum=rule(), weight_dropout=options["weight_dropout"])
            for a, b in pairwise(sizes)
        )
        for layer in self.layers:
            initialize(layer, options)
        self.weight = nn.Parameter(torch.empty(words, narrow).uniform_(-_RANGE, _RANGE))
        self.bias = nn.Parameter(torch.zeros(words))
        self.standardize = Standardize(narrow) if standardize else nn.Identity()
        self._state: list[Any] | None = None
        self._penalty: Tensor | None = None

    def get_extra_state(self) -> Any:
        """The state that the next window goes on from."""
        return self._state  # plain tuples, as forward leaves it

    def set_extra_state(self, state: Any) -> None:
        """See :meth:`get_extra_state`."""
        self._state = each_tensor(state, lambda t: t.to(self.weight.device))

    def _embedded(self, words: Tensor) -> Tensor:
        p, weight = self.options["embedding_dropout"], self.weight
        if self.training and p:
            kept = torch.empty_like(weight[:, :1]).bernoulli_(1 - p)
            weight = weight * kept / (1 - p)
        found: Tensor = self.standardize(embedding(words, weight))
        return found

    def forward(self, words: Tensor, begins: Tensor) -> Tensor:
        """Words ``(T, B)``, and whether they begin a stream, to scores ``(T, B, V)``."""
        if self._state is None or bool(begins):
            self._state = [layer.initial_state(words.shape[1]) for layer in self._layers()]
        drop = self.options["input_dropout"]
        out, state = locked_dropout(self._embedded(words), drop, self.training), []
        raw = out
        for i, layer in enumerate(self._layers()):
            raw, new = layer(out, self._state[i])
            state.append(each_tensor(new, Tensor.detach))
            last = i == len(self.layers) - 1
            drop = self.options["output_dropout" if last else "layer_dropout"]
            out = locked_dropout(raw, drop, self.training)
        self._state = state
        self._penalty = self._regularization(raw, out) if self.training else None
        return linear(out, self.weight, self.bias)

    def _layers(self) -> list[Any]:
        return list(self.layers)

    def _regularization(self, raw: Tensor, out: Tensor) -> Tensor:
        """AR of what the readout reads, and TAR of the last layer's outputs."""
        found: Tensor = self.options["activation_penalty"] * out.square().mean()
        if len(raw) > 1:
            found = found + self.options["difference_penalty"] * raw.diff(dim=0).square().mean()
        return found

    def training_penalty(self) -> Tensor:
        """What the last forward in training adds to the loss."""
        if self._penalty is None:
            raise RuntimeError("training_penalty() needs a forward in training before it")
        return self._penalty


def _build(
    rule: str | None, standardize: bool, data: Data, options: Mapping[str, Any]
) -> nn.Module:
    if data.input_size:
        raise ValueError("it reads words, and this task has features")
    return AWDLSTM(data.output_size, partial(rule_of, rule, options), options, standardize)


def _check(rule: str | None, options: Mapping[str, Any]) -> None:
    rule_of(rule, options)
    for name in ("hidden_size", "embedding_size", "num_layers"):
        check_integer(name, options[name], 1)
    for name in _CHANCES:
        check_number(f"{name}_dropout", options[f"{name}_dropout"], 0.0, 1.0)
    for name in ("activation_penalty", "difference_penalty"):
        check_number(name, options[name], 0.0, float("inf"))
    check_init(options)
    if options["init"].endswith("-unit"):
        raise ValueError(f"init must not depend on a batch for awd-lstm, got {options['init']!r}")


def _model(rule: str | None, standardize: bool) -> Model:
    options = {**OPTIONS, **({"rule": {}} if rule is not None else {})}
    return Model(partial(_build, rule, standardize), options, rule, partial(_check, rule))


AWD_LSTM = Family(_model)
