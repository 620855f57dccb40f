"""What works where: runs each feature with torch.nn's LSTM or SGD, and with ours.

Needs the packages of ``make third-party``, whose Python runs it. It writes the table into
docs/features.md.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import os
import pickle
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import torchmomentum as tm

PAGE = Path(__file__).parents[1] / "docs" / "features.md"
_X = (5, 2, 3)


class NotAFeature(Exception):
    """It ran, and did something else; says what."""


def _layer(ours: bool, **options: Any) -> Any:
    torch.manual_seed(0)
    return tm.nn.AdamLSTM(3, 4, **options) if ours else nn.LSTM(3, 4, **options)


def _optimizer(ours: bool, params: Any) -> Any:
    if ours:
        return tm.optim.SRSGD(params, lr=0.1, restart_every=5)
    return torch.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True)


def _close(a: Any, b: Any, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def truncated_backpropagation(ours: bool) -> None:
    """Chunks equal the whole, `(h, c)` passed on."""
    layer, x, state, parts = _layer(ours), torch.randn(9, 2, 3), None, []
    for piece in x.split(2):
        out, state = layer(piece, state)
        state = tuple(s.detach() for s in state)
        parts.append(out)
    _close(torch.cat(parts), layer(x)[0])


def copies(ours: bool) -> None:
    """`deepcopy`, `pickle`, `torch.save`."""
    layer, x = _layer(ours), torch.randn(_X)
    for made in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        _close(made(x)[0], layer(x)[0])


def compiled(ours: bool) -> None:
    """`torch.compile(fullgraph=True)`, one graph for all lengths."""
    graphs: list[Any] = []

    def backend(module: Any, _: Any) -> Any:
        graphs.append(module)
        return module.forward

    torch.compiler.reset()
    layer = _layer(ours)
    made = torch.compile(layer, fullgraph=True, dynamic=True, backend=backend)
    for time in (5, 9, 13):
        x = torch.randn(time, 2, 3)
        _close(made(x)[0], layer(x)[0])
    if len(graphs) != 1:
        raise NotAFeature(f"{len(graphs)} graphs")


def _exported(layer: Any) -> Any:
    dims = {0: torch.export.Dim("time"), 1: torch.export.Dim("batch")}
    return torch.export.export(layer, (torch.randn(_X),), dynamic_shapes=(dims,))


def exported(ours: bool) -> None:
    """`torch.export`, any batch and time."""
    layer, x = _layer(ours), torch.randn(40, 3, 3)
    _close(_exported(layer).module()(x)[0], layer(x)[0])


def aot_inductor(ours: bool) -> None:
    """AOTInductor, any batch and time."""
    layer, x = _layer(ours).eval(), torch.randn(40, 3, 3)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = torch._inductor.aoti_compile_and_package(
            _exported(layer), package_path=f"{folder}/layer.pt2"
        )
        _close(torch._inductor.aoti_load_package(path)(x)[0], layer(x)[0])


def sharded(ours: bool) -> None:
    """`fully_shard` (FSDP2), learned rules too."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    with tempfile.TemporaryDirectory() as folder:
        store = f"file://{folder}/store"
        torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
        try:
            layer: Any = _layer(ours)
            if ours:
                layer.momentum = tm.nn.Adam(0.6, 1.0, 0.9, learnable=True)
            alone, x = copy.deepcopy(layer), torch.randn(_X)
            fully_shard(layer, mesh=init_device_mesh("cpu", (1,)))
            out = layer(x)[0]
            out.sum().backward()
            _close(out, alone(x)[0])
        finally:
            torch.distributed.destroy_process_group()


def sharded_optimizer(ours: bool) -> None:
    """`ZeroRedundancyOptimizer`, with a schedule."""
    from torch.distributed.optim import ZeroRedundancyOptimizer

    parameter = nn.Parameter(torch.ones(2))
    with tempfile.TemporaryDirectory() as folder:
        store = f"file://{folder}/store"
        torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
        try:
            kind: Any = tm.optim.SRSGD if ours else torch.optim.SGD
            optimizer = ZeroRedundancyOptimizer([parameter], kind, lr=0.1)
            schedule: Any = torch.optim.lr_scheduler.StepLR(optimizer, 2)
            if ours:
                schedule = tm.optim.RestartScheduler(optimizer, [1], [5, 10])
            parameter.grad = torch.ones(2)
            optimizer.step()
            schedule.step()
        finally:
            torch.distributed.destroy_process_group()


def onnx(ours: bool) -> None:
    """ONNX (`dynamo=True`), any batch and time."""
    import onnxruntime

    layer, dims = _layer(ours).eval(), {0: torch.export.Dim("t"), 1: torch.export.Dim("b")}
    program = torch.onnx.export(
        layer, (torch.randn(_X),), dynamo=True, dynamic_shapes=(dims,), verbose=False
    )
    with tempfile.TemporaryDirectory() as folder:
        program.save(f"{folder}/layer.onnx")
        session = onnxruntime.InferenceSession(f"{folder}/layer.onnx")
        x = torch.randn(9, 4, 3)
        found = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    _close(torch.from_numpy(found[0]), layer(x)[0].detach())


def traced(ours: bool) -> None:
    """`torch.jit.trace`, with gradients."""
    layer, x = _layer(ours), torch.randn(7, 2, 3)
    made = torch.jit.trace(layer, (torch.randn(_X),))
    made(x)[0].sum().backward()
    _close(made(x)[0], layer(x)[0])


def scripted(ours: bool) -> None:
    """`torch.jit.script`."""
    torch.jit.script(_layer(ours))


def nested(ours: bool) -> None:
    """Nested tensors (`torch.jagged`)."""
    layer = _layer(ours, batch_first=True)
    sequences = [torch.randn(4, 3), torch.randn(2, 3)]
    out, _ = layer(torch.nested.nested_tensor(sequences, layout=torch.jagged))
    for found, x in zip(out.unbind(), sequences, strict=True):
        _close(found, layer(x)[0])


def packed(ours: bool) -> None:
    """Packed sequences."""
    layer, x = _layer(ours), torch.randn(_X)
    given = nn.utils.rnn.pack_padded_sequence(x, [5, 3])
    out, _ = nn.utils.rnn.pad_packed_sequence(layer(given)[0])
    _close(out[:3, 1], layer(x[:3, 1:])[0][:, 0])


def meta(ours: bool) -> None:
    """Forward on the meta device."""
    layer = _layer(ours).to("meta")
    if layer(torch.empty(_X, device="meta"))[0].shape != (5, 2, 4):
        raise NotAFeature("wrong shape")


def per_sample(ours: bool) -> None:
    """per-sample gradients (`vmap(grad)`)."""
    layer = _layer(ours)
    values = {name: p.detach() for name, p in layer.named_parameters()}

    def loss(values: Any, x: Any) -> Any:
        return torch.func.functional_call(layer, values, (x[:, None],))[0].square().sum()

    samples = torch.randn(6, 5, 3)
    found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(values, samples)
    _close(found["weight_ih_l0"][2], torch.func.grad(loss)(values, samples[2])["weight_ih_l0"])


def second_derivatives(ours: bool) -> None:
    """Second derivatives."""
    layer, x = _layer(ours), torch.randn(_X, requires_grad=True)
    (grad,) = torch.autograd.grad(layer(x)[0].square().sum(), x, create_graph=True)
    torch.autograd.grad(grad.square().sum(), x)


def gradients_in_batches(ours: bool) -> None:
    """Gradients in batches (`is_grads_batched`, vectorized Jacobians)."""
    layer, x = _layer(ours), torch.randn(_X, requires_grad=True)
    out = layer(x)[0]
    torch.autograd.grad(out, x, torch.ones(3, *out.shape), is_grads_batched=True)


def forward_mode(ours: bool) -> None:
    """forward-mode derivatives (`jvp`)."""
    layer, x = _layer(ours), torch.randn(_X)
    torch.func.jvp(lambda x: layer(x)[0], (x,), (torch.ones_like(x),))


def opacus(ours: bool) -> None:
    """Opacus, as it is."""
    from opacus import GradSampleModule

    model = GradSampleModule(_layer(ours, batch_first=True))
    model(torch.randn(2, 5, 3))[0].sum().backward()


def quantized(ours: bool) -> None:
    """Dynamic quantization."""
    model = torch.ao.quantization.quantize_dynamic(
        nn.Sequential(_layer(ours)), {nn.LSTM, tm.nn.AdamLSTM}, dtype=torch.qint8
    )
    if isinstance(model[0], (nn.LSTM, tm.nn.LSTM)):
        raise NotAFeature("stays in floating point, and says so")


def scheduled(ours: bool) -> None:
    """PyTorch's schedulers, `SequentialLR` too."""
    parameter = nn.Parameter(torch.ones(1))
    optimizer = _optimizer(ours, [parameter])
    first: Any = torch.optim.lr_scheduler.LinearLR(optimizer, 0.5, total_iters=2)
    second: Any = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    if ours:
        second = tm.optim.RestartScheduler(optimizer, [2], [5, 10])
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [first, second], [2])
    for _ in range(5):
        parameter.grad = torch.ones(1)
        optimizer.step()
        schedule.step()


def compiled_step(ours: bool) -> None:
    """`torch.compile(optimizer.step)`, no recompilation as it goes on."""
    parameter = nn.Parameter(torch.ones(3))
    optimizer = _optimizer(ours, [parameter])
    graphs: list[Any] = []

    def backend(module: Any, _: Any) -> Any:
        graphs.append(module)
        return module.forward

    torch.compiler.reset()
    step = torch.compile(optimizer.step, backend=backend)
    for _ in range(8):
        parameter.grad = torch.ones(3)
        step()
    if len(graphs) > 2:
        raise NotAFeature(f"{len(graphs)} graphs")


def lightning(ours: bool) -> None:
    """Lightning."""
    from lightning import LightningModule, Trainer

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = _layer(ours)

        def training_step(self, batch: Any, _: Any) -> Any:
            return self.rnn(batch)[0].square().mean()

        def configure_optimizers(self) -> Any:
            optimizer = _optimizer(ours, self.parameters())
            schedule: Any = torch.optim.lr_scheduler.StepLR(optimizer, 2)
            if ours:
                schedule = tm.optim.RestartScheduler(optimizer, [1], [5, 10])
            return [optimizer], [schedule]

    options = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(max_epochs=1, accelerator="cpu", enable_checkpointing=False, **options)
    trainer.fit(Module(), torch.utils.data.DataLoader(torch.randn(4, 5, 3), 2))


def accelerate(ours: bool) -> None:
    """Accelerate."""
    from accelerate import Accelerator

    layer = _layer(ours)
    layer, optimizer = Accelerator(cpu=True).prepare(layer, _optimizer(ours, layer.parameters()))
    layer(torch.randn(_X))[0].sum().backward()
    optimizer.step()


FEATURES: dict[str, list[Callable[[bool], None]]] = {
    "`nn.LSTM` | `AdamLSTM`": [
        *(truncated_backpropagation, copies, packed, nested, meta),
        *(compiled, exported, aot_inductor, onnx, traced, scripted, sharded),
        *(per_sample, second_derivatives, gradients_in_batches, forward_mode, opacus, quantized),
    ],
    "`optim.SGD` | `SRSGD`": [scheduled, sharded_optimizer, compiled_step, lightning, accelerate],
}


def works(feature: Callable[[bool], None], ours: bool) -> str:
    """Whether a feature works: "yes", or "no" and what its error is called."""
    torch.manual_seed(0)
    hidden = io.StringIO()
    try:
        with contextlib.redirect_stdout(hidden), contextlib.redirect_stderr(hidden):
            feature(ours)
    except NotAFeature as error:
        return f"no: {error}"
    except Exception as error:  # noqa: BLE001 - whatever a program raises is its answer
        return f"no: {type(error).__name__}"
    return "yes"


def rows(names: str) -> list[str]:
    """The rows of one pair, each feature tried with both."""
    return [
        f"| {str(feature.__doc__).rstrip('.')} | {works(feature, False)} | {works(feature, True)} |"
        for feature in FEATURES[names]
    ]


def table() -> str:
    """The tables between their marks."""
    lines = ["<!-- features:begin -->", "`python -m tools.features`", ""]
    for names in FEATURES:
        lines += [f"| feature | {names} |", "| --- | --- | --- |", *rows(names), ""]
    lines += [
        f"torch {torch.__version__}, torchmomentum {tm.__version__}.",
        "<!-- features:end -->",
    ]
    return "\n".join(lines)


def main() -> None:
    """Writes the table into its page."""
    warnings.simplefilter("ignore")  # of all that is tried
    logging.disable(logging.CRITICAL)
    os.environ["TORCH_LOGS"] = ""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition("<!-- features:begin -->")
    after = rest.partition("<!-- features:end -->")[2]
    PAGE.write_text(before + table() + after, encoding="utf-8")


if __name__ == "__main__":
    main()
