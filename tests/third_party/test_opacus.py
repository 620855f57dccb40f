"""Gradients of samples in Opacus: ours where a sampler is registered, one clear line otherwise."""

import copy
import runpy
from pathlib import Path

import pytest
import torch

import torchmomentum.nn as tnn

opacus = pytest.importorskip("opacus")
pytestmark = pytest.mark.filterwarnings("default")  # it has warnings of its own
EXAMPLE = Path(__file__).parents[2] / "examples" / "private_training.py"


def test_they_are_those_of_each_sample_alone():
    model = runpy.run_path(str(EXAMPLE))["Classifier"]()
    plain = copy.deepcopy(model)  # without Opacus's hooks
    wrapped = opacus.GradSampleModule(model, loss_reduction="sum")
    x = torch.randn(6, 5, 2)
    wrapped(x).square().sum().backward()
    for p, alone in zip(model.parameters(), plain.parameters(), strict=True):
        for k in range(6):
            (expected,) = torch.autograd.grad(plain(x[k : k + 1]).square().sum(), alone)
            torch.testing.assert_close(p.grad_sample[k], expected)


def test_without_a_sampler():
    with pytest.raises(NotImplementedError, match="gradients of samples for AdamLSTM"):
        opacus.GradSampleModule(tnn.AdamLSTM(3, 4))
