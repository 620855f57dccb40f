"""The recurrent cells, one a file. A new cell is one :class:`Cell`, and runs everywhere by it."""

from torchmomentum.ops.cells._cell import (
    Cell,
    Extra,
    Gradient,
    State,
    Weights,
    by_key,
    find,
    for_each_cell,
    names,
    recurrent,
    register,
)
from torchmomentum.ops.cells.gru import GRU
from torchmomentum.ops.cells.lru import LRU
from torchmomentum.ops.cells.lstm import LSTM
from torchmomentum.ops.cells.mingru import MINGRU
from torchmomentum.ops.cells.modrelu import RNN_MODRELU, modrelu
from torchmomentum.ops.cells.rnn import RNN_RELU, RNN_TANH

__all__ = [
    "GRU",
    "LRU",
    "LSTM",
    "MINGRU",
    "RNN_MODRELU",
    "RNN_RELU",
    "RNN_TANH",
    "Cell",
    "Extra",
    "Gradient",
    "State",
    "Weights",
    "by_key",
    "find",
    "for_each_cell",
    "modrelu",
    "names",
    "recurrent",
    "register",
]
