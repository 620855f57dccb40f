"""Residual networks: with pre-activation for CIFAR, the usual ones for ImageNet."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import relu

IMAGENET_DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}
_EXPANSION = 4  # a bottleneck's outputs for each of its inner channels


def _convolution(inputs: int, outputs: int, size: int = 1, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)


def _initialize(model: nn.Module) -> None:
    """He et al. (2015): normal weights that keep the variance of gradients through each layer."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class _PreActivation(nn.Module):
    """1x1, 3x3 and 1x1, each after its normalization, beside an identity or a projection."""

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        outputs = _EXPANSION * channels
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), _convolution(inputs, channels)
        self.norm2, self.conv2 = (
            nn.BatchNorm2d(channels),
            _convolution(channels, channels, 3, stride),
        )
        self.norm3, self.conv3 = nn.BatchNorm2d(channels), _convolution(channels, outputs)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else _convolution(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(relu(self.norm1(x)))
        y = self.conv2(relu(self.norm2(y)))
        y = self.conv3(relu(self.norm3(y)))
        result: Tensor = y + self.shortcut(x)
        return result


class _Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1, each before its normalization, beside an identity or a projection."""

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        outputs = _EXPANSION * channels
        self.conv1, self.norm1 = _convolution(inputs, channels), nn.BatchNorm2d(channels)
        self.conv2, self.norm2 = (
            _convolution(channels, channels, 3, stride),
            nn.BatchNorm2d(channels),
        )
        self.conv3, self.norm3 = _convolution(channels, outputs), nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                _convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = relu(self.norm1(self.conv1(x)))
        y = relu(self.norm2(self.conv2(y)))
        return relu(self.norm3(self.conv3(y)) + self.shortcut(x))


def _stages(
    block: type[_PreActivation] | type[_Bottleneck], inputs: int, width: int, counts: Sequence[int]
) -> tuple[nn.Sequential, int]:
    """Stages of blocks, each of twice the channels and half the size of the one before."""
    blocks: list[nn.Module] = []
    for stage, count in enumerate(counts):
        channels = width * 2**stage
        for number in range(count):
            stride = 2 if stage > 0 and number == 0 else 1
            blocks.append(block(inputs, channels, stride))
            inputs = _EXPANSION * channels
    return nn.Sequential(*blocks), inputs


class PreResNet(nn.Module):
    """A pre-activation ResNet of bottlenecks for 32x32 images (He et al., 2016, Identity Mappings).

    Args:
        depth: ``9 n + 2``: 20, 29, 38, ..., 110, 164, 290, 470, 650, 1001.
        classes: Outputs.

    Raises:
        ValueError: A depth of another form.
    """

    def __init__(self, depth: int, classes: int = 10) -> None:
        super().__init__()
        if depth < 11 or (depth - 2) % 9:
            raise ValueError(f"depth must be 9 n + 2 with n at least 1, got {depth}")
        self.stem = _convolution(3, 16, 3)
        self.blocks, features = _stages(_PreActivation, 16, 16, [(depth - 2) // 9] * 3)
        self.norm = nn.BatchNorm2d(features)
        self.readout = nn.Linear(features, classes)
        _initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, 3, 32, 32)`` to ``(B, classes)``."""
        y = relu(self.norm(self.blocks(self.stem(x))))
        result: Tensor = self.readout(y.mean((2, 3)))
        return result


class ResNet(nn.Module):
    """A ResNet of bottlenecks for ImageNet (He et al., 2015), the stride in the 3x3 convolution.

    Args:
        depth: 50, 101, 152 or 200.
        classes: Outputs.

    Raises:
        ValueError: Another depth.
    """

    def __init__(self, depth: int, classes: int = 1000) -> None:
        super().__init__()
        if depth not in IMAGENET_DEPTHS:
            known = ", ".join(map(str, IMAGENET_DEPTHS))
            raise ValueError(f"depth must be one of {known}, got {depth}")
        self.stem, self.norm = _convolution(3, 64, 7, 2), nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.blocks, features = _stages(_Bottleneck, 64, 64, IMAGENET_DEPTHS[depth])
        self.readout = nn.Linear(features, classes)
        _initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, 3, H, W)``, usually 224 each, to ``(B, classes)``."""
        y = self.blocks(self.pool(relu(self.norm(self.stem(x)))))
        result: Tensor = self.readout(y.mean((2, 3)))
        return result
