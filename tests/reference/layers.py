"""The layers and rules that every contract is tried on."""

from functools import partial

import torchmomentum.nn as tnn

CELLS = {"lstm": tnn.LSTM, "gru": tnn.GRU, "rnn": tnn.RNN}
NORMALIZED = {f"normalized {name}": partial(cell, layer_norm=True) for name, cell in CELLS.items()}
RULES = {
    "none": lambda: None,
    "momentum": lambda: tnn.Momentum(0.6, 0.9),
    "nesterov": lambda: tnn.Nesterov(0.9),
    "restarted": lambda: tnn.Nesterov(0.9, restart=3),
    "released": lambda: tnn.NesterovLookahead(0.9, restart=3),
    "adam": lambda: tnn.Adam(0.6, 0.9, 0.7),
    "rmsprop": lambda: tnn.RMSProp(0.9, 0.7),
}
GAIN = {"gain": lambda: tnn.Gain(2.5)}  # a rule without a state
HIDDEN = {  # Remarks 1 and 4; not with a projection
    "hidden momentum": lambda: tnn.Momentum(0.6, 0.9, space="hidden"),
    "hidden adam": lambda: tnn.Adam(0.6, 0.9, 0.7, space="hidden"),
}
EACH_KIND = {name: RULES[name] for name in ("none", "momentum", "restarted", "released", "adam")}
SCANNED = {"mingru": tnn.MinGRU, "lru": tnn.LRU}  # cells without recurrent weights
SCANNED_RULES = {
    "none": lambda: None,
    "momentum": lambda: tnn.Momentum(0.6, 0.9, learnable=True),
    "nesterov": lambda: tnn.Nesterov(0.5, restart=3),
    "adam": lambda: tnn.Adam(),
    "rmsprop": lambda: tnn.RMSProp(),
}


def drives(layer, x):
    """What the cell of a first layer reads, by hand: ``W x + b``, and what the rule makes of it."""
    drive = x @ layer.weight_ih_l0.T
    if layer.bias:
        drive = drive + layer.bias_ih_l0
    return drive if layer.momentum is None else layer.momentum.scan(drive, None, None)[0]
