"""Momentum rules, one a file: what turns a sequence of drives into what a recurrent cell reads.

To add one, subclass :class:`Rule`: see its docstring for what may be said of a rule.
"""

from torchmomentum.nn.rules._rule import (
    Rule,
    RuleState,
    check_space,
    checked_rule,
    with_parts,
)
from torchmomentum.nn.rules._scaled import bounded
from torchmomentum.nn.rules.adam import Adam
from torchmomentum.nn.rules.gain import Gain
from torchmomentum.nn.rules.lookahead import NesterovLookahead
from torchmomentum.nn.rules.momentum import Momentum
from torchmomentum.nn.rules.nesterov import Nesterov
from torchmomentum.nn.rules.rmsprop import RMSProp

__all__ = [
    "Adam",
    "Gain",
    "Momentum",
    "Nesterov",
    "NesterovLookahead",
    "RMSProp",
    "Rule",
    "RuleState",
    "bounded",
    "check_space",
    "checked_rule",
    "with_parts",
]
