"""How large the gradients of the loss with respect to each state and each input are."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.engine.place import Place, Tell
from torchmomentum.experiments.engine.training import result_of, trained
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.result import Result
from torchmomentum.experiments.studies.gradients import GradientNorms


def gradient_norms(
    model: Any, data: Data, x: Tensor, target: Tensor
) -> tuple[list[float], list[float]]:
    r"""The norms of :math:`\partial L / \partial h_t` and :math:`\partial L / \partial x_t`.

    Each is that of a sample's own loss, and the mean over the batch. Weights keep their gradients.

    Args:
        model: A :class:`~.models.sequence.SequenceModel` that reads out the last state.
        data: Its task's, for the loss.
        x: ``(T, B, I)``.
        target: What the loss takes.

    Returns:
        Two lists, a number for each step.

    Raises:
        UsageError: Sequences with lengths, or an input that is standardized.
    """
    if not isinstance(x, Tensor) or getattr(model, "standardize", None) is not None:
        raise UsageError("gradients are recorded of whole sequences that nothing standardizes")
    layer, states, inputs = model.layer, list[Tensor](), list(x.detach().split(1))
    begin = getattr(layer, "initial_state", None)
    state: Any = None if begin is None else begin(x.shape[1])
    for each in inputs:
        _, state = layer(each.requires_grad_(), state)
        states.append(state if isinstance(state, Tensor) else state[0])  # (1, B, H)
    loss = data.loss(model.readout(states[-1][0]), target)
    gradients = torch.autograd.grad(loss, [*states, *inputs])
    count = x.shape[1]  # of samples, whose losses are averaged
    norms = [count * g[0].norm(dim=-1).mean().item() for g in gradients]
    return norms[: len(states)], norms[len(states) :]


def record_norms(recipe: GradientNorms, place: Place, tell: Tell) -> Result:
    """Trains, and records :func:`gradient_norms` of the batch at every so many iterations.

    Under ``curves`` are the iterations, and for each the norms of all steps.
    """

    def watch(model: nn.Module, data: Data, x: Any, target: Tensor, step: int) -> Any:
        if step % recipe.every:
            return None
        state, inputs = gradient_norms(model, data, x, target)
        return {"iteration": step, "state": state, "input": inputs}

    run, failed = trained(recipe, place, tell, watch)
    result = result_of(run, failed)
    result.curves = {key: [each[key] for each in run.records] for key in run.records[0]}
    whole = [each for each in run.records if math.isfinite(sum(each["state"]))]
    for name in ("state", "input"):
        if whole and not failed:
            ratios = [each[name][0] / max(each[name][-1], 1e-300) for each in whole]
            result.values[f"{name}_first"], result.values[f"{name}_last"] = ratios[0], ratios[-1]
    return result
