"""The Triton kernels as a backend: recurrences over pre-activations on CUDA."""

from __future__ import annotations

from torchmomentum.ops.backends._backend import Backend, over_preactivations
from torchmomentum.ops.triton.operators import refusal, scan

TRITON = Backend(
    "triton",
    "float32 and shorter types on CUDA: LSTM, GRU, RNN and modReLU, without projection and "
    "normalization, where Triton is installed",
    refusal,
    over_preactivations(scan),
)
