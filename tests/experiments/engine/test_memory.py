import pytest
import torch

import torchmomentum.nn as tnn
from torchmomentum.experiments.engine.memory import peak_memory
from torchmomentum.ops import available


def _step(layer, x):
    layer(x)[0][-1].sum().backward()


def test_counts_what_pytorch_allocates():
    assert 4_000_000 <= peak_memory(lambda: torch.ones(1_000_000), "cpu") < 4_100_000


@pytest.mark.skipif(not available(), reason="no C++ compiler here")
def test_counts_the_kernels_own_memory():
    layer, x = tnn.LSTM(8, 128), torch.randn(64, 32, 8)
    gates, states = 64 * 32 * 512 * 4, 64 * 32 * 128 * 4
    _step(layer, x)
    for _ in range(2):  # used again or not, it counts
        found = peak_memory(lambda: _step(layer, x), "cpu")
        # gates, outputs and cells; a buffer as large as the gates, for this is one chunk; the
        # gradients of outputs and weights
        assert 2 * gates + 2 * states <= found < 3.5 * gates
