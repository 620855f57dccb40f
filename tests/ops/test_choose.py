"""Which backend a problem goes to: the table in the code, and the same in the documentation."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import torchmomentum.nn as tnn
from torchmomentum.ops import (
    BACKENDS,
    CHOICES,
    Modifiers,
    Moments,
    Problem,
    available,
    choose,
    run,
    scan,
)
from torchmomentum.ops import _choose as choosing
from torchmomentum.ops.backends import aten, cpu, eager, triton
from torchmomentum.ops.cells import find
from torchmomentum.ops.cpu import isa

T, B, N, H = 5, 3, 4, 6
compiled = pytest.mark.skipif(not available(), reason="no C++ compiler here")
KEYS = ("LSTM", "GRU", "RNN_TANH", "RNN_RELU")


def _layer(key="LSTM", dtype=torch.float32, **changes):
    cell = find(key)
    rows = cell.gates * H
    shapes = {"weight_hh": (rows, H), "weight_ih": (rows, N), "bias_ih": rows, "bias_hh": rows}
    weights = {name: torch.randn(shape, dtype=dtype) for name, shape in shapes.items()}
    state = tuple(torch.randn(B, H, dtype=dtype) for _ in cell.states)
    return Problem(cell, torch.randn(T, B, N, dtype=dtype), state, **weights)._replace(**changes)


def _moments(rows):
    return Moments(torch.zeros(B, rows), torch.ones(B, rows), 0.6, 1.0, 0.9, 1e-8)


@pytest.fixture
def kernels(monkeypatch):
    """Makes the CPU kernels those of an instruction set, in two threads or another number."""

    def make(name, threads=2):
        monkeypatch.setattr(choosing, "instruction_set", lambda: name)
        monkeypatch.setattr(choosing, "in_one_thread", lambda: threads == 1)

    return make


@pytest.mark.skipif(not aten._HAS_ONEDNN, reason="this PyTorch has no oneDNN")
def test_onednn_runs_what_pytorch_would_run_on_it(monkeypatch):
    layer, empty = _layer(), _layer()._replace(x=torch.zeros(T, 0, N))
    assert aten._on_onednn(layer)
    assert not aten._on_onednn(empty)
    monkeypatch.setattr(type(torch.backends.mkldnn), "enabled", False)
    assert not aten._on_onednn(layer)


def test_cudnns_persistent_kernels_take_padded_input_without_projection():
    """What PyTorch asks of them; no GPU is needed to ask."""
    cuda = SimpleNamespace(shape=(5, 3, 4), dtype=torch.float16, device=torch.device("cuda"))
    layer = _layer()._replace(x=cuda, state=(torch.zeros(3, 128), torch.zeros(3, 128)))
    assert aten.pads(layer)
    assert not aten.pads(layer._replace(extra={"weight_hr": torch.zeros(2, 128)}))
    assert not aten.pads(layer._replace(state=(torch.zeros(3, 100), torch.zeros(3, 100))))


@pytest.mark.parametrize("biases", [True, False])
def test_cudnn_finds_its_weights_in_one_chunk_matrices_first(biases):
    hr = torch.randn(2, H)
    layer = _layer(extra={"weight_hr": hr})
    if not biases:
        layer = layer._replace(bias_ih=None, bias_hh=None)
    found = aten._in_one_chunk(layer)
    zeros = torch.zeros(4 * H)
    given = [layer.bias_ih, layer.bias_hh] if biases else [zeros, zeros]
    expected = [layer.weight_ih, layer.weight_hh, *given, hr]
    for part, weight in zip(found, expected, strict=True):
        assert torch.equal(part, weight)
        assert part.untyped_storage().data_ptr() == found[0].data_ptr()
    places = [found[i].storage_offset() for i in (0, 1, 4, 2, 3)]
    assert places == sorted(places)


def _on_cuda(dtype, units, time=64, **others):
    """What the table needs to know of a layer on a GPU that is not here."""
    x = SimpleNamespace(shape=(time, B, N), dtype=dtype, device=torch.device("cuda"), is_cuda=True)
    return _layer()._replace(x=x, state=(torch.zeros(B, units),) * 2, **others)


def test_an_lstm_trains_on_triton_where_that_is_faster(monkeypatch):
    monkeypatch.setitem(choosing.BACKENDS, "triton", triton.TRITON._replace(refusal=lambda p: ""))
    found = {
        dtype: [
            u
            for u in (32, 64, 128, 129, 256, 400, 512, 513, 768, 769)
            if choose(_on_cuda(dtype, u)).name == "triton"
        ]
        for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64)
    }
    assert found == {
        torch.float32: [129, 256, 400, 512],
        torch.float16: [129, 400],
        torch.bfloat16: [64, 128, 129, 256, 400, 512, 513, 768],
        torch.float64: [],
    }
    kept = [
        _on_cuda(torch.float32, 400, time=63),
        _on_cuda(torch.float32, 400, lengths=torch.tensor([5, 2, 1]), batch_sizes=torch.ones(5)),
        _on_cuda(torch.float32, 400)._replace(cell=find("GRU")),
    ]
    assert [choose(problem).name for problem in kept] == ["aten"] * len(kept)
    with torch.no_grad():
        assert choose(_on_cuda(torch.float32, 400)).name == "aten"


@compiled
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("name", ["v3", "v4", "v4-bf16"])
def test_a_processor_with_avx2_takes_the_compiled_kernels(key, name, kernels):
    kernels(name)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        assert choose(_layer(key, dtype)).name == "cpu"
    assert choose(_layer(key, torch.float64)).name == "aten"


def _wide(units, key="LSTM"):
    layer = _layer(key)
    return layer._replace(state=(torch.zeros(B, units),) * len(layer.state))


def _packed(problem):
    lengths, sizes = torch.tensor([5, 2, 1]), torch.tensor([3, 2, 1, 1, 1])
    return problem._replace(lengths=lengths, batch_sizes=sizes)


@compiled
@pytest.mark.parametrize(
    ("name", "threads", "expected"),
    [
        ("v3", 1, []),
        ("v3", 2, []),
        ("v4", 2, [129, 1023]),
        ("v4", 1, [8, 128, 129, 1023, 1024]),
        ("v4-bf16", 2, [129, 1023]),
    ],
)
def test_onednn_evaluates_an_lstm_with_avx512(kernels, name, threads, expected):
    kernels(name, threads)
    sizes = (8, 128, 129, 1023, 1024)
    assert {choose(_wide(h)).name for h in sizes} == {"cpu"}
    layer = _wide(129)
    with torch.no_grad():
        assert [h for h in sizes if choose(_wide(h)).name == "aten"] == expected
        kept = [
            layer._replace(x=torch.zeros(1, B, N)),
            layer._replace(lengths=torch.tensor([5, 2, 1])),
            layer.to(torch.float16),
            _wide(129, "GRU"),
            layer._replace(x=torch.zeros(T, B, 4 * H), weight_ih=None, bias_ih=None),
        ]
        assert [choose(problem).name for problem in kept] == ["cpu"] * len(kept)


@compiled
@pytest.mark.parametrize(
    ("name", "threads", "training", "evaluation"),
    [
        ("v4-bf16", 1, "aten", "aten"),
        ("v4-bf16", 2, "cpu", "aten"),
        ("v4", 1, "cpu", "cpu"),
        ("v3", 1, "cpu", "cpu"),
    ],
)
def test_onednn_has_an_lstm_in_bfloat16(kernels, name, threads, training, evaluation):
    kernels(name, threads)
    layer = _layer("LSTM", torch.bfloat16)
    kept = [
        _layer("GRU", torch.bfloat16),
        layer._replace(x=layer.x[:1]),
        layer._replace(lengths=torch.tensor([5, 2, 1])),
        _layer("LSTM", torch.float16),
    ]
    assert choose(layer).name == training
    assert {choose(problem).name for problem in kept} == {"cpu"}
    with torch.no_grad():
        assert choose(layer).name == evaluation
        assert {choose(problem).name for problem in kept} == {"cpu"}


@compiled
@pytest.mark.parametrize("key", KEYS)
def test_pytorch_evaluates_many_units(key, kernels):
    """In one product for all of a packed sequence's input, and of an RNN without AVX-512."""
    for name, threads, units, packed, expected in [
        ("v4", 1, 257, True, "aten"),
        ("v4", 1, 256, True, "cpu"),
        ("v4", 2, 257, True, "cpu"),
        ("v3", 1, 257, True, "aten"),
        ("v3", 2, 257, False, "aten" if "RNN" in key else "cpu"),
        ("v3", 2, 256, False, "cpu"),
    ]:
        kernels(name, threads)
        problem = _packed(_wide(units, key)) if packed else _wide(units, key)
        assert choose(problem).name == "cpu"  # in training
        with torch.no_grad():
            assert choose(problem).name == expected, (name, threads, units, packed)


@compiled
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("name", ["v2", "neon", "generic"])
def test_a_processor_without_takes_pytorchs_where_ours_are_slower(key, name, kernels):
    kernels(name)
    layer, rows = _layer(key), find(key).gates * H
    assert choose(layer).name == ("aten" if key == "LSTM" else "cpu")  # it is small
    wide = layer._replace(state=(torch.zeros(B, 65), *layer.state[1:]))
    assert choose(wide).name == "aten"
    with torch.no_grad():
        assert choose(layer).name == "aten"
    kept = [
        _layer(key, torch.bfloat16),
        layer._replace(lengths=torch.tensor([5, 2, 1])),
        layer._replace(moments=_moments(rows)),
        layer._replace(modifiers=Modifiers(rate_h=0.1)),
        layer._replace(x=torch.randn(T, B, rows), weight_ih=None, bias_ih=None),
    ]
    assert [choose(problem).name for problem in kept] == ["cpu"] * len(kept)
    assert choose(_packed(layer)).name == "cpu"
    assert choose(_packed(wide)).name == "aten"
    with torch.no_grad():
        assert choose(_packed(layer)).name == "aten"
        assert choose(_packed(layer)._replace(batch_sizes=None)).name == "cpu"


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (_layer("RNN_MODRELU", torch.float64, extra={"bias_modrelu": torch.ones(H)}), "definition"),
        (_layer(dtype=torch.float64, modifiers=Modifiers(rate_h=0.1)), "definition"),
        (_layer(dtype=torch.float64, lengths=torch.tensor([5, 2, 1])), "eager"),
        (_layer(dtype=torch.float64, bias_ih=None), "eager"),
        (_layer(dtype=torch.float64, moments=_moments(4 * H)), "eager"),
    ],
    ids=["modReLU", "modifiers", "lengths", "one bias", "Adam"],
)
def test_what_no_kernel_serves(problem, expected):
    assert choose(problem).name == expected


def test_without_compiled_kernels(monkeypatch):
    monkeypatch.setattr(cpu, "available", lambda: False)
    assert choose(_layer()).name == "aten"
    assert choose(_layer(lengths=torch.tensor([5, 2, 1]))).name == "eager"
    assert choose(_layer(modifiers=Modifiers(rate_h=0.1))).name == "definition"
    assert choose(_packed(_layer())).name == "aten"


def _ran(monkeypatch):
    """Records which backends run."""
    seen = []
    for name, backend in BACKENDS.items():

        def observed(problem, name=name, backend=backend):
            seen.append((name, problem.x.dtype))
            return backend.run(problem)

        monkeypatch.setitem(BACKENDS, name, backend._replace(run=observed))
    return seen


@compiled
def test_layers_run_on_what_is_chosen(monkeypatch, kernels):
    kernels("v3")
    seen = _ran(monkeypatch)
    x = torch.randn(T, B, N)
    for layer in (tnn.LSTM(N, H), tnn.MomentumLSTM(N, H), tnn.AdamLSTM(N, H)):
        layer(x)
    assert [name for name, _ in seen] == ["cpu"] * 3
    seen.clear()
    kernels("v2")
    for layer in (tnn.LSTM(N, H), tnn.MomentumLSTM(N, H), tnn.AdamLSTM(N, H)):
        layer(x)
    assert [name for name, _ in seen] == ["aten", "aten", "cpu"]


@compiled
def test_a_call_does_not_ask_for_the_processor_again(monkeypatch):
    """Reading what it has takes as long as a small layer."""
    layer, x = tnn.LSTM(N, H), torch.randn(T, B, N)
    layer(x)
    monkeypatch.setattr(isa, "_features", lambda: pytest.fail("asked"))
    with torch.no_grad():
        layer(x)
    layer(x)


def test_autocast_chooses_the_type_once(monkeypatch):
    seen = _ran(monkeypatch)
    with torch.autocast("cpu", torch.bfloat16):
        out = run(_layer())[0]
        run(_layer(dtype=torch.float64))
    assert [dtype for _, dtype in seen] == [torch.bfloat16, torch.float64]
    assert out.dtype == torch.bfloat16


@pytest.mark.parametrize("backend", ["loop", "definition", "eager"])
def test_half_is_computed_in_float32(backend, monkeypatch):
    """Every step's state, not only the result: what is rounded at each step differs."""
    cell, seen = find("RNN_TANH"), []
    step, forward = cell.step, cell.gradient.forward

    def observed(pre, *rest):
        seen.append(pre.dtype)
        return step(pre, *rest)

    def written(pre, *rest):
        seen.append(pre.dtype)
        return forward(pre, *rest)

    monkeypatch.setitem(cell.__dict__, "step", observed)
    monkeypatch.setitem(cell.__dict__, "gradient", cell.gradient._replace(forward=written))
    pre, h = torch.randn(T, B, H).bfloat16(), torch.randn(B, H).bfloat16()
    weights = [torch.randn(H, H).bfloat16(), None]
    out, _ = scan(cell, pre, (h,), weights, backend=backend)
    assert out.dtype == torch.bfloat16
    assert set(seen) == {torch.float32}


def test_in_graphs_pytorchs_functions_are_left_alone():
    seen = []

    def function(problem):
        seen.append(choose(problem).name)
        return problem.x

    layer = _layer("GRU", torch.float64)
    with torch.autograd.forward_ad.dual_level():
        function(layer)
    function(layer)
    torch.func.vmap(lambda x: function(layer._replace(x=x)))(torch.stack([layer.x] * 2))
    assert seen == ["eager", "aten", "eager"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("learned", [False, True])
def test_shapes_alone_on_the_meta_device(key, learned):
    layer, rows = _layer(key), find(key).gates * H
    tensors = {name: x.to("meta") for name, x in layer._asdict().items() if torch.is_tensor(x)}
    state = tuple(s.to("meta") for s in layer.state)
    mu = torch.tensor(0.6, device="meta") if learned else 0.6
    zero = torch.zeros(B, rows, device="meta")
    layer = layer._replace(**tensors, state=state)
    for problem in (layer, layer._replace(moments=Moments(zero, zero, mu, 1.0, 0.9, 1e-8))):
        out, *last = run(problem)
        assert out.is_meta
        assert out.shape == (T, B, H)
        assert [x.shape for x in last[: len(state)]] == [(B, H)] * len(state)
        assert [x.shape for x in last[len(state) :]] == [(B, rows)] * (len(last) - len(state))


def test_the_table_of_the_documentation_is_this_one():
    page = Path(__file__).parents[2] / "docs" / "kernels.md"
    rows = [line for line in page.read_text().splitlines() if line.startswith("| `")]
    expected = [
        f"| `{c.backend}` | {c.condition} | {BACKENDS[c.backend].serves_what} |" for c in CHOICES
    ]
    assert rows[: len(expected)] == expected


def test_every_backend_says_why_not():
    problem = _layer("RNN_MODRELU", torch.float64, extra={"bias_modrelu": torch.ones(H)})
    for name, why in (
        ("aten", "PyTorch has no such cell"),
        ("cpu", "of another type or device"),
        ("eager", "no gradient written out"),
        ("triton", "of another type, or empty"),
    ):
        with pytest.raises(ValueError, match=f"backend '{name}' serves .*RNN_MODRELU.*: .*{why}"):
            run(problem, name)
    assert aten.ATEN.serves(_layer())
    assert eager.EAGER.serves(_layer())
