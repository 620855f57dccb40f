"""Which of the processes that train together this one is."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def is_first_process() -> bool:
    """Whether this process writes, of those that are started to train together."""
    if "TORCHELASTIC_RUN_ID" in os.environ:  # by torchrun
        return os.environ["RANK"] == "0"
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


def agreed(ask: Callable[[], T]) -> T:
    """What the first process finds, where several train together by now; else what this one does.

    Files may change between the looks of two processes, and they are to go the same way.
    """
    from torch import distributed

    if not distributed.is_available() or not distributed.is_initialized():
        return ask()
    found: list[Any] = [ask() if is_first_process() else None]
    distributed.broadcast_object_list(found)
    answer: T = found[0]
    return answer
