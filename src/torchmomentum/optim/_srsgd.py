"""Scheduled restart SGD."""

from __future__ import annotations

from torch import Tensor
from torch.optim.optimizer import ParamsT

from torchmomentum._checks import check_integer
from torchmomentum.optim._nag import NAG


class SRSGD(NAG):
    r"""Scheduled restart SGD: :class:`NAG` on stochastic gradients, restarted every F iterations.

    .. math::
        v_k &= w_{k-1} - s\, \frac1m \sum_{j=1}^m \nabla f_{i_j}(w_{k-1}) \\
        w_k &= v_k + \frac{k \bmod F}{(k \bmod F) + 3} (v_k - v_{k-1}), \qquad k = 0, 1, 2, \dots

    (the slides, "Scheduled Restart SGD (SRSGD)"). Without restarts the errors of stochastic
    gradients accumulate. The released code restarts every F - 1 iterations, advances the counter of
    the first group only, and its weight decay changes ``p.grad``. Here restarts are every F
    iterations, each group has a counter, and ``p.grad`` is unchanged.

    Args:
        params: As for :class:`NAG`.
        lr: Step size :math:`s`, a number or a tensor of one element, finite and at least 0.
        restart_every: Iterations between restarts :math:`F`, at least 1. Groups may differ.
            :class:`RestartScheduler` changes it during training.
        weight_decay: As for :class:`NAG`.
        maximize: As for :class:`NAG`.
        foreach: As for :class:`NAG`.
        differentiable: As for :class:`NAG`.
        fused: As for :class:`NAG`.
        capturable: As for :class:`NAG`.

    Raises:
        ValueError: A hyperparameter is out of its range or not finite.
        TypeError: ``restart_every`` is not an integer.
        RuntimeError: As for :class:`NAG`.

    Example:
        >>> model = torch.nn.Linear(3, 1)
        >>> optimizer = SRSGD(model.parameters(), lr=0.1, weight_decay=5e-4, restart_every=40)
        >>> for _ in range(41):
        ...     model(torch.ones(2, 3)).sum().backward()
        ...     optimizer.step()
        >>> optimizer.param_groups[0]["cycle_step"]
        1
    """

    _policy_name = "restart_every"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        restart_every: int = 40,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
        capturable: bool = False,
    ) -> None:
        every = check_integer("restart_every", restart_every, 1, "iteration")
        super().__init__(
            *(params, lr, every, weight_decay),
            maximize=maximize,
            foreach=foreach,
            differentiable=differentiable,
            fused=fused,
            capturable=capturable,
        )
