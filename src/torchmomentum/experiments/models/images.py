"""The residual networks of the image tasks, as models with a depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.models._model import Model
from torchmomentum.experiments.models.resnets import PreResNet, ResNet


def _build(kind: Callable[..., nn.Module], data: Data, options: Mapping[str, Any]) -> nn.Module:
    model = kind(options["depth"], data.output_size)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _check(kind: Callable[..., nn.Module], options: Mapping[str, Any]) -> None:
    with torch.device("meta"):  # a depth that does not fit should not wait for the data
        kind(options["depth"])


def _network(kind: Callable[..., nn.Module], depth: int) -> Model:
    return Model(partial(_build, kind), {"depth": depth}, check=partial(_check, kind))


PRERESNET = _network(PreResNet, 20)
RESNET = _network(ResNet, 50)
