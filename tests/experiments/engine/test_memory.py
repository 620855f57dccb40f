import pytest
import torch

import torchmomentum.nn as tnn
from torchmomentum.experiments.engine.memory import peak_memory
from torchmomentum.ops import available


def _step(layer, x):
    layer(x)[0][-1].sum().backward()


def test_counts_what_pytorch_allocates():
    assert peak_memory(lambda: torch.empty(1_000_000), "cpu") == 4_000_000

    def two_then_one():
        a = torch.empty(500)
        b = torch.empty(1000)
        del a, b
        torch.empty(700)

    assert 6_000 <= peak_memory(two_then_one, "cpu") < 6_200  # both at once, to 64 bytes


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
