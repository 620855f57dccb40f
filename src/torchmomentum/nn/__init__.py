"""Recurrent layers and cells with momentum in their input, and the rules that put it there."""

from torchmomentum.nn._carried import CarriedTensor
from torchmomentum.nn._cells import GRUCell, LSTMCell, RecurrentCell, RNNCell
from torchmomentum.nn._convert import (
    MomentumReport,
    RecurrentModule,
    from_torch,
    momentum_report,
    momentumize,
    to_torch,
)
from torchmomentum.nn._flat_state import FlatState
from torchmomentum.nn._init import paper_init_
from torchmomentum.nn._lru import LRU
from torchmomentum.nn._mingru import MinGRU
from torchmomentum.nn._names import (
    NAGLSTM,
    SRDTRIV,
    SRLSTM,
    AdamDTRIV,
    AdamLSTM,
    AdamLSTMCell,
    LookaheadSRLSTM,
    LookaheadSRLSTMCell,
    MomentumDTRIV,
    MomentumGRU,
    MomentumLSTM,
    MomentumLSTMCell,
    MomentumRNN,
    NAGLSTMCell,
    RMSPropDTRIV,
    RMSPropLSTM,
    RMSPropLSTMCell,
    SRLSTMCell,
)
from torchmomentum.nn._orthogonal import OrthogonalRNN, orthogonal_parameter_groups
from torchmomentum.nn._recurrent import Recurrent
from torchmomentum.nn._rnn import GRU, LSTM, RNN
from torchmomentum.nn._trivialization import Trivialization
from torchmomentum.nn._unit_init import unit_rms_init_
from torchmomentum.nn.rules import (
    Adam,
    Gain,
    Momentum,
    Nesterov,
    NesterovLookahead,
    RMSProp,
    Rule,
)

__all__ = [
    "GRU",
    "LRU",
    "LSTM",
    "NAGLSTM",
    "RNN",
    "SRDTRIV",
    "SRLSTM",
    "Adam",
    "AdamDTRIV",
    "AdamLSTM",
    "AdamLSTMCell",
    "CarriedTensor",
    "FlatState",
    "GRUCell",
    "Gain",
    "LSTMCell",
    "LookaheadSRLSTM",
    "LookaheadSRLSTMCell",
    "MinGRU",
    "Momentum",
    "MomentumDTRIV",
    "MomentumGRU",
    "MomentumLSTM",
    "MomentumLSTMCell",
    "MomentumRNN",
    "MomentumReport",
    "NAGLSTMCell",
    "Nesterov",
    "NesterovLookahead",
    "OrthogonalRNN",
    "RMSProp",
    "RMSPropDTRIV",
    "RMSPropLSTM",
    "RMSPropLSTMCell",
    "RNNCell",
    "Recurrent",
    "RecurrentCell",
    "RecurrentModule",
    "Rule",
    "SRLSTMCell",
    "Trivialization",
    "from_torch",
    "momentum_report",
    "momentumize",
    "orthogonal_parameter_groups",
    "paper_init_",
    "to_torch",
    "unit_rms_init_",
]
