"""The network with orthogonal recurrent weights and modReLU."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from torchmomentum._checks import check_number
from torchmomentum.nn._recurrent import Recurrent
from torchmomentum.nn._trivialization import Trivialization
from torchmomentum.nn.rules import Rule
from torchmomentum.ops import cells


class OrthogonalRNN(Recurrent):
    r"""A network with orthogonal recurrent weights and modReLU: DTRIV with ``momentum=None``.

    .. math:: h_t = \text{modReLU}(y_t + U h_{t-1}), \qquad U = B\,\phi(A), \qquad
              \text{modReLU}(z) = \text{sign}(z)\,\max(|z| + b, 0)

    where the rule makes :math:`y_t` of the drives :math:`W x_t` (the MomentumRNN paper, section 4;
    :class:`~torchmomentum.nn.Trivialization` has the rest). The matrix is evaluated once in a
    forward. Its tangent takes a learning rate of its own: see :func:`orthogonal_parameter_groups`.

    Args:
        input_size: Features of the input, :math:`I`.
        hidden_size: Features of the hidden state, :math:`H`.
        num_layers: Layers stacked, each with momentum.
        bias: Whether there are ``bias_ih`` and ``bias_hh``. The papers' network has none.
        batch_first: Input and output are ``(B, T, .)``.
        dropout: Probability of zeroing an output between layers, in [0, 1].
        bidirectional: Runs a second set of weights from the end.
        device: Where the parameters are made.
        dtype: Their type.
        momentum: A rule of :mod:`torchmomentum.nn`, or None.
        map: See :class:`~torchmomentum.nn.Trivialization`, as for the next two.
        rebase_every: Optimizer steps between rebases.
        init: How the base begins.
        recurrent_dropout: See :class:`LSTM`, as for the next two.
        zoneout: Of ``h``.
        layer_norm: Of what the weights make of input and state.

    Attributes:
        orthogonal: The :class:`~torchmomentum.nn.Trivialization` of each layer and direction.

    Example:
        >>> layer = OrthogonalRNN(3, 4, momentum=Momentum(0.6, 0.9))
        >>> out, h = layer(torch.zeros(5, 2, 3))
        >>> layer.in_manifold()
        True
    """

    cell = cells.RNN_MODRELU
    _has_recurrent_parameter = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = False,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        momentum: Rule | None = None,
        map: str = "exp",
        rebase_every: int | None = 1,
        init: str = "cayley",
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        layer_norm: bool = False,
    ) -> None:
        self._options: dict[str, Any] = {"map": map, "rebase_every": rebase_every, "init": init}
        super().__init__(
            *(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional),
            *(device, dtype),
            momentum=momentum,
            recurrent_dropout=recurrent_dropout,
            zoneout=zoneout,
            layer_norm=layer_norm,
        )

    def _register_weights(self, device: Any, dtype: Any) -> None:
        super()._register_weights(device, dtype)
        made = partial(Trivialization, self.hidden_size, **self._options, dtype=dtype)
        where = torch.get_default_device() if device is None else device
        self.orthogonal = nn.ModuleList(  # drawn by reset_parameters, once, as all weights are
            made(device="meta").to_empty(device=where) for _ in self._suffixes
        )

    def reset_parameters(self) -> None:
        """Draws all weights as the released code does; sets learned hyperparameters back.

        Input weights are Kaiming's, biases zero, those of modReLU uniform in ±0.01.
        """
        super().reset_parameters()
        for name, parameter in self.named_parameters(recurse=False):
            if name.startswith("weight_ih"):
                nn.init.kaiming_normal_(parameter, nonlinearity="relu")
            elif name.startswith("bias_modrelu"):
                nn.init.uniform_(parameter, -0.01, 0.01)
            elif name.startswith("bias"):
                nn.init.zeros_(parameter)
        for each in self._trivializations():
            each.reset_parameters()

    def _trivializations(self) -> Iterable[Trivialization]:
        made: Iterable[Any] = self.orthogonal
        return made

    def _recurrent_weight(self, k: int) -> Tensor:
        weight: Tensor = self.orthogonal[k]()
        return weight

    def in_manifold(self, tolerance: float = 1e-5) -> bool:
        """Whether all recurrent matrices are orthogonal, see :meth:`Trivialization.in_manifold`."""
        return all(each.in_manifold(tolerance) for each in self._trivializations())


def orthogonal_parameter_groups(
    module: nn.Module, *, orthogonal_lr: float, **options: Any
) -> list[dict[str, Any]]:
    """A module's parameters for an optimizer: all others, and the tangents at a rate of their own.

    Args:
        module: A layer or a model with layers in it.
        orthogonal_lr: The learning rate of the tangents, at least zero and finite.
        options: Further options of the tangents' group.

    Raises:
        ValueError: ``orthogonal_lr`` is out of its range; optimizers check their default alone.
        TypeError: It is no number.

    Example:
        >>> groups = orthogonal_parameter_groups(OrthogonalRNN(3, 4), orthogonal_lr=2e-4)
        >>> optimizer = torch.optim.RMSprop(groups, lr=7e-4)
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.0007, 0.0002]
    """
    check_number("orthogonal_lr", orthogonal_lr, 0.0, math.inf)
    tangents = [m.tangent for m in module.modules() if isinstance(m, Trivialization)]
    own = {id(tangent) for tangent in tangents}
    others = [p for p in module.parameters() if id(p) not in own]
    return [{"params": others}, {"params": tangents, "lr": orthogonal_lr, **options}]
