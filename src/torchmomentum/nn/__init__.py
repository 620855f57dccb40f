"""Recurrent layers and cells with momentum in their input, and the rules that put it there."""

from torchmomentum.nn._cells import GRUCell, LSTMCell, RecurrentCell, RNNCell
from torchmomentum.nn._init import paper_init_
from torchmomentum.nn._names import (
    NAGLSTM,
    SRLSTM,
    AdamLSTM,
    AdamLSTMCell,
    LookaheadSRLSTM,
    LookaheadSRLSTMCell,
    MomentumGRU,
    MomentumLSTM,
    MomentumLSTMCell,
    MomentumRNN,
    NAGLSTMCell,
    RMSPropLSTM,
    RMSPropLSTMCell,
    SRLSTMCell,
)
from torchmomentum.nn._recurrent import Recurrent
from torchmomentum.nn._rnn import GRU, LSTM, RNN
from torchmomentum.nn.rules import (
    Adam,
    Momentum,
    Nesterov,
    NesterovLookahead,
    RMSProp,
    Rule,
)

__all__ = [
    "GRU",
    "LSTM",
    "NAGLSTM",
    "RNN",
    "SRLSTM",
    "Adam",
    "AdamLSTM",
    "AdamLSTMCell",
    "GRUCell",
    "LSTMCell",
    "LookaheadSRLSTM",
    "LookaheadSRLSTMCell",
    "Momentum",
    "MomentumGRU",
    "MomentumLSTM",
    "MomentumLSTMCell",
    "MomentumRNN",
    "NAGLSTMCell",
    "Nesterov",
    "NesterovLookahead",
    "RMSProp",
    "RMSPropLSTM",
    "RMSPropLSTMCell",
    "RNNCell",
    "Recurrent",
    "RecurrentCell",
    "Rule",
    "SRLSTMCell",
    "paper_init_",
]
