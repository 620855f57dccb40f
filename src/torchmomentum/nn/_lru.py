"""The linear recurrent unit."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from torchmomentum._checks import check_number
from torchmomentum.nn._recurrent import Recurrent
from torchmomentum.nn.rules import Rule
from torchmomentum.ops import cells


class LRU(Recurrent):
    r"""A linear recurrence of complex units, with a momentum rule.

    .. math:: b_t, d_t = y_t, \qquad x_t = \lambda \odot x_{t-1} + e^{\gamma} \odot b_t, \qquad
              h_t = \operatorname{Re}(C x_t) + d_t, \qquad
              \lambda = e^{-e^{\nu} + i e^{\theta}}

    where the rule makes :math:`y_t`, of :math:`3 H` entries (the real and the imaginary part of
    :math:`b_t`, then :math:`d_t`), of the drives :math:`W u_t + b`; with ``momentum=None`` and
    ``bias=False`` it is the LRU of Orvieto et al., "Resurrecting recurrent neural networks for long
    sequences" (2023), equations (5) to (7), with a full matrix for the skip. :math:`\nu, \theta,
    \gamma` are learned. It is linear in its input: stack it with something that is not between.

    Its state is ``(h, re, im)``, of which the next step reads the complex :math:`x` alone.

    Args:
        input_size: Features of the input, :math:`I`.
        hidden_size: Complex units, and features of the output, :math:`H`.
        num_layers: Layers stacked, each with momentum.
        bias: Whether there is a ``bias_ih``.
        batch_first: Input and output are ``(B, T, .)``.
        dropout: Probability of zeroing an output between layers, in [0, 1].
        bidirectional: Runs a second set of weights from the end.
        device: Where the parameters are made.
        dtype: Their type.
        momentum: A rule of :mod:`torchmomentum.nn`, or None. One that reads the hidden state or
            stands in its space needs recurrent weights, and is rejected.
        r_min: The least :math:`|\lambda|` to begin with, in [0, 1); squares are uniform.
        r_max: The greatest, in (``r_min``, 1].
        max_phase: The greatest angle of :math:`\lambda` to begin with, in (0, 2 pi].

    Raises:
        ValueError: A number out of its range.

    Example:
        >>> layer = LRU(3, 4, momentum=Momentum(0.6, 0.9), r_min=0.9, r_max=0.999)
        >>> out, (h, re, im) = layer(torch.zeros(5, 2, 3))
        >>> out.shape, re.shape
        (torch.Size([5, 2, 4]), torch.Size([1, 2, 4]))
    """

    cell = cells.LRU

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        momentum: Rule | None = None,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * math.pi,
    ) -> None:
        check_number("r_min", r_min, 0.0, 1.0)
        check_number("r_max", r_max, r_min, 1.0, open_low=True, closed_high=True)
        check_number("max_phase", max_phase, 0.0, 2 * math.pi, open_low=True, closed_high=True)
        self._ring = r_min, r_max, max_phase
        super().__init__(
            *(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional),
            *(device, dtype),
            momentum=momentum,
        )

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draws all weights as the paper does; sets learned hyperparameters back."""
        super().reset_parameters()
        r_min, r_max, max_phase = self._ring
        tiny = 1e-7  # a modulus of one has no logarithm
        for suffix in self._suffixes:
            own: dict[str, Tensor] = {
                name: getattr(self, name + suffix) for name in ("weight_ih", *self._extra)
            }
            drawn = torch.rand(2, self.hidden_size, dtype=torch.float64, device="cpu")
            square = (r_min**2 + drawn[0] * (r_max**2 - r_min**2)).clamp(tiny, 1 - tiny)
            own["nu_log"].copy_((-0.5 * square.log()).log())
            own["theta_log"].copy_((max_phase * drawn[1].clamp(min=tiny)).log())
            own["gamma_log"].copy_(0.5 * (1 - square).log())
            inputs, size = own["weight_ih"].shape[1], self.hidden_size
            nn.init.normal_(own["weight_ih"][: 2 * size], std=(2 * inputs) ** -0.5)
            nn.init.normal_(own["weight_ih"][2 * size :], std=inputs**-0.5)
            nn.init.normal_(own["weight_ro"], std=size**-0.5)
            if self.bias:
                nn.init.zeros_(getattr(self, "bias_ih" + suffix))
