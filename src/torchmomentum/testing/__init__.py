"""Contracts that a layer, a one-step cell, a rule or an optimizer of your own can be held to.

:func:`check_rnn` tests what users of ``torch.nn.LSTM`` rely on, :func:`check_cell` the same for
``torch.nn.LSTMCell``, :func:`check_rule` what layers rely on in a momentum rule, and
:func:`check_optimizer` what users of ``torch.optim.SGD`` rely on. PyTorch's own classes pass too.
"""

from torchmomentum.testing._cell import check_cell
from torchmomentum.testing._contract import ContractError
from torchmomentum.testing._optimizer import check_optimizer
from torchmomentum.testing._rnn import check_rnn
from torchmomentum.testing._rule import check_rule

__all__ = ["ContractError", "check_cell", "check_optimizer", "check_rnn", "check_rule"]
