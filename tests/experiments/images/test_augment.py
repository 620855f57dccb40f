import torch
from torchmomentum.experiments.images.augment import CIFAR, crop_and_flip, normalize


def test_every_picture_is_a_crop_of_its_padded_self():
    images = torch.randint(0, 256, (64, 3, 9, 9), dtype=torch.uint8)
    seen = crop_and_flip(images, torch.Generator().manual_seed(3))
    assert seen.shape == images.shape
    assert seen.dtype == torch.uint8
    wide = torch.nn.functional.pad(images, [4] * 4)
    places = set()
    for picture, padded in zip(seen, wide, strict=True):
        found = {
            (top, left, mirrored)
            for top in range(9)
            for left in range(9)
            for mirrored in (False, True)
            if torch.equal(
                picture.flip(-1) if mirrored else picture, padded[:, top : top + 9, left : left + 9]
            )
        }
        assert len(found) == 1
        places |= found
    tops, lefts, mirrored = (set(x) for x in zip(*places, strict=True))
    assert tops == lefts == set(range(9))  # 64 draws miss one of nine with probability 0.005
    assert mirrored == {False, True}


def test_the_same_draws_give_the_same_pictures():
    images = torch.randint(0, 256, (8, 3, 9, 9), dtype=torch.uint8)
    a, b, c = (crop_and_flip(images, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_normalized_by_colour():
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in CIFAR)
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    seen = normalize(images)
    assert seen.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(seen * std + mean, images / 255)
