"""The networks against their papers' tables, and against plain functions."""

import pytest
import torch
from torch.nn.functional import batch_norm, conv2d, max_pool2d, relu

from torchmomentum.experiments.models import resnets
from torchmomentum.experiments.models.resnets import IMAGENET_DEPTHS, PreResNet, ResNet


def _count(make):
    with torch.device("meta"):
        return sum(p.numel() for p in make().parameters())


@pytest.mark.parametrize(
    ("depth", "millions"),
    # He et al. (2016), Table 4: ResNet-164 has 1.7 M, ResNet-1001 10.2 M without normalization
    [(164, 1.7), (1001, 10.3)],
)
def test_published_sizes_for_cifar(depth, millions):
    assert _count(lambda: PreResNet(depth)) / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize(
    ("depth", "ten", "hundred"), [(20, 219_482, 242_612), (110, 1_146_842, 1_169_972)]
)
def test_sizes_of_the_released_networks(depth, ten, hundred):
    assert _count(lambda: PreResNet(depth)) == ten
    assert _count(lambda: PreResNet(depth, 100)) == hundred


@pytest.mark.parametrize(
    ("depth", "published"),
    [(50, 25_557_032), (101, 44_549_160), (152, 60_192_808), (200, 64_673_832)],
)
def test_published_sizes_for_imagenet(depth, published):
    assert _count(lambda: ResNet(depth)) == published
    with torch.device("meta"):
        layers = [m for m in ResNet(depth).modules() if isinstance(m, torch.nn.Conv2d)]
    projections = len(IMAGENET_DEPTHS[depth])
    assert len(layers) - projections + 1 == depth  # and the readout


@pytest.mark.parametrize("depth", [11, 20, 110])
def test_a_depth_counts_its_layers(depth):
    with torch.device("meta"):
        layers = [m for m in PreResNet(depth).modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(layers) - 3 + 1 == depth


class _Plain:
    """A network's parameters by name, and functions of them."""

    def __init__(self, model):
        self.values = model.state_dict()

    def norm(self, x, name):
        weight, bias, mean, variance = (
            self.values[f"{name}.{k}"] for k in ("weight", "bias", "running_mean", "running_var")
        )
        scale = (weight / (variance + 1e-5).sqrt()).view(1, -1, 1, 1)
        expected = (x - mean.view(1, -1, 1, 1)) * scale + bias.view(1, -1, 1, 1)
        assert torch.allclose(expected, batch_norm(x, mean, variance, weight, bias))
        return expected

    def conv(self, x, name, stride=1):
        weight = self.values[f"{name}.weight"]
        return conv2d(x, weight, None, stride, (weight.shape[-1] - 1) // 2)

    def readout(self, x):
        return x.mean((2, 3)) @ self.values["readout.weight"].T + self.values["readout.bias"]


def _pre_resnet(model, x, blocks):
    """He et al. (2016), Figure 4(e): normalization and ReLU stand before each convolution."""
    net = _Plain(model)
    x = net.conv(x, "stem")
    for number in range(3 * blocks):
        name = f"blocks.{number}"
        stride = 2 if number in (blocks, 2 * blocks) else 1
        y = net.conv(relu(net.norm(x, f"{name}.norm1")), f"{name}.conv1")
        y = net.conv(relu(net.norm(y, f"{name}.norm2")), f"{name}.conv2", stride)
        y = net.conv(relu(net.norm(y, f"{name}.norm3")), f"{name}.conv3")
        projected = number in (0, blocks, 2 * blocks)
        x = y + (net.conv(x, f"{name}.shortcut", stride) if projected else x)
    return net.readout(relu(net.norm(x, "norm")))


def _resnet(model, x, counts):
    """He et al. (2015), Figure 5; the stride in the 3x3 convolution, as the release has it."""
    net = _Plain(model)
    x = max_pool2d(relu(net.norm(net.conv(x, "stem", 2), "norm")), 3, 2, 1)
    number = 0
    for stage, count in enumerate(counts):
        for first in [True] + [False] * (count - 1):
            name, stride = f"blocks.{number}", 2 if first and stage else 1
            y = relu(net.norm(net.conv(x, f"{name}.conv1"), f"{name}.norm1"))
            y = relu(net.norm(net.conv(y, f"{name}.conv2", stride), f"{name}.norm2"))
            y = net.norm(net.conv(y, f"{name}.conv3"), f"{name}.norm3")
            if first:
                x = net.norm(net.conv(x, f"{name}.shortcut.0", stride), f"{name}.shortcut.1")
            x = relu(x + y)
            number += 1
    return net.readout(x)


def _with_random_statistics(model):
    """Normalization that shifts and scales each channel: no ReLU then leaves its input alone."""
    for module in model.double().eval().modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for value in (module.weight, module.bias, module.running_mean):
                torch.nn.init.normal_(value, std=0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return model


@torch.no_grad()
@pytest.mark.parametrize("depth", [11, 20])
def test_the_network_for_cifar_is_its_equations(depth):
    model = _with_random_statistics(PreResNet(depth, 7))
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    assert model.blocks(model.stem(x)).shape == (2, 256, 4, 4)
    expected = _pre_resnet(model, x, (depth - 2) // 9)
    assert expected.shape == (2, 7)
    torch.testing.assert_close(model(x), expected)


@torch.no_grad()
def test_the_network_for_imagenet_is_its_equations(monkeypatch):
    monkeypatch.setitem(resnets.IMAGENET_DEPTHS, 17, (1, 2, 1, 1))
    model = _with_random_statistics(ResNet(17, 5))
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    assert model.blocks(model.pool(model.stem(x))).shape == (2, 2048, 2, 2)
    torch.testing.assert_close(model(x), _resnet(model, x, (1, 2, 1, 1)))


def test_weights_keep_the_variance_of_gradients():
    """He et al. (2015): deviation sqrt(2 / (outputs k^2)), and no bias."""
    for name, weight in PreResNet(20).named_parameters():
        if weight.dim() == 4 and weight.numel() > 2000:
            outputs, _, k, _ = weight.shape
            expected = (2 / (outputs * k * k)) ** 0.5
            assert weight.std().item() == pytest.approx(expected, rel=0.1), name


@pytest.mark.parametrize(("make", "depth"), [(PreResNet, 21), (PreResNet, 2), (ResNet, 34)])
def test_other_depths_are_rejected(make, depth):
    with pytest.raises(ValueError, match=f"got {depth}"):
        make(depth)
