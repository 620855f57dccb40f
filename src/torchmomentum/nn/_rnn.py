"""The layers of ``torch.nn``, with ``momentum=rule``."""

from __future__ import annotations

from typing import Any

from torchmomentum.nn._recurrent import Recurrent
from torchmomentum.nn.rules import Rule
from torchmomentum.ops import Cell, cells


def elman(nonlinearity: str) -> Cell:
    """The Elman network with this nonlinearity.

    Raises:
        ValueError: It is neither ``"tanh"`` nor ``"relu"``.
    """
    known = {"tanh": cells.RNN_TANH, "relu": cells.RNN_RELU}
    if nonlinearity not in known:
        raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
    return known[nonlinearity]


class RNN(Recurrent):
    r"""``torch.nn.RNN`` with a momentum rule on its input: a drop-in replacement.

    .. math:: h_t = \sigma(y_t + U h_{t-1} + b_{hh})

    where the rule makes :math:`y_t` of the drives :math:`W x_t + b_{ih}` (equation (9) of the
    MomentumRNN paper for :class:`~torchmomentum.nn.Momentum`). Without a rule :math:`y_t` is the
    drive.

    Args:
        input_size: Features of the input, :math:`I`.
        hidden_size: Features of the hidden state, :math:`H`.
        num_layers: Layers stacked, each with momentum.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        bias: Whether there are ``bias_ih`` and ``bias_hh``.
        batch_first: Input and output are ``(B, T, .)``.
        dropout: Probability of zeroing an output between layers, in [0, 1].
        bidirectional: Runs a second set of weights from the end.
        device: Where the parameters are made.
        dtype: Their type.
        momentum: A rule of :mod:`torchmomentum.nn`, or None.
        recurrent_dropout: See :class:`LSTM`, as for the next three.
        weight_dropout: Of the recurrent weights.
        zoneout: Of ``h``.
        layer_norm: Of what the weights make of input and state.
        proj_size: Rejected where not zero, as ``torch.nn.RNN`` does.

    Example:
        >>> layer = RNN(3, 4, momentum=Momentum(0.6, 0.6))
        >>> out, h = layer(torch.zeros(5, 2, 3))
        >>> out.shape, h.shape
        (torch.Size([5, 2, 4]), torch.Size([1, 2, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        momentum: Rule | None = None,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        zoneout: float = 0.0,
        layer_norm: bool = False,
        proj_size: int = 0,
    ) -> None:
        self.nonlinearity = nonlinearity
        self.cell = elman(nonlinearity)  # type: ignore[misc]
        sizes = input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        super().__init__(
            *sizes,
            device,
            dtype,
            momentum=momentum,
            recurrent_dropout=recurrent_dropout,
            weight_dropout=weight_dropout,
            zoneout=zoneout,
            layer_norm=layer_norm,
            proj_size=proj_size,
        )


class LSTM(Recurrent):
    r"""``torch.nn.LSTM`` with a momentum rule on its input: a drop-in replacement.

    The gates are :math:`y_t + U h_{t-1} + b_{hh}`, where the rule makes :math:`y_t` of the drives
    :math:`W x_t + b_{ih}`; the rest is the LSTM of ``torch.nn``. Names, shapes, gate order and
    initial draws of the parameters are those of ``torch.nn.LSTM``, so that state dicts go both ways
    (a learned rule has two entries more: load those into ``torch.nn.LSTM`` with ``strict=False``).

    Args:
        input_size: Features of the input, :math:`I`.
        hidden_size: Features of the hidden state, :math:`H`.
        num_layers: Layers stacked, each with momentum.
        bias: Whether there are ``bias_ih`` and ``bias_hh``.
        batch_first: Input and output are ``(B, T, .)``.
        dropout: Probability of zeroing an output between layers, in [0, 1].
        bidirectional: Runs a second set of weights from the end.
        proj_size: Projects ``h`` to so many features where positive.
        device: Where the parameters are made.
        dtype: Their type.
        momentum: A rule of :mod:`torchmomentum.nn`, or None.
        recurrent_dropout: Probability in [0, 1) that the recurrent weights do not see a unit of
            ``h``, in training, drawn once for a sequence (Gal and Ghahramani, 2016).
        weight_dropout: Probability in [0, 1) that a recurrent weight is left out, in training,
            drawn once for a sequence (Merity et al., 2018).
        zoneout: Probability in [0, 1] that a unit of ``h`` or ``c`` stays as it is, one number or
            two, in training drawn at each step (Krueger et al., 2017); in evaluation the mean.
        layer_norm: Normalizes what the weights make of input and state, and ``c`` (Ba et al., 2016,
            equations 20 to 22). Linear rules then run on the gates instead of the input.

    Example:
        >>> layer = LSTM(3, 4, momentum=Adam(mu=0.6, step_size=1.0, beta=0.99))
        >>> out, (h, c) = layer(torch.zeros(5, 2, 3))
        >>> out, (h, c, momentum) = layer(torch.zeros(5, 2, 3), layer.initial_state(2))
        >>> momentum[0].velocity.shape
        torch.Size([2, 16])
    """

    cell = cells.LSTM

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
        *,
        momentum: Rule | None = None,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        zoneout: float | tuple[float, float] = 0.0,
        layer_norm: bool = False,
    ) -> None:
        sizes = input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        super().__init__(
            *sizes,
            device,
            dtype,
            momentum=momentum,
            recurrent_dropout=recurrent_dropout,
            weight_dropout=weight_dropout,
            zoneout=zoneout,
            layer_norm=layer_norm,
            proj_size=proj_size,
        )


class GRU(Recurrent):
    r"""``torch.nn.GRU`` with a momentum rule on its input: a drop-in replacement.

    The rule makes the input parts of the gates, :math:`y_t`, of the drives :math:`W x_t + b_{ih}`;
    the hidden parts and the reset gate are those of ``torch.nn.GRU``.

    Args:
        input_size: Features of the input, :math:`I`.
        hidden_size: Features of the hidden state, :math:`H`.
        num_layers: Layers stacked, each with momentum.
        bias: Whether there are ``bias_ih`` and ``bias_hh``.
        batch_first: Input and output are ``(B, T, .)``.
        dropout: Probability of zeroing an output between layers, in [0, 1].
        bidirectional: Runs a second set of weights from the end.
        device: Where the parameters are made.
        dtype: Their type.
        momentum: A rule of :mod:`torchmomentum.nn`, or None.
        recurrent_dropout: See :class:`LSTM`, as for the next three.
        weight_dropout: Of the recurrent weights.
        zoneout: Of ``h``.
        layer_norm: Of what the weights make of input and state.
        proj_size: Rejected where not zero, as ``torch.nn.GRU`` does.

    Example:
        >>> layer = GRU(3, 4, momentum=Nesterov(1.0, restart=40))
        >>> out, (h, momentum) = layer(torch.zeros(5, 2, 3), layer.initial_state(2))
        >>> momentum[0].step.tolist()
        [5, 5]
    """

    cell = cells.GRU
