"""The minimal gated recurrent unit."""

from __future__ import annotations

from torchmomentum.nn._recurrent import Recurrent
from torchmomentum.ops import cells


class MinGRU(Recurrent):
    r"""A gated recurrent unit whose gate reads the input alone, with a momentum rule.

    .. math:: z_t, \tilde h_t = y_t, \qquad
              h_t = (1 - \sigma(z_t)) \odot h_{t-1} + \sigma(z_t) \odot \tilde h_t

    where the rule makes :math:`y_t`, of :math:`2 H` entries, of the drives :math:`W x_t + b`; with
    ``momentum=None`` it is the minGRU of Feng et al., "Were RNNs all we needed?" (2024). There are
    no recurrent weights: all of the input's products are one, and what is left along time is one
    scan (:func:`~torchmomentum.ops.linear_scan`).

    Args:
        input_size: Features of the input, :math:`I`.
        hidden_size: Features of the hidden state, :math:`H`.
        num_layers: Layers stacked, each with momentum.
        bias: Whether there is a ``bias_ih``.
        batch_first: Input and output are ``(B, T, .)``.
        dropout: Probability of zeroing an output between layers, in [0, 1].
        bidirectional: Runs a second set of weights from the end.
        device: Where the parameters are made.
        dtype: Their type.
        momentum: A rule of :mod:`torchmomentum.nn`, or None. One that reads the hidden state or
            stands in its space needs recurrent weights, and is rejected, as are the further options
            of :class:`Recurrent`.

    Example:
        >>> layer = MinGRU(3, 4, momentum=Momentum(0.6, 0.9))
        >>> out, h = layer(torch.zeros(5, 2, 3))
        >>> [name for name, _ in layer.named_parameters()]
        ['weight_ih_l0', 'bias_ih_l0']
    """

    cell = cells.MINGRU
