"""The sizes that are measured. No torch here."""

from __future__ import annotations

Shape = tuple[int, int, int, int]  # T, B, I, H

SHAPES: list[Shape] = [  # of the papers' tasks
    (784, 128, 1, 128),
    (784, 128, 1, 256),
    (200, 32, 129, 158),
    (100, 16, 32, 64),
    (70, 20, 400, 400),
    (35, 20, 400, 1150),
]
SMALL_SHAPES: list[Shape] = [(1, 32, 8, 64), (20, 32, 8, 32), (50, 64, 10, 64)]
SCANNED_SHAPES: list[Shape] = [(500, 64, 10, 100), (100, 16, 32, 64), (784, 128, 1, 256)]
PMNIST: Shape = (784, 128, 1, 256)
LONG: Shape = (1024, 16, 768, 768)  # what FlashRNN is measured at
UNITS = ("170", "360", "512")  # of the orthogonal networks, Tables 4 and 13
SIZES = [(1, 128), (129, 158), (400, 400)]  # I, H of a stream
TENSOR_SETS = ("ResNet-18, 62 tensors, 11.7 M", "500 small tensors, 0.47 M")
# what the choice between our kernels and PyTorch's depends on: few units and many
CHOSEN: list[Shape] = [(20, 32, 8, 32), (100, 16, 32, 64), (200, 32, 129, 158), (70, 20, 400, 400)]
CHECKED = ("LSTM", "GRU", "RNN_TANH", "RNN_RELU", "RNN_MODRELU")  # cells
