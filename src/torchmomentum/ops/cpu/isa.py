"""The instruction sets that the CPU kernels are compiled for, and the one that is taken here.

``TORCHMOMENTUM_CPU_ISA`` forces one: ``v2``, ``v3``, ``v4`` or ``v4-bf16`` of x86-64, ``neon`` of
ARM, ``generic`` of any other processor.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import NamedTuple

import torch

_CPUINFO = Path("/proc/cpuinfo")


class InstructionSet(NamedTuple):
    """What a variant of the kernels is compiled for.

    Attributes:
        name: As ``TORCHMOMENTUM_CPU_ISA`` says it.
        flags: What GCC and Clang are told.
        needs: The processor's features, in the words of ``/proc/cpuinfo``.
        capability: The same, where there is no such file, in the words of
            ``torch.backends.cpu.get_cpu_capability``; one that it does not tell of is empty.
    """

    name: str
    flags: tuple[str, ...]
    needs: frozenset[str]
    capability: str


_V2 = {"ssse3": "-mssse3", "sse4_1": "-msse4.1", "sse4_2": "-msse4.2", "popcnt": "-mpopcnt"}
_V3 = {**_V2, "avx2": "-mavx2", "fma": "-mfma", "bmi1": "-mbmi", "bmi2": "-mbmi2", "f16c": "-mf16c"}
_V4 = {**_V3, **{f"avx512{part}": f"-mavx512{part}" for part in ("f", "bw", "cd", "dq", "vl")}}
_BF16 = {**_V4, "avx512_bf16": "-mavx512bf16"}


def _set(name: str, features: dict[str, str], capability: str = "") -> InstructionSet:
    return InstructionSet(name, tuple(features.values()), frozenset(features), capability)


# of each kind of processor the fastest last
_X86 = (
    _set("v2", _V2, "DEFAULT"),
    _set("v3", _V3, "AVX2"),
    _set("v4", _V4, "AVX512"),
    _set("v4-bf16", _BF16),
)
_ARM = (_set("neon", {}, "DEFAULT"),)
_OTHER = (_set("generic", {}, "DEFAULT"),)
INSTRUCTION_SETS = {each.name: each for each in (*_X86, *_ARM, *_OTHER)}


def of_machine(machine: str) -> tuple[InstructionSet, ...]:
    """Those of a kind of processor, as ``platform.machine()`` names it, the fastest last."""
    kinds = {"x86_64": _X86, "amd64": _X86, "arm64": _ARM, "aarch64": _ARM}
    return kinds.get(machine.lower(), _OTHER)


def _features() -> frozenset[str] | None:
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return None
    found = (line.partition(":")[2].split() for line in lines if line.startswith("flags"))
    return frozenset(next(found, ()))


def supported() -> tuple[InstructionSet, ...]:
    """Those that this processor has, the fastest last."""
    known, features = of_machine(platform.machine()), _features()
    if features is not None:
        return tuple(each for each in known if each.needs <= features)
    told = [each.capability for each in known]
    capability = torch.backends.cpu.get_cpu_capability()
    return known[: told.index(capability) + 1] if capability in told else known[:1]


def chosen() -> InstructionSet | None:
    """The one whose kernels are taken: the fastest, or that of ``TORCHMOMENTUM_CPU_ISA``.

    Returns:
        None where the processor has none of them.

    Raises:
        ValueError: The variable names an unknown one, or one that this processor lacks.
    """
    found = {each.name: each for each in supported()}
    asked = os.environ.get("TORCHMOMENTUM_CPU_ISA", "").lower()
    if not asked:
        return list(found.values())[-1] if found else None
    if asked not in INSTRUCTION_SETS:
        names = ", ".join(INSTRUCTION_SETS)
        raise ValueError(f"TORCHMOMENTUM_CPU_ISA must be one of {names}, got {asked!r}")
    if asked not in found:
        raise ValueError(
            f"TORCHMOMENTUM_CPU_ISA is {asked!r}, which this processor lacks; it has "
            f"{', '.join(found) or 'none'}"
        )
    return found[asked]
