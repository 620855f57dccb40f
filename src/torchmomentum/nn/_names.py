"""The papers' names: a layer or a cell put together with a rule, nothing more.

A name's signature is its layer's, with the rule's hyperparameters in place of ``momentum``. To add
one, subclass :class:`_Named` and the layer, and name the rule.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from torchmomentum.nn._cells import LSTMCell
from torchmomentum.nn._orthogonal import OrthogonalRNN
from torchmomentum.nn._rnn import GRU, LSTM, RNN
from torchmomentum.nn.rules import (
    Adam,
    Momentum,
    Nesterov,
    NesterovLookahead,
    RMSProp,
    Rule,
)


class _Named:
    """Gives a class the signature of its layer and its rule together."""

    rule: ClassVar[Callable[..., Rule]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "rule" not in vars(cls):
            return  # a subclass of a name: a user's, or one that torch parametrizes
        parameters = inspect.signature(cls.__bases__[-1]).parameters.values()
        layer = [p for p in parameters if p.name != "momentum"]
        rule = [
            p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for p in inspect.signature(cls.rule).parameters.values()
        ]
        cls.__signature__ = inspect.Signature([*layer, *rule])  # type: ignore[attr-defined]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        names = inspect.signature(type(self).rule).parameters
        if "momentum" in kwargs:
            use = ", ".join([f"{name}=" for name in names])
            raise TypeError(
                f"{type(self).__name__} takes no momentum=: it has its rule, use {use} to set it"
            )
        options = {name: kwargs.pop(name) for name in names if name in kwargs}
        inspect.signature(type(self)).bind(*args, **kwargs)
        layer: Any = super()
        layer.__init__(*args, momentum=type(self).rule(**options), **kwargs)


class MomentumRNN(_Named, RNN):
    """:class:`RNN` with :class:`Momentum`: equation (9) of the MomentumRNN paper.

    Example:
        >>> MomentumRNN(3, 4, mu=0.6, step_size=0.9)
        MomentumRNN(
          3, 4
          (momentum): Momentum(mu=0.6, step_size=0.9)
        )
    """

    rule = Momentum


class MomentumLSTM(_Named, LSTM):
    """:class:`LSTM` with :class:`Momentum`: the MomentumLSTM of the paper's section 2.2.

    Example:
        >>> layer = MomentumLSTM(129, 158, num_layers=2, batch_first=True, mu=0.3, step_size=0.1)
        >>> layer.momentum
        Momentum(mu=0.3, step_size=0.1)
    """

    rule = Momentum


class MomentumGRU(_Named, GRU):
    """:class:`GRU` with :class:`Momentum`."""

    rule = Momentum


class AdamLSTM(_Named, LSTM):
    """:class:`LSTM` with :class:`Adam`: equation (15) of the MomentumRNN paper."""

    rule = Adam


class RMSPropLSTM(_Named, LSTM):
    """:class:`LSTM` with :class:`RMSProp`: equation (15) of the MomentumRNN paper, ``mu = 0``."""

    rule = RMSProp


def _nesterov(step_size: float = 1.0, *, learnable: bool = False, space: str = "gates") -> Nesterov:
    return Nesterov(step_size, learnable=learnable, space=space)


def _scheduled(
    step_size: float = 1.0, restart: int = 40, *, learnable: bool = False, space: str = "gates"
) -> Nesterov:
    return Nesterov(step_size, restart, learnable=learnable, space=space)


def _released(
    step_size: float = 1.0, restart: int = 40, *, learnable: bool = False
) -> NesterovLookahead:
    return NesterovLookahead(step_size, restart, learnable=learnable)


class NAGLSTM(_Named, LSTM):
    """:class:`LSTM` with :class:`Nesterov`, never restarted (the paper's section 2.4)."""

    rule = staticmethod(_nesterov)


class SRLSTM(_Named, LSTM):
    """:class:`LSTM` with :class:`Nesterov`, restarted: the paper's SRLSTM (section 2.4)."""

    rule = staticmethod(_scheduled)


class LookaheadSRLSTM(_Named, LSTM):
    """:class:`LSTM` with :class:`NesterovLookahead`, restarted: the released code's SRLSTM."""

    rule = staticmethod(_released)


class MomentumDTRIV(_Named, OrthogonalRNN):
    """:class:`OrthogonalRNN` with :class:`Momentum`: the paper's MomentumDTRIV (section 4).

    Example:
        >>> MomentumDTRIV(1, 170, rebase_every=1, mu=0.6, step_size=0.9).momentum
        Momentum(mu=0.6, step_size=0.9)
    """

    rule = Momentum


class AdamDTRIV(_Named, OrthogonalRNN):
    """:class:`OrthogonalRNN` with :class:`Adam`: the paper's AdamDTRIV (Appendix C)."""

    rule = Adam


class RMSPropDTRIV(_Named, OrthogonalRNN):
    """:class:`OrthogonalRNN` with :class:`RMSProp`: the paper's RMSPropDTRIV (Appendix C)."""

    rule = RMSProp


class SRDTRIV(_Named, OrthogonalRNN):
    """:class:`OrthogonalRNN` with :class:`Nesterov`, restarted: the paper's, Appendix C."""

    rule = staticmethod(_scheduled)


class MomentumLSTMCell(_Named, LSTMCell):
    """The cell of the listing in the paper's Appendix F: :class:`LSTMCell` with :class:`Momentum`.

    Example:
        >>> cell = MomentumLSTMCell(3, 4, mu=0.6, step_size=0.6)
        >>> h, (h, c), v = cell(torch.zeros(2, 3), (torch.zeros(2, 4), torch.zeros(2, 4)))
        >>> v.shape
        torch.Size([2, 16])
    """

    rule = Momentum


class AdamLSTMCell(_Named, LSTMCell):
    """:class:`LSTMCell` with :class:`Adam`."""

    rule = Adam


class RMSPropLSTMCell(_Named, LSTMCell):
    """:class:`LSTMCell` with :class:`RMSProp`."""

    rule = RMSProp


class NAGLSTMCell(_Named, LSTMCell):
    """:class:`LSTMCell` with :class:`Nesterov`, never restarted."""

    rule = staticmethod(_nesterov)


class SRLSTMCell(_Named, LSTMCell):
    """:class:`LSTMCell` with :class:`Nesterov`, restarted."""

    rule = staticmethod(_scheduled)


class LookaheadSRLSTMCell(_Named, LSTMCell):
    """:class:`LSTMCell` with :class:`NesterovLookahead`, restarted."""

    rule = staticmethod(_released)
