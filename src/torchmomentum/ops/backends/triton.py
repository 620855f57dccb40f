"""The Triton kernels as a backend: recurrences over pre-activations on CUDA."""

from __future__ import annotations

from torchmomentum.ops.backends._backend import Backend, over_preactivations
from torchmomentum.ops.triton.launch import refusal, scan

TRITON = Backend(
    "triton",
    "LSTM, GRU and RNN in float32, bfloat16 and float16 on CUDA, without projection and "
    "normalization, where Triton is installed",
    refusal,
    over_preactivations(scan),
)
