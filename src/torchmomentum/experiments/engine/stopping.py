"""The end that the system asks for, by SIGTERM: a training writes a checkpoint before it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Terminated(BaseException):
    """The system asked this process to end. As with ``KeyboardInterrupt``, no run's error."""


class _Request:
    """Whether the end was asked for, and whether it can wait for the next step."""

    def __init__(self) -> None:
        self.made = False
        self.can_wait = False
        self.end: Callable[[], Any] = _raise

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.made = True
        if not self.can_wait:
            self.end()


def _raise() -> None:
    raise Terminated


_request = _Request()


def listen(end: Callable[[], Any] = _raise) -> None:
    """Has SIGTERM end this process in an orderly way.

    Args:
        end: What ends it where nothing can wait; by default :class:`Terminated` is raised.
    """
    if threading.current_thread() is threading.main_thread():
        _request.made, _request.end = False, end
        signal.signal(signal.SIGTERM, _request)


def asked() -> bool:
    """Whether the system asked this process to end."""
    return _request.made


@contextmanager
def until_next_step() -> Iterator[None]:
    """In it, SIGTERM only has :func:`asked` answer yes."""
    _request.can_wait = True
    try:
        yield
    finally:
        _request.can_wait = False
