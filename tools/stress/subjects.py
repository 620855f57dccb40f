"""What is fuzzed: a loader, its small valid files, where to damage them, what may come of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from torch import Tensor


@dataclass(frozen=True)
class Spot:
    """A part of a file that is damaged: the file itself, or what is packed in it.

    Attributes:
        content: As it should be.
        write: ``write(content)`` makes the file of other content.
    """

    content: bytes
    write: Callable[[bytes], Any]


@dataclass(frozen=True)
class Subject:
    """A loader with its files.

    Attributes:
        spots: Parts to damage, by name.
        load: Loads everything; what it returns is well-formed if ``problem`` says nothing.
        problem: ``problem(tensors)``, what is wrong with what was loaded; empty for nothing.
        hostile: Contents by the name of their spot that somebody made on purpose.
        settings: What is patched throughout: module, name, value.
        checks: Likewise what compares checksums, and is patched for most of the damage.
    """

    spots: dict[str, Spot]
    load: Callable[[], Sequence[Tensor]]
    problem: Callable[[Sequence[Tensor]], str]
    hostile: list[tuple[str, bytes]] = field(default_factory=list)
    settings: list[tuple[Any, str, Any]] = field(default_factory=list)
    checks: list[tuple[Any, str]] = field(default_factory=list)

    def patched(self, *, checked: bool) -> AbstractContextManager[Any]:
        """In it the loader takes the small files, and believes them unless it is checked."""
        stack = ExitStack()
        for owner, name, value in self.settings:
            stack.enter_context(mock.patch.object(owner, name, value))
        for owner, name in self.checks if not checked else ():
            stack.enter_context(mock.patch.object(owner, name))
        return stack


def writer(path: Path, pack: Callable[[bytes], bytes] = bytes) -> Callable[[bytes], Any]:
    """Writes content, packed, to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def write(content: bytes) -> None:
        path.write_bytes(pack(content))

    return write


def images_and_labels(classes: int) -> Callable[[Sequence[Tensor]], str]:
    """What is wrong with pairs of images and labels; images in bytes, or in [0, 1]."""

    def problem(tensors: Sequence[Tensor]) -> str:
        for images, labels in zip(tensors[::2], tensors[1::2], strict=True):
            if labels.shape != images.shape[:1] or not len(images):
                return f"{tuple(images.shape)} images, {tuple(labels.shape)} labels"
            if labels.is_floating_point() or not 0 <= labels.min() <= labels.max() < classes:
                return f"labels {labels}"
            if images.is_floating_point() and not 0 <= images.min() <= images.max() <= 1:
                return "pixels are not in [0, 1]"
        return ""

    return problem
