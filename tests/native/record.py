"""Records calls of the CPU kernels for replay.cpp: ``python -m tests.native.record FILE``.

Every kernel but the optimizer's, and no normalization: their tables hold addresses. Packed weights
depend on the width of a vector: what another processor replays must be recorded with vectors of its
width, by ``TORCHMOMENTUM_CPU_ISA``.
"""

import struct
import sys
from contextlib import contextmanager

import torch

import torchmomentum.nn as tnn
from torchmomentum.ops import linear_scan
from torchmomentum.ops.cpu import library

_KINDS = {torch.float32: b"f", torch.float64: b"g"}


def _bytes(tensor):
    """All from a tensor's first element to its last, whatever its strides."""
    if tensor.numel() == 0:
        return b""
    last = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.detach().as_strided((last + 1,), (1,)).view(torch.uint8).numpy().tobytes()


@contextmanager
def recorded(calls):
    """In it every call's name and arguments are gathered, as bytes."""
    original = library.call

    def call(name, *arguments):
        before = [_bytes(x) if isinstance(x, torch.Tensor) else x for x in arguments]
        found = original(name, *arguments)
        parts = [struct.pack("<q", len(name)), name.encode(), struct.pack("<q", len(arguments))]
        places = [x.data_ptr() if isinstance(x, torch.Tensor) else None for x in arguments]
        for number, (x, was) in enumerate(zip(arguments, before, strict=True)):
            same = places.index(places[number])
            if isinstance(x, torch.Tensor) and x.numel() and same < number:
                parts.append(struct.pack("<cq", b"s", same))
            elif isinstance(x, torch.Tensor):
                now = _bytes(x)
                parts += [_KINDS.get(x.dtype, b"b"), struct.pack("<q", len(now)), was, now]
            elif isinstance(x, float):
                parts.append(struct.pack("<cd", b"d", x))
            else:
                parts.append(struct.pack("<cq", b"i", int(x or 0)))
        if name != "optimizer_step":
            calls.append(b"".join(parts))
        return found

    patched = [m for m in list(sys.modules.values()) if getattr(m, "call", None) is original]
    for module in patched:
        module.call = call
    try:
        yield
    finally:
        for module in patched:
            module.call = original


def _train(layer, x, **options):
    out = layer(x, **options)[0]
    (out * torch.randn_like(out)).sum().backward()


def run():
    """What is recorded: every cell and rule, modifiers, lengths, odd sizes, bfloat16, filters."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    lengths = torch.tensor([5, 2, 4, 1, 5, 3, 5])
    for cell in (tnn.LSTM, tnn.GRU, tnn.RNN):
        for hidden in (3, 16, 21):
            for rule in (None, tnn.Momentum(0.6, 0.9), tnn.Adam(), tnn.RMSProp()):
                x = torch.randn(5, 7, 4, requires_grad=True)
                _train(cell(4, hidden, momentum=rule), x)
                _train(cell(4, hidden, momentum=rule), x, lengths=lengths)
            _train(cell(4, hidden, momentum=tnn.Momentum(0.6, 0.9)), x.detach())
            _train(cell(4, hidden, recurrent_dropout=0.3, zoneout=0.2), x, lengths=lengths)
            _train(cell(4, hidden, momentum=tnn.NesterovLookahead(1.0, restart=3)), x)
            half = x.detach().bfloat16().requires_grad_()
            _train(cell(4, hidden, dtype=torch.bfloat16), half)
            with torch.no_grad():
                cell(4, hidden)(x)
                for rule in (tnn.Momentum(0.6, 0.9), tnn.Adam()):  # few rows and many
                    cell(4, hidden, momentum=rule)(x[:1, :3])
                    cell(4, hidden, momentum=rule)(x[:2].reshape(1, 14, 4))
    _train(tnn.OrthogonalRNN(4, 9), x)
    for hidden in (3, 16, 21):
        _train(tnn.LRU(4, hidden), x)
        _train(tnn.LRU(4, hidden, momentum=tnn.Momentum(0.6, 0.9)), x.detach())
    for decay in (0.5, torch.rand(5, 1, 1), torch.rand(5, 7, 4)):
        for reverse in (False, True):
            linear_scan(x.detach(), decay, torch.zeros(7, 4), reverse=reverse)


def main(path):
    """Writes the recording."""
    calls = []
    with recorded(calls):
        run()
    with open(path, "wb") as file:
        file.write(struct.pack("<q", len(calls)) + b"".join(calls))
    print(f"{len(calls)} calls of {len({c[8 : 8 + c[0]] for c in calls})} kernels")


if __name__ == "__main__":
    main(sys.argv[1])
