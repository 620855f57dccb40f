import pytest
import torch
from torchmomentum.experiments.images.resnets import IMAGENET_DEPTHS, PreResNet, ResNet


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


@pytest.mark.parametrize("depth", [11, 20, 29, 1001])
def test_a_depth_counts_its_layers(depth):
    with torch.device("meta"):
        layers = [m for m in PreResNet(depth).modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(layers) - 3 + 1 == depth


def test_it_halves_twice_and_reads_what_is_not_yet_activated():
    torch.manual_seed(0)
    net = PreResNet(20, 7).eval()
    x = torch.randn(2, 3, 32, 32)
    assert net(x).shape == (2, 7)
    assert net.blocks(net.stem(x)).shape == (2, 256, 8, 8)
    block, y = net.blocks[1], torch.randn(2, 64, 32, 32)
    with torch.no_grad():
        block.conv3.weight.zero_()
    assert torch.equal(block(y), y)  # the shortcut, negative values and all
    assert (ResNet(50, 5).eval()(torch.randn(1, 3, 64, 64))).shape == (1, 5)


@pytest.mark.parametrize(("make", "depth"), [(PreResNet, 21), (PreResNet, 2), (ResNet, 34)])
def test_other_depths_are_refused(make, depth):
    with pytest.raises(ValueError, match=f"got {depth}"):
        make(depth)
