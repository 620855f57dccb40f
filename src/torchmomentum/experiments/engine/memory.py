"""The peak of the memory that one step of training allocates."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

from torchmomentum.ops import memory_changes


def peak_memory(step: Callable[[], object], device: str) -> int:
    """Runs ``step`` once and returns how many bytes of tensors it had allocated at the most.

    What lived before (weights, optimizer states, the batch) does not count; nor does, on a CPU, the
    scratch memory that oneDNN keeps for itself.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with (
        memory_changes() as internal,
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded,
    ):
        step()
    if recorded.profiler is None or recorded.profiler.kineto_results is None:
        raise RuntimeError("the profiler recorded nothing")
    events = recorded.profiler.kineto_results.events()
    seen = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    changes = sorted(seen + internal)
    held = highest = 0
    for _, change in changes:
        held += change
        highest = max(highest, held)
    return highest
