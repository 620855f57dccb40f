"""States of sharded parameters, whole and in shards."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor


def whole(value: Any) -> Any:
    """A state dict with whole tensors in the place of shards; all processes call it."""
    if isinstance(value, DTensor):
        return value.full_tensor()
    if isinstance(value, dict):
        found = copy.copy(value)  # with what a state dict says of itself
        found.update({key: whole(each) for key, each in value.items()})
        return found
    return [whole(each) for each in value] if isinstance(value, list) else value


def _as_shards(value: Any, parameter: Tensor | None) -> Any:
    """A whole tensor as a sharded parameter's of the same shape is; anything else as it is."""
    if not isinstance(parameter, DTensor) or not isinstance(value, Tensor):
        return value
    if value.shape != parameter.shape:
        return value
    value = value.to(parameter.device)
    return distribute_tensor(value, parameter.device_mesh, parameter.placements)


def weights_as_shards(held: Any, model: nn.Module) -> Any:
    """A model's whole weights, sharded as its own are."""
    ours, found = model.state_dict(), copy.copy(held)
    found.update({name: _as_shards(value, ours.get(name)) for name, value in held.items()})
    return found


def states_as_shards(held: Any, optimizer: torch.optim.Optimizer) -> Any:
    """An optimizer's whole states, sharded as its parameters are."""
    parts = getattr(optimizer, "both", None)
    if parts is not None:
        pairs = zip(held["both"], parts, strict=True)
        return {"both": [states_as_shards(each, one) for each, one in pairs]}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    states = {
        i: {name: _as_shards(value, parameters[i]) for name, value in state.items()}
        for i, state in held["state"].items()
    }
    return {**held, "state": states}
