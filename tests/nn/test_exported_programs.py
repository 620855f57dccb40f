"""A program that was exported with the kernels runs in another process, with them and without."""

import os
import subprocess
import sys

import pytest
import torch

import torchmomentum.nn as tnn
from torchmomentum.ops.cpu.library import available

RUN = """
import pathlib, sys, torch, torchmomentum
from torchmomentum.ops.cpu.library import available
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.pt2")):
    program = torch.export.load(path).module()
    x, out, grad = torch.load(path.with_suffix(".pt"))
    x.requires_grad_()
    found = program(x)[0]
    found.square().sum().backward()
    torch.testing.assert_close(found, out)
    torch.testing.assert_close(x.grad, grad)
    print(path.stem)
print(available())
"""
LAYERS = {
    "adam": lambda: tnn.LSTM(3, 4, momentum=tnn.Adam(0.6, 1.0, 0.9, learnable=True)),
    "gru": lambda: tnn.GRU(3, 4, momentum=tnn.NesterovLookahead(1.0, 3), layer_norm=True),
    "lstm": lambda: tnn.MomentumLSTM(3, 4, num_layers=2, mu=0.6),
    "orthogonal": lambda: tnn.MomentumDTRIV(3, 4, mu=0.6),
}


@pytest.mark.parametrize("steps", [5, 100])  # few rows and many: kernels differ, programs not
@pytest.mark.parametrize(
    "make",
    [
        lambda: tnn.MinGRU(3, 4, momentum=tnn.Momentum(0.6)),
        lambda: tnn.LRU(3, 4),
        lambda: tnn.LSTM(3, 4, momentum=tnn.Momentum(0.6), layer_norm=True),
    ],
    ids=["mingru", "lru", "normalized lstm"],
)
def test_a_program_for_any_batch_and_time(make, steps):
    layer = make().eval()
    sizes = {0: torch.export.Dim("time", min=2), 1: torch.export.Dim("batch", min=2)}
    program = torch.export.export(layer, (torch.randn(steps, 7, 3),), dynamic_shapes=(sizes,))
    for shape in ((6, 5, 3), (90, 6, 3)):
        x = torch.randn(shape)
        torch.testing.assert_close(program.module()(x)[0], layer(x)[0])


@pytest.mark.skipif(not available(), reason="there are no kernels to export with")
def test_programs_in_another_process(tmp_path):
    for name, make in LAYERS.items():
        layer, time = make(), torch.export.Dim("time")
        program = torch.export.export(layer, (torch.randn(5, 2, 3),), dynamic_shapes=({0: time},))
        assert "torchmomentum.cpu_" in str(program.graph)
        torch.export.save(program, tmp_path / f"{name}.pt2")
        x = torch.randn(9, 2, 3, requires_grad=True)
        out = layer(x)[0]
        (grad,) = torch.autograd.grad(out.square().sum(), x)
        torch.save((x.detach(), out.detach(), grad), tmp_path / f"{name}.pt")
    for kernels in ("on", "off"):
        done = subprocess.run(
            [sys.executable, "-c", RUN, str(tmp_path)],
            env={**os.environ, "TORCHMOMENTUM_CPU_KERNELS": kernels},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (done.stdout, done.stderr)
        assert done.stdout.split() == [*LAYERS, str(kernels == "on")]
