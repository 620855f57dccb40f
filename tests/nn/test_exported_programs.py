"""A program that was exported with the kernels runs in another process, with them and without."""

import os
import subprocess
import sys

import pytest
import torch

import torchmomentum.nn as tnn
from torchmomentum.ops.cpu.library import available

RUN = """
import sys, torch, torchmomentum
folder = sys.argv[1]
program = torch.export.load(f"{folder}/program.pt2").module()
x, out, grad = torch.load(f"{folder}/expected.pt")
x.requires_grad_()
found = program(x)[0]
found.square().sum().backward()
torch.testing.assert_close(found, out)
torch.testing.assert_close(x.grad, grad)
from torchmomentum.ops.cpu.library import available
print(available())
"""


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


@pytest.mark.parametrize("kernels", ["on", "off"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: tnn.MomentumLSTM(3, 4, num_layers=2, mu=0.6),
        lambda: tnn.LSTM(3, 4, momentum=tnn.Adam(0.6, 1.0, 0.9, learnable=True)),
        lambda: tnn.GRU(3, 4, momentum=tnn.NesterovLookahead(1.0, 3), layer_norm=True),
        lambda: tnn.MomentumDTRIV(3, 4, mu=0.6),
    ],
    ids=["lstm", "adam", "normalized gru", "orthogonal"],
)
def test_a_program_in_another_process(make, kernels, tmp_path):
    if not available():
        pytest.skip("there are no kernels to export with")
    layer = make()
    time = torch.export.Dim("time")
    program = torch.export.export(layer, (torch.randn(5, 2, 3),), dynamic_shapes=({0: time},))
    assert "torchmomentum.cpu_" in str(program.graph)
    torch.export.save(program, tmp_path / "program.pt2")
    x = torch.randn(9, 2, 3, requires_grad=True)
    out = layer(x)[0]
    (grad,) = torch.autograd.grad(out.square().sum(), x)
    torch.save((x.detach(), out.detach(), grad), tmp_path / "expected.pt")
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path)],
        env={**os.environ, "TORCHMOMENTUM_CPU_KERNELS": kernels},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == str(kernels == "on")
