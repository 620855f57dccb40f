"""ImageNet's files: folders of classes or tar shards. No torch."""

from __future__ import annotations

from pathlib import Path

from torchmomentum.experiments.data.folder import missing


def find_shards(folder: Path, name: str) -> list[Path]:
    """The shards of the training or the validation images; none where they lie in folders.

    Args:
        folder: The data folder.
        name: ``train`` or ``val``.

    Raises:
        UsageError: There are neither shards nor a folder.
    """
    folder = folder / "imagenet"
    shards = sorted(folder.glob(f"{name}-*.tar"))
    if not shards and not (folder / name).is_dir():
        remedy = f"place {name}/CLASS/*.JPEG or {name}-*.tar there (it cannot be downloaded)"
        raise missing("ImageNet", folder, remedy, "let cifar10-jpeg stand in")
    return shards


def check_imagenet(folder: Path) -> None:
    """Checks that there are images to train on and to validate on, without reading them.

    Raises:
        UsageError: What loading them would raise where there are none.
    """
    for name in ("train", "val"):
        find_shards(folder, name)
