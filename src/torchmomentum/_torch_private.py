"""Every private name of PyTorch's that this package uses, with what breaks without it.

It stands beside ``ops``, not in it, so that ``optim`` does not load the recurrences. Two private
methods of ``nn.Module`` are overridden where a state dict is more than its tensors,
``_load_from_state_dict`` and ``_save_to_state_dict``.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import _default_to_fused_or_foreach, _use_grad_for_differentiable

F = TypeVar("F", bound=Callable[..., Any])


def _operator(name: str) -> Any:
    packet = getattr(torch.ops.aten, name, None)
    return None if packet is None else packet.default


# Without it, kernels that run below an autograd function go through autograd's layer at each of
# their operations: a training step of a small layer takes 1.02 to 1.2 times as long. Since 1.9.
below_autograd: Any = torch._C._AutoDispatchBelowAutograd

# Whether make_fx, FakeTensorMode or another mode looks at each operation. Without it such a graph
# records the operations of a kernel instead of one operator. Since 2.0.
_dispatch_modes: Callable[[], int] = torch._C._len_torch_dispatch_stack

# Public, and documented, but not listed as exported.
is_tracing: Callable[[], bool] = torch.jit.is_tracing  # type: ignore[attr-defined]

# The innermost transform of torch.func, or None. Without it a kernel would be handed tensors that
# have no memory of their own. Since 2.0; torch.func has no public way to ask.
_innermost_transform: Callable[[], Any] = torch._C._functorch.peek_interpreter_stack

# oneDNN's LSTM and its gradient. Without them nn.LSTM's kernel cannot be one node of a graph. Since
# 2.0, where torch is built with oneDNN.
onednn_lstm: Any = _operator("mkldnn_rnn_layer")
onednn_lstm_backward: Any = _operator("mkldnn_rnn_layer_backward")

# The kernel of optim.SGD(fused=True). Without it fused=True steps as foreach does. Since 2.3, and
# since 2.4 on CPUs.
fused_sgd: Callable[..., None] | None = getattr(torch, "_fused_sgd_", None)

# What torch.optim itself steps lists of tensors by. Without them foreach=True has no meaning. Since
# 1.8, and since 1.12 the lists are split by device and type.
foreach_neg = torch._foreach_neg
foreach_add = torch._foreach_add
foreach_add_ = torch._foreach_add_
foreach_mul_ = torch._foreach_mul_
group_by_device_and_dtype = Optimizer._group_tensors_by_device_and_dtype

# Whether torch.optim steps by lists where nothing is asked, and its decorator of step(). Without
# the first a default would differ from optim.SGD's, without the second differentiable=True would
# lose gradients, and torch.compile would break the graph at each step. Since 2.0.
default_to_fused_or_foreach = _default_to_fused_or_foreach
use_grad_for_differentiable = _use_grad_for_differentiable


def as_plain_tensors() -> Any:
    """In it subclasses of tensors count as tensors. Without it one could not follow itself."""
    return torch._C.DisableTorchFunctionSubclass()


def constant_in_graphs(function: F) -> F:
    """Has ``torch.compile`` call a function once and keep its result.

    What ``torch.compiler.assume_constant_result`` does, whose first call imports the compiler and
    takes a second. Without it the questions for compiled kernels break graphs. Since 2.0.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def scan_as_one_node(step: Any, carry: Any, sequences: Any, reverse: bool) -> tuple[Tensor, Any]:
    """A loop along the first dimension that a captured graph holds as one node; a prototype.

    Without it no layer could be exported to ONNX for any number of steps. Since 2.6.

    Returns:
        The outputs and the last carry.
    """
    from torch._higher_order_ops.scan import scan

    # else a loop of other sizes would be taken for an earlier one whose sizes vary
    torch.compiler.reset()
    last, outputs = scan(step, carry, sequences, reverse=reverse)
    return outputs, last


def in_transform() -> bool:
    """Whether a transform of ``torch.func`` is at work."""
    return _innermost_transform() is not None


def transformed() -> bool:
    """Whether a transform of ``torch.func`` or forward-mode differentiation is at work.

    The level of forward mode is private since 1.11; without it a tangent would be lost.
    """
    return _innermost_transform() is not None or torch.autograd.forward_ad._current_level >= 0


def captured() -> bool:
    """Whether operations are being recorded into a graph rather than just run."""
    return torch.compiler.is_compiling() or _dispatch_modes() > 0 or is_tracing()


def may_need_gradients() -> bool:
    """Whether a gradient may be asked for; ``torch.jit.trace`` checks itself without gradients."""
    return torch.is_grad_enabled() or is_tracing()


def plain() -> bool:
    """Whether operations just run: not :func:`captured`, :func:`transformed` or in batches."""
    return not (
        torch.compiler.is_compiling()
        or _dispatch_modes()
        or _innermost_transform() is not None
        or torch.autograd.forward_ad._current_level >= 0
        or is_tracing()
        or in_batches()
    )


def _batches() -> int:
    """How many ``vmap`` older than ``torch.func``'s run; nothing public tells of it. Since 1.8."""
    level = torch._C._vmapmode_increment_nesting()
    torch._C._vmapmode_decrement_nesting()
    return level - 1


def in_batches() -> bool:
    """Whether gradients are computed in batches: ``torch.autograd.grad(is_grads_batched=True)``.

    Without it and :func:`by_members` a kernel would be handed tensors that have no memory of their
    own.
    """
    return _batches() > 0


def by_members(rule: Callable[..., Any], args: Sequence[Any]) -> Any:
    """Takes what :func:`in_batches` batches through a function's rule for ``vmap``.

    Args:
        rule: As ``torch.autograd.Function`` has it; its results are batched in their first
            dimension.
        args: The function's arguments, of which some are batched.

    Returns:
        The function's results, batched.
    """
    level, batched = _batches(), torch._C._functorch.is_legacy_batchedtensor
    # of a tensor that is batched by an outer one alone, one member
    bare = [
        torch._remove_batch_dim(x, level, 1, 0) if isinstance(x, Tensor) and batched(x) else None
        for x in args
    ]
    info = SimpleNamespace(batch_size=max([1, *[len(x) for x in bare if x is not None]]))
    dims = [None if x is None or len(x) < info.batch_size else 0 for x in bare]
    given = [
        x if many is None else many if dim == 0 else many[0]
        for x, many, dim in zip(args, bare, dims, strict=True)
    ]
    torch._C._vmapmode_decrement_nesting()
    try:
        found, _ = rule(info, dims, *given)
    finally:
        torch._C._vmapmode_increment_nesting()
    if isinstance(found, Tensor):
        return torch._add_batch_dim(found, 0, level)
    return tuple([torch._add_batch_dim(x, 0, level) for x in found])


def times_written(tensor: Tensor) -> int:
    """How often a tensor has been written to.

    Without it an orthogonal matrix could not tell that an optimizer has stepped. Since 0.4.
    """
    return tensor._version


def onednn_has_bfloat16() -> bool:
    """Whether oneDNN computes bfloat16 on this processor.

    Without it a layer in bfloat16 fails where the processor cannot. Since 2.0.
    """
    asked = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return asked is not None and bool(asked())


def openmp_functions(names: Sequence[str]) -> list[Any] | None:
    """Functions of the OpenMP library whose threads PyTorch runs on; None where it has them not.

    It lies in PyTorch's wheel, or is loaded already. Without it our kernels run in one thread.
    """
    patterns = ("libgomp*", "libomp*", "libiomp5*")
    folder = Path(torch.__file__).parent / "lib"
    bundled = [(str(path), ctypes.DEFAULT_MODE) for p in patterns for path in folder.glob(p)]
    loaded = getattr(os, "RTLD_NOLOAD", None)
    others = ("libgomp.so.1", "libiomp5.so", "libomp.so.5", "libomp.dylib")
    for name, mode in [*bundled, *((name, loaded) for name in others if loaded is not None)]:
        try:
            library = ctypes.CDLL(name, mode=mode)
            return [library[each] for each in names]
        except (OSError, AttributeError):
            continue
    return None


def adopt_weights(layer: nn.RNNBase, names: list[list[str]]) -> None:
    """Tells ``nn.RNNBase`` what a layer's weights are called, as its constructor does.

    That constructor accepts the cells of ``torch.nn`` alone. Without this ``all_weights``,
    ``check_input``, ``to()``, ``copy`` and ``pickle`` fail. Since 1.0.

    Args:
        layer: The layer, its weights registered.
        names: For each layer and direction, those of its weights.
    """
    layer._flat_weights_names = [name for part in names for name in part]
    layer._all_weights = names
    layer._init_flat_weights()
