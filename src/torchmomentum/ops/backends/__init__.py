"""The ways to compute a problem, one a file. Each says what it serves, and why not the rest."""

from torchmomentum.ops.backends import aten, cpu, definition, eager, triton
from torchmomentum.ops.backends._backend import Backend

BACKENDS: dict[str, Backend] = {
    made.name: made
    for made in (
        definition.LOOP,
        definition.DEFINITION,
        eager.EAGER,
        aten.ATEN,
        cpu.CPU,
        triton.TRITON,
    )
}

__all__ = ["BACKENDS", "Backend"]
