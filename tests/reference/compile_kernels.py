"""Compiles the Triton kernels for a GPU that need not be there: run by a test, not interpreted."""

import os
import re
import sys

os.environ.pop("TRITON_INTERPRET", None)
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from torchmomentum.ops.cells import find
from torchmomentum.ops.triton import backward, common, filters, forward
from torchmomentum.ops.triton import launch as launcher
from torchmomentum.ops.triton import plan as plans

HOPPER = GPUTarget("cuda", 90, 32)
SHARED = 227 * 1024  # bytes that a program may have there


def compile_kernel(kernel, types, constants, warps=4):
    """Compiles a kernel of arguments of these types; those of type None are absent."""
    names = kernel.arg_names
    fixed = {**{n: None for n, t in types.items() if t is None}, **constants}
    signature = {n: "constexpr" if n in fixed else types[n] for n in names}
    pointers = {(names.index(n),): [["tt.divisibility", 16]] for n, t in types.items() if t == "*"}
    source = ASTSource(
        kernel, signature, {(names.index(n),): v for n, v in fixed.items()}, pointers
    )
    return triton.compile(source, target=HOPPER, options={"num_warps": warps})


def compile_recurrence(mode, hidden, dtype, everything, cut):
    lstm, gru, several = mode == "LSTM", mode == "GRU", not cut.single
    sequence, single, mask = f"*{dtype}", "*fp32", "*u8" if everything else None
    ints = dict.fromkeys(("begin", "steps", "time", "batch"), "i32")
    common = {
        "hs": sequence,
        "cs": single if lstm else None,
        "gates": sequence,
        "inner": sequence if gru else None,
        "weight": sequence,
        "lengths": "*i64" if everything else None,
        "mu": single if everything else None,
        "kept": mask,
        "scale": "fp32",
        "zone_h": mask,
        "rate_h": "fp32",
        "zone_c": mask if lstm else None,
        "rate_c": "fp32",
        "counters": "*i32" if several else None,
        **ints,
    }
    constants = {
        "hidden": hidden,
        "MODE": launcher.CELLS.index(mode),
        "GATES": find(mode).gates,
        "SINGLE": cut.single,
        "STATIONARY": cut.stationary,
        "WAIT": several,
        "ZONES": everything,
        "BLOCK_B": cut.block_b,
        "BLOCK_N": cut.block_n,
        "BLOCK_K": cut.block_k,
        "PRECISION": "tf32",
    }
    ahead = {
        "pre": sequence,
        "bias": sequence,
        "modrelu": sequence if mode == "RNN_MODRELU" else None,
        "operands": sequence if everything else None,
    }
    behind = {"grad_out": sequence, "local": sequence, "rec": sequence, "carried": single}
    more = {"CHANGED": everything, "LAST": True}
    found = [
        compile_kernel(forward.forward, common | ahead, constants, cut.warps),
        compile_kernel(backward.backward, common | behind, constants | more, cut.warps),
    ]
    for kernel in found:
        assert kernel.metadata.shared <= SHARED, (mode, hidden, kernel.metadata.shared)


def compile_filters(everything):
    number, pointer = "fp32", "*fp32"
    sizes = {"time": "i32", "channels": "i32", "width": "i32"}
    sequences = {"x": pointer, "out": pointer}
    decay = pointer if everything else None
    compile_kernel(
        filters.linear,
        {**sequences, "initial": pointer, "decay": decay, "gain": number, "constant": number}
        | {"time": "i32", "channels": "i32", "span": "i32"},
        {"REVERSE": everything, "BLOCK": 128},
    )
    states = dict.fromkeys(("velocity", "rms", "marks"), pointer)
    alive = {"alive": "*u8" if everything else None}
    rule = dict.fromkeys(("mu", "gain", "old_root", "new_root", "eps", "limit", "bound"), number)
    blocks = {"CHUNK": 32, "BLOCK": 128}
    compile_kernel(filters.adam_forward, sequences | states | alive | rule | sizes, blocks)
    grads = dict.fromkeys(("x", "grad", "grad_x", "grad_velocity", "grad_rms", "marks"), pointer)
    more = dict.fromkeys(("beta", "largest", "tiny"), number)
    sums = {"scratch": pointer, "sums": pointer if everything else None}
    compile_kernel(filters.adam_backward, grads | alive | sums | rule | more | sizes, blocks)


def compile_wait():
    """Programs that wait for others only read: no barrier and no atomic operation in the loop."""
    for capability in (80, 90):
        source = ASTSource(common.meet, {"counter": "*i32", "count": "i32"}, {}, {})
        target = GPUTarget("cuda", capability, 32)
        text = triton.compile(source, target=target, options={"num_warps": 4}).asm["ptx"]
        loops = re.findall(r"^(\$L\w+):(.*?)\bbra\s+\1;", text, re.DOTALL | re.MULTILINE)
        assert len(loops) == 1, text
        assert "ld.volatile.global" in loops[0][1], text
        assert not re.search(r"bar\.|atom|red\.|membar|fence", loops[0][1]), text


def main(which):
    if which == "wait":
        return compile_wait()
    if which == "filters":
        for everything in (False, True):
            compile_filters(everything)
        return
    sizes = (True, 64, "fp32"), (False, 128, "bf16"), (True, 200, "fp16")
    whole = which in ("LSTM", "GRU")  # the others differ by a function or two
    for everything, hidden, dtype in sizes if which == "LSTM" else sizes[:1]:
        itemsize = 4 if dtype == "fp32" else 2
        cut = plans.plan(which, 32, hidden, itemsize)
        compile_recurrence(which, hidden, dtype, everything, cut)
    if not whole:
        return
    read_again = plans.Plan(32, 32, 64, 8, stationary=False)
    compile_recurrence(which, 1150, "bf16", which == "GRU", read_again)


if __name__ == "__main__":
    main(sys.argv[1])
