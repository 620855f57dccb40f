"""Nesterov's accelerated gradient with scheduled or adaptive restart, as a PyTorch optimizer."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from numbers import Real
from operator import attrgetter, is_, is_not
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from torchmomentum._torch_private import default_to_fused_or_foreach, use_grad_for_differentiable
from torchmomentum.optim._compiled import CompiledStep
from torchmomentum.optim._update import Step, step_each, step_foreach, step_fused, step_tensors
from torchmomentum.optim.policies import POLICY_NAMES, Policy, check_policy, interval_after
from torchmomentum.schedules import nesterov_momentum

_is_sparse, _there = attrgetter("is_sparse"), partial(is_not, None)


def _check_not_negative(name: str, value: Any) -> None:
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise ValueError(f"Tensor {name} must be 1-element")
        if value.requires_grad or value.device.type != "cpu":
            return  # its value is the caller's: reading it would wait for the device
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        tensor = " or a tensor of one element" if name == "lr" else ""
        raise TypeError(f"{name} must be a number{tensor}, got {type(value).__name__}")
    if not 0.0 <= float(value) < math.inf:
        label = {"lr": "learning rate"}.get(name, f"{name} value")
        raise ValueError(f"Invalid {label}: {value}, must be finite and at least 0")


class NAG(Optimizer):
    r"""Nesterov's accelerated gradient, with scheduled or adaptive restart.

    .. math::
        v_k &= w_{k-1} - s\, \nabla f(w_{k-1}) \\
        w_k &= v_k + \mu_k (v_k - v_{k-1}), \qquad \mu_k = \frac{j}{j + 3}

    where :math:`j` counts the steps since the last restart, from 0 (the slides, "Nesterov
    Accelerated Gradient" and "Scheduled Restart NAG"). The first step, and the first step after a
    restart, is a plain gradient step. With ``restart=1`` every step is, as in ``torch.optim.SGD``.

    The policies of the slides are ``restart=None`` (NAG), ``F`` or ``[(T_1, F_1), ...]`` (SRNAG:
    the interval is :math:`F_i` up to iteration :math:`T_i`, and the last one stays in force), and
    ``"function"`` (ARNAG: restarts when the loss has risen), which needs the loss in each step.
    ``"gradient"`` restarts after an uphill step, :math:`g_k \cdot (v_k - v_{k-1}) > 0`, the second
    scheme of O'Donoghue and Candès (2015); it reads one number from the device in each step.
    ``torch.optim.SGD`` has constant momentum: see the documentation.

    It follows the conventions of ``torch.optim.SGD``, with these differences: ``p.grad`` is never
    changed, hyperparameters must be finite, and ``differentiable`` differentiates through the
    momentum too. A group's counter advances when one of its parameters has a gradient. It is part
    of the group, so a step that ``GradScaler`` skips does not advance it. There is no ``momentum``
    to cycle: give ``OneCycleLR`` and ``CyclicLR`` ``cycle_momentum=False``.

    Args:
        params: Parameters, named parameters or groups of either. A group may have its own ``lr``,
            ``restart`` and ``weight_decay``, and has its own counter.
        lr: Step size :math:`s`, a number or a tensor of one element, finite and at least 0.
        restart: When to restart the momentum: None, an integer of at least 1, pairs of a last
            iteration and an interval, ``"function"`` or ``"gradient"``.
        weight_decay: Coefficient of the parameter that is added to its gradient (an L2 penalty),
            finite and at least 0.
        maximize: Maximizes the objective instead of minimizing it.
        foreach: Whether to use list operations on all tensors at once. By default on a GPU.
        differentiable: Whether autograd records the step.
        fused: Whether to do a step in one pass over memory: in this package's own compiled kernel
            for dense float32 on a CPU, and in PyTorch's fused SGD kernel elsewhere. Off by default.
            A compiled step is fused by the compiler, asked for or not.
        capturable: Whether the counters are tensors on the parameters' device, so that a CUDA graph
            can hold the step. Under ``torch.compile`` they are, asked for or not.

    Raises:
        ValueError: A hyperparameter is out of its range or not finite.
        TypeError: ``restart`` is not a policy.
        RuntimeError: ``fused`` together with ``foreach`` or ``differentiable``, or ``capturable``
            with ``differentiable``.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = NAG([w], lr=0.1)
        >>> for _ in range(3):
        ...     optimizer.zero_grad()
        ...     (w**2 / 2).sum().backward()
        ...     optimizer.step()
        >>> round(w.item(), 3)
        0.668
    """

    _policy_name = "restart"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        restart: Policy = None,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            self._policy_name: check_policy(self._policy_name, restart),
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
            "capturable": capturable,
            "cycle_step": 0,  # steps since the last restart
            "iterations": 0,
            "last_momentum": 0.0,
            "last_loss": None,
        }
        super().__init__(params, defaults)
        self._compiled: dict[int, CompiledStep] = defaultdict(CompiledStep)  # of each group

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group of parameters with its own counter, and checks its hyperparameters."""
        super().add_param_group(self._renamed(param_group))
        group, name = self.param_groups[-1], self._policy_name
        try:
            if group["fused"] and group["differentiable"]:
                raise RuntimeError("`fused` does not support `differentiable`")
            if group["capturable"] and group["differentiable"]:
                raise RuntimeError("`capturable` does not support `differentiable`")
            if group["fused"] and group["foreach"]:
                raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
            _check_not_negative("lr", group["lr"])
            _check_not_negative("weight_decay", group["weight_decay"])
            group[name] = check_policy(name, group[name])
            if group["foreach"] and isinstance(group["lr"], Tensor) and group["lr"].requires_grad:
                raise ValueError("lr as a tensor that requires a gradient needs `foreach=False`")
        except (RuntimeError, TypeError, ValueError):
            self.param_groups.pop()
            raise

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Reads older state dicts too: other names, and defaults of what they lack."""
        super().__setstate__(state)
        self._compiled = defaultdict(CompiledStep)
        self.defaults = self._renamed(self.defaults)
        self.param_groups = [self._renamed(group) for group in self.param_groups]
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)

    def _renamed(self, group: dict[str, Any]) -> dict[str, Any]:
        """A group with the policy under this class's name: it may come from the other class."""
        other = next(name for name in POLICY_NAMES if name != self._policy_name)
        if other not in group:
            return group
        kept = {name: value for name, value in group.items() if name != other}
        return {self._policy_name: group[other], **kept}

    @use_grad_for_differentiable
    def step(self, closure: Callable[[], Any] | float | Tensor | None = None) -> Any:
        """Takes one step.

        Args:
            closure: Computes the loss and its gradients and returns the loss; or the loss itself,
                when the gradients have been computed.

        Returns:
            The loss, or None.

        Raises:
            ValueError: The policy ``"function"`` needs the loss.
        """
        loss = closure
        if callable(closure):
            with torch.enable_grad():
                loss = closure()
        for number, group in enumerate(self.param_groups):
            as_tensors = group["capturable"] or torch.compiler.is_compiling()
            if as_tensors and not group["differentiable"]:
                self._step_captured(group, loss)
            else:
                self._step_group(group, loss, self._compiled[number])
        return loss

    def _states(self, params: list[Tensor]) -> list[dict[str, Any]]:
        if len(self.state) == len(params) and all(map(is_, self.state, params)):
            return list(self.state.values())  # without a tensor's hash, which takes Python
        return [self.state[p] for p in params]

    def _rises(self, group: dict[str, Any], loss: Any, device: torch.device | None = None) -> Any:
        """Whether the loss is greater than before the last step; less where it is maximized.

        With a device the loss is not read: it and the answer are tensors there.
        """
        if loss is None:
            raise ValueError("restart='function' needs the loss: step(closure) or step(loss)")
        falls = group["maximize"]
        if group["last_loss"] is None:
            group["last_loss"] = -math.inf if falls else math.inf
        if device is None:
            before, group["last_loss"] = float(group["last_loss"]), float(loss)
            return group["last_loss"] < before if falls else group["last_loss"] > before
        # not in float64: Dynamo takes such a tensor for a number, and drops its copy_
        held = _on(device, group, "last_loss", torch.float32)
        now = loss.to(held) if isinstance(loss, Tensor) else held.new_tensor(loss)
        found = now < held if falls else now > held
        held.copy_(now)
        return found

    def _climbs(
        self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], s: Step
    ) -> Any:
        """Whether the step goes uphill: ``g . d > 0`` with ``d = mu d_before - lr g``."""
        total: Any = 0.0
        for p, g in zip(params, grads, strict=True):
            state = self.state[p]
            held = state.get("momentum_buffer")
            if held is None:
                continue
            g = g.to_dense() if g.is_sparse else g
            slope = (-g if s.maximize else g) + s.weight_decay * p
            held = held.to_dense() if held.is_sparse else held
            past = -group["last_momentum"] * state.get("buffer_scale", 1.0) * held
            step = past - s.lr * slope
            total = total + torch.real(slope.conj() * step).sum()
        return total > 0

    def _step_group(self, group: dict[str, Any], loss: Any, compiled: CompiledStep) -> None:
        params, grads = group["params"], [p.grad for p in group["params"]]
        if not all(map(_there, grads)):
            params = [p for p, grad in zip(params, grads, strict=True) if grad is not None]
            grads = [grad for grad in grads if grad is not None]
        if not params:
            return
        policy, done = group[self._policy_name], int(group["cycle_step"])
        iterations = int(group["iterations"])
        interval = interval_after(policy, iterations)
        if interval is not None and done >= interval:
            done = 0
        if policy == "function" and self._rises(group, loss):
            done = 0
        numbers = _numbers(group, done, nesterov_momentum(max(done - 1, 0)))
        climbs = policy == "gradient" and self._climbs(group, params, grads, numbers)
        take = _choose(group, params, grads, compiled)
        if numbers.momentum:
            states = self._states(params)
            buffers = _buffers(states, params, grads, group["differentiable"])
            scales: list[float] = [state.get("buffer_scale", 1.0) for state in states]
            different, scale = set(scales), scales[0]
            if len(different) > 1:
                scale = _to_one_scale(buffers, scales)
            scale = take(params, grads, buffers, numbers._replace(scale=scale))
            if different != {scale}:
                for state in states:
                    state["buffer_scale"] = scale
        else:
            take(params, grads, [], numbers)
            # a parameter that this step or the next leaves out has forgotten too
            for p in group["params"] if self.state else ():
                if "momentum_buffer" in self.state.get(p, ()):
                    self.state[p]["buffer_scale"] = 0.0
        group["cycle_step"] = 0 if climbs else done + 1
        group["last_momentum"] = numbers.momentum
        group["iterations"] = iterations + 1

    def _step_captured(self, group: dict[str, Any], loss: Any) -> None:
        """The same with counters on the device: none is read, and none is a graph's constant."""
        params = [p for p in group["params"] if p.grad is not None]
        if not params:
            return
        grads: list[Tensor] = [p.grad for p in params]
        if any(grad.is_sparse for grad in grads):  # what a graph can hold
            raise RuntimeError("`capturable` and torch.compile do not support sparse gradients")
        device, policy = params[0].device, group[self._policy_name]
        done, iterations = (_on(device, group, n) for n in ("cycle_step", "iterations"))
        last_momentum = _on(device, group, "last_momentum", torch.float32)
        ends = None
        if policy == "function":
            ends = self._rises(group, loss, device)
        elif policy is not None and policy != "gradient":
            ends = done >= _interval_on_device(policy, iterations)
        if ends is not None:
            done.copy_(torch.where(ends, 0, done))
        states = [self.state[p] for p in params]
        for state, param in zip(states, params, strict=True):
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(param)
        buffers = [state["momentum_buffer"] for state in states]
        for state, buffer in zip(states, buffers, strict=True):
            if state.get("buffer_scale", 1.0) != 1.0:
                buffer.mul_(state["buffer_scale"])
                state["buffer_scale"] = 1.0
        for p in group["params"]:  # at a restart one without a gradient forgets too
            if p.grad is None and "momentum_buffer" in self.state.get(p, ()):
                self.state[p]["momentum_buffer"].masked_fill_(done == 0, 0.0)
        # one division less in each iteration of the compiler's loops over parameters
        numbers = _numbers(group, done, torch.where(done == 0, 0.0, last_momentum))
        climbs = policy == "gradient" and self._climbs(group, params, grads, numbers)
        step_tensors(params, grads, buffers, numbers)
        last_momentum.copy_(numbers.momentum)
        done.copy_(torch.where(climbs, 0, done + 1) if policy == "gradient" else done + 1)
        iterations.add_(1)


def _numbers(group: dict[str, Any], done: Any, previous: Any) -> Step:
    """Those of a step after ``done`` others of the cycle, the last with momentum ``previous``."""
    return Step(
        lr=group["lr"],
        momentum=nesterov_momentum(done),
        previous=previous,
        scale=1.0,
        weight_decay=group["weight_decay"],
        maximize=group["maximize"],
    )


def _on(
    device: torch.device, group: dict[str, Any], name: str, dtype: torch.dtype = torch.int64
) -> Tensor:
    """A group's number as a tensor there, the same one in every step."""
    held = group[name]
    if not isinstance(held, Tensor) or held.device != device:
        held = group[name] = torch.as_tensor(held, dtype=dtype).to(device)
    return held


def _interval_on_device(policy: Any, iterations: Tensor) -> int | Tensor:
    """As :func:`interval_after`, without reading the number."""
    if isinstance(policy, int):
        return policy
    interval: int | Tensor = policy[-1][1]
    for last, each in reversed(policy):
        interval = torch.where(iterations <= last, each, interval)
    return interval


def _buffers(
    states: list[dict[str, Any]], params: list[Tensor], grads: list[Tensor], differentiable: bool
) -> list[Tensor]:
    """The parameters' momentum buffers, created where there are none."""
    found: list[Any] = [state.get("momentum_buffer") for state in states]
    if differentiable or not all(map(_there, found)):
        for state, param, grad in zip(states, params, grads, strict=True):
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(grad if grad.is_sparse else param)
            if differentiable:  # keep last step's graph apart from this one's
                state["momentum_buffer"] = state["momentum_buffer"].clone()
        found = [state["momentum_buffer"] for state in states]
    return found


def _to_one_scale(buffers: list[Tensor], scales: list[float]) -> float:
    """Rescales buffers to one scale: one that a step left out has an older scale, or none."""
    common = next(filter(None, scales), 1.0)
    for buffer, scale in zip(buffers, scales, strict=True):
        buffer.mul_(scale / common)
    return common


def _choose(
    group: dict[str, Any], params: list[Tensor], grads: list[Tensor], compiled: CompiledStep
) -> Callable[..., float]:
    """The implementation of a step that the group asks for, or the default for its tensors."""
    fused, foreach = group["fused"], group["foreach"]
    if fused:
        return partial(step_fused, compiled=compiled)
    if foreach is None and fused is None:
        _, foreach = default_to_fused_or_foreach(params, group["differentiable"], use_fused=False)
    if any(map(_is_sparse, grads)):
        return step_each
    return step_foreach if foreach and not group["differentiable"] else step_each
