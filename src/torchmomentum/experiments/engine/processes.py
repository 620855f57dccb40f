"""Which of the processes that train together this one is."""

from __future__ import annotations

import os


def is_first_process() -> bool:
    """Whether this process writes, of those that are started to train together."""
    if "TORCHELASTIC_RUN_ID" in os.environ:  # by torchrun
        return os.environ["RANK"] == "0"
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"
