"""What the tests of the compiled kernels share: arguments, and the definition in float64 beside."""

import torch

from torchmomentum.ops import (
    PLAIN,
    Modifiers,
    Moments,
    Problem,
    adam_scan_definition,
    run,
    scan_definition,
)
from torchmomentum.ops.cells import find
from torchmomentum.ops.cpu.layer import KERNELS

MODES = list(KERNELS)
SHAPES = {  # T, B, I, H
    "one of everything": (1, 1, 1, 1),
    "one row": (7, 1, 3, 33),
    "one step": (1, 9, 5, 16),
    "odd": (11, 13, 17, 37),
    # enough to do for several threads, which share out rows or units
    "rows for each thread": (6, 41, 2, 130),
    "units for each thread": (3, 5, 270, 260),
}


def draw(*shape):
    return torch.randn(*shape, requires_grad=True)


def arguments(mode, shape, *, bias=True, learned=False, moments=False):
    time, batch, inputs, hidden = shape
    rows = find(mode).gates * hidden
    tensors = {"x": draw(time, batch, inputs), "h": draw(batch, hidden)}
    if mode == "LSTM":
        tensors["c"] = draw(batch, hidden)
    tensors["weight_ih"], tensors["weight_hh"] = draw(rows, inputs), draw(rows, hidden)
    with torch.no_grad():
        tensors["weight_ih"] /= inputs**0.5
        tensors["weight_hh"] /= 2 * hidden**0.5
    if bias:
        tensors |= {"bias_ih": draw(rows), "bias_hh": draw(rows)}
    if mode == "RNN_MODRELU":
        tensors["bias_modrelu"] = draw(hidden)
    if moments:
        rms = torch.rand(batch, rows) + 0.1
        tensors |= {"velocity": draw(batch, rows), "rms": rms.requires_grad_()}
    if learned:
        tensors["mu"] = torch.tensor(0.6, requires_grad=True)
        tensors["gain"] = torch.tensor(0.9, requires_grad=True)
    return tensors


def split_tensors(tensors):
    state = tuple(tensors[name] for name in ("h", "c") if name in tensors)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "bias_modrelu")
    return state, [tensors.get(name) for name in names]


def some(*shape):
    return torch.rand(*shape) < 0.4


MODIFIED = {
    "lookahead": lambda t, b, h: {"steps": torch.arange(b) % 3, "restart": 4},
    "lookahead for good": lambda t, b, h: {"steps": torch.arange(b) % 3},
    "dropout": lambda t, b, h: {"keep_mask": some(b, h), "keep_scale": 1.7},
    "zoneout": lambda t, b, h: {"zoneout_h": some(t, b, h), "zoneout_c": some(t, b, h)},
    "zoneout's mean": lambda t, b, h: {"rate_h": 0.3, "rate_c": 0.2},
    "all": lambda t, b, h: {
        "steps": torch.arange(b) % 5,
        "restart": 3,
        "keep_mask": some(b, h),
        "keep_scale": 1.7,
        "zoneout_h": some(t, b, h),
        "rate_c": 0.2,
    },
}


def modifiers_of(tensors, modified):
    return Modifiers(**modified, previous=tensors.get("previous"))


def compiled(mode, tensors, lengths, modified=()):
    moments = None
    if "velocity" in tensors:
        rule = tensors.get("mu", 0.6), tensors.get("gain", 0.9), 0.8, 1e-3
        moments = Moments(tensors["velocity"], tensors["rms"], *rule)
    modifiers = modifiers_of(tensors, dict(modified))
    return run(problem_of(mode, tensors, lengths, modifiers, moments), "cpu")


def problem_of(mode, tensors, lengths=None, modifiers=PLAIN, moments=None):
    state, (weight_ih, weight_hh, bias_ih, bias_hh, bias_modrelu) = split_tensors(tensors)
    extra = {} if bias_modrelu is None else {"bias_modrelu": bias_modrelu}
    rest = (weight_ih, bias_ih, bias_hh, extra, lengths, modifiers, moments)
    return Problem(find(mode), tensors["x"], state, weight_hh, *rest)


def defined(mode, tensors, lengths, modified=()):
    state, (weight_ih, weight_hh, bias_ih, bias_hh, bias_modrelu) = split_tensors(tensors)
    x = tensors["x"]
    mask = None
    if lengths is not None:
        mask = (torch.arange(len(x)).unsqueeze(1) < lengths).unsqueeze(-1)
    pre, moments = torch.nn.functional.linear(x, weight_ih, bias_ih), ()
    if "velocity" in tensors:
        mu, gain = (
            tensors.get(name, torch.tensor(value, dtype=x.dtype))
            for name, value in (("mu", 0.6), ("gain", 0.9))
        )
        pre, *moments = adam_scan_definition(
            pre, tensors["velocity"], tensors["rms"], mu, gain, mask, 0.8, 1e-3
        )
    recurrent = [weight_hh, bias_hh, *([bias_modrelu] if mode == "RNN_MODRELU" else [])]
    modifiers = modifiers_of(tensors, dict(modified))
    return *scan_definition(mode, pre, state, recurrent, mask, modifiers), *moments


def check_kernel(mode, tensors, lengths=None, modified=()):
    exact = {k: x.detach().double().requires_grad_() for k, x in tensors.items()}
    found = compiled(mode, tensors, lengths, modified)
    expected = defined(mode, exact, lengths, modified)
    tolerance = {"rtol": 1e-4, "atol": 2e-5, "check_dtype": False}
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, **tolerance)
    weights = [torch.randn_like(b) for b in expected]
    grads = (
        torch.autograd.grad(out, list(given.values()), [w.to(out[0].dtype) for w in weights])
        for out, given in ((found, tensors), (expected, exact))
    )
    for name, a, b in zip(tensors, *grads, strict=True):
        scale = max(1.0, b.abs().max().item())
        torch.testing.assert_close(
            a / scale, b / scale, **tolerance, msg=lambda text, name=name: f"{name}: {text}"
        )
