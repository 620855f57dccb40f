"""A hidden state that carries the momentum which belongs to it through its caller's hands.

Code written for ``torch.nn`` passes ``(h, c)`` from call to call, and in between detaches, stacks,
selects, masks and moves it. The momentum must come along, or the next call goes on with another
network. So ``h`` is a tensor with the momentum beside it, and what treats all features of ``h``
alike is done to the momentum too.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from torchmomentum._torch_private import as_plain_tensors, plain
from torchmomentum._tuples import each_tensor
from torchmomentum.nn.rules import RuleState, with_parts

Momentum = tuple[RuleState, ...]  # one for each layer and direction
_ASKED = 16  # the most states without momentum that are looked at
_LOST, _UNCOUNTED = -2, -1  # versions that no tensor has

# what treats all features alike: selects and arranges, moves and converts, scales, writes
_ARRANGING = frozenset(
    {"detach", "clone", "contiguous", "pin_memory", "where"}
    | {"masked_fill", "masked_scatter"}
    | {"__getitem__", "index_select", "select", "narrow", "split", "chunk", "unbind"}
    | {"stack", "cat", "concat", "concatenate", "expand", "repeat", "repeat_interleave"}
    | {"squeeze", "unsqueeze", "transpose", "swapaxes", "permute", "movedim"}
)
_MOVING = frozenset({"to", "cpu", "cuda", "float", "double", "half", "bfloat16", "type"})
_SCALING = frozenset({"mul", "multiply", "__mul__", "__rmul__", "mul_", "__imul__"})
_FILLING = frozenset({"masked_fill", "masked_fill_", "fill_", "__setitem__"})
_WRITING = frozenset(
    {"mul_", "__imul__", "zero_", "fill_", "copy_", "masked_fill_", "__setitem__", "detach_"}
)
_IN_PLACE = frozenset(
    {f"__i{name}__" for name in ("add", "sub", "truediv", "floordiv", "mod", "pow")}
)
_INDEXING = frozenset({"__getitem__", "__setitem__", "index_select", "repeat_interleave"})


def packed(momentum: Momentum, lead: Sequence[int]) -> Tensor:
    """All of a momentum state as features: ``(layers, *lead, M)``, narrower layers padded.

    Args:
        momentum: One rule's state for each layer and direction; counts are exact up to 2^24.
        lead: The batch, or nothing where the state is unbatched.
    """
    rows: list[Tensor] = []
    for state in momentum:
        floats = [part for part in state if part.is_floating_point()]
        dtype = floats[0].dtype if floats else torch.get_default_dtype()
        count = len(lead)
        flat = [part.to(dtype).reshape(*lead, math.prod(part.shape[count:])) for part in state]
        rows.append(torch.cat(flat, -1))
    widest = max(row.shape[-1] for row in rows)
    return torch.stack([pad(row, (0, widest - row.shape[-1])) for row in rows])


def unpacked(features: Tensor, expected: Momentum) -> Momentum | None:
    """The momentum state that :func:`packed` made features of; None where they do not fit.

    Args:
        features: ``(layers, B, M)``.
        expected: A state of the right shapes and types, on any device.
    """
    sizes = [[math.prod(part.shape[1:]) for part in state] for state in expected]
    widest = max(map(sum, sizes))
    batch = expected[0][0].shape[0]
    if features.shape != (len(expected), batch, widest):
        return None
    found: list[RuleState] = []
    for row, size, state in zip(features.unbind(0), sizes, expected, strict=True):
        pieces = row[:, : sum(size)].split(size, -1)
        parts = [
            piece.reshape(part.shape).to(part.dtype if not part.is_floating_point() else row.dtype)
            for piece, part in zip(pieces, state, strict=True)
        ]
        found.append(with_parts(state, parts))
    return tuple(found)


class CarriedTensor(Tensor):
    """A state ``h``, ``(layers, B, H)`` or what was made of it, and its momentum.

    It computes as a plain tensor. The results of operations that treat all features alike, such as
    ``detach``, indexing, ``stack`` or a product with a mask ``(B, 1)``, carry the momentum on,
    arranged and scaled in the same way. All other results are plain tensors. A write in
    place such as ``h[:, done] = 0`` is done to the momentum as well; after any other the momentum
    is lost. One to ``h.data`` goes unnoticed, and in inference mode, which counts no writes, one
    that is no method of ``h``: by ``out=``, or through a plain tensor of its memory.

    Attributes:
        owner: What names the layer that the momentum belongs to.
        untouched: The momentum as the layer returned it, until an operation needs it as features.
        version: Which of ``h``'s values the momentum belongs to, by PyTorch's count of writes. One
            for all views that share both memories.
    """

    owner: str
    untouched: Momentum | None
    version: list[int]
    _features: Tensor | None

    @staticmethod
    def of(
        h: Tensor,
        owner: str,
        untouched: Momentum | None = None,
        features: Tensor | None = None,
        version: list[int] | None = None,
    ) -> CarriedTensor:
        """A state with its momentum, as a layer made it or as features."""
        made = h.as_subclass(CarriedTensor)
        made.owner, made.untouched, made._features = owner, untouched, features
        made.version = [_version(h)] if version is None else version
        return made

    def drop_if_written_to(self) -> None:
        """Loses the momentum where ``h`` was written to and the momentum could not follow."""
        with as_plain_tensors():
            if self.version[0] != _version(self):
                self.untouched = self._features = None

    def momentum_features(self) -> Tensor | None:
        """The momentum as features beside ``h``'s: ``(layers, B, M)``; None where it was lost."""
        self.drop_if_written_to()
        if self._features is None and self.untouched is not None:
            with as_plain_tensors():
                self._features = packed(self.untouched, self.shape[1:-1])
            self.untouched = None
        return self._features

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        with as_plain_tensors():
            if _writes(name) and type(args[0]) is CarriedTensor:
                return _written(func, name, args, kwargs)
            found = func(*args, **kwargs)
            if name in _MOVING:
                return _moved(args[0], found)
            elif name in _ARRANGING or name in _SCALING:
                return _followed(func, name, args, kwargs, found)
        return found

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickled and saved as a plain tensor, which loads everywhere, and without the momentum."""
        return self.as_subclass(Tensor).__reduce_ex__(protocol)

    def __deepcopy__(self, memo: Any) -> Any:
        return self.clone()


class WarnsOfLoss:
    """A layer or a cell whose states carry momentum; it warns once where one has lost it."""

    _owner = ""  # names it, and its copies, to the states
    _asked = 0  # how often it was asked whether a state without momentum is zero

    def _warn_of_loss(self, states: Sequence[Tensor], remedies: str, stacklevel: int) -> None:
        if self._asked >= _ASKED or not plain() or states[0].is_meta:
            return
        self._asked += 1  # to look costs a GPU a wait
        if any([bool(state.any()) for state in states]):
            self._asked = _ASKED
            kind = type(self).__name__
            warnings.warn(
                f"{kind}: the state that was passed has no momentum with it, and its momentum "
                f"begins at zero. Pass on the h that {kind} returned, which carries it through "
                f"detach, indexing, stack and masks; {remedies}",
                stacklevel=stacklevel,
            )


def without_momentum(hx: Any, needed: bool = True) -> tuple[Any, CarriedTensor | None]:
    """A state in plain tensors, and the ``h`` that carried a momentum, if one did.

    Args:
        hx: The state as the caller passed it.
        needed: Whether the momentum may be this layer's, so that a graph must not lose it.
    """
    parts = hx if isinstance(hx, (tuple, list)) else (hx,)
    if not any([type(part) is CarriedTensor for part in parts]):
        return hx, None
    captured = torch.compiler.is_compiling()
    if captured and needed:
        raise RuntimeError(
            "a captured graph takes the momentum apart: begin with initial_state(), and pass on "
            "all that is returned"
        )
    with as_plain_tensors():  # a view, for as_subclass cannot be captured
        bare = [p.view_as(p) if type(p) is CarriedTensor else p for p in parts]
    carrier = parts[0] if type(parts[0]) is CarriedTensor and not captured else None
    if carrier is not None:
        carrier.drop_if_written_to()
    return (tuple(bare) if parts is hx else bare[0]), carrier


def _carried(arguments: Any) -> list[CarriedTensor]:
    found: list[CarriedTensor] = []

    def note(t: Tensor) -> None:
        if type(t) is CarriedTensor:
            found.append(t)

    each_tensor(arguments, note)
    return found


def _version(h: Tensor) -> int:
    """How often a tensor was written to, which inference mode does not count."""
    return _UNCOUNTED if h.is_inference() else h._version


def _writes(name: str) -> bool:
    """Whether a function is one in place, by its name."""
    return name in _WRITING or name in _IN_PLACE or name[-1:] == "_" != name[-2:-1]


def _moved(given: Any, found: Any) -> Any:
    """The momentum on the device of ``h``; never in less than float32."""
    features = given.momentum_features() if type(given) is CarriedTensor else None
    if features is None or found is given or not isinstance(found, Tensor):
        return found
    dtype = torch.promote_types(found.dtype, torch.float32)
    return CarriedTensor.of(found, given.owner, features=features.to(found.device, dtype))


def _on_features(func: Any, name: str, args: Any, kwargs: Any) -> Any | None:
    """What an operation makes of the momentum; None where it is lost.

    A plain state among the arguments has none: zeros stand for it. A mask or a factor must be the
    same for all features.
    """
    carried = _carried((args, kwargs))
    like, width = carried[0].momentum_features(), carried[0].shape[-1]
    if len({t.owner for t in carried}) > 1 or like is None:
        return None
    if name in _SCALING and len(carried) > 1:
        return None  # a product of two states is no state
    features = like.shape[-1]

    def beside(t: Tensor) -> Tensor:
        if type(t) is CarriedTensor:
            own = t.momentum_features()
            if own is None or own.shape[-1] != features:
                raise ValueError("no momentum, or that of another layer")
            return own
        last = t.shape[-1] if t.dim() else 1
        if name in _INDEXING and not t.is_floating_point():
            return t
        if name not in _SCALING and t.is_floating_point() and last == width:
            return like.new_zeros(*t.shape[:-1], features)
        if last != 1:
            raise ValueError("the features are not treated alike")
        return t

    try:
        given = [each_tensor(value, beside) for value in args]
        if name in _FILLING and not isinstance(given[-1], Tensor):
            given[-1] = 0.0  # a state that is written anew begins without momentum
        made = func(*given, **each_tensor(kwargs, beside))
        return given[0] if name == "__setitem__" else made
    except (RuntimeError, IndexError, ValueError, TypeError):
        return None


def _written(func: Any, name: str, args: Any, kwargs: Any) -> Any:
    """Writes to ``h`` and does the same to its momentum; where that cannot be, it is lost."""
    target = args[0]
    follows = name in _WRITING and target.momentum_features() is not None
    found = func(*args, **kwargs)
    if follows:
        target.version[0] = _version(target)
        if _on_features(func, name, args, kwargs) is None:
            target.version[0] = _LOST  # for what shares its memory too
    elif target.is_inference():  # else its count tells
        target.version[0] = _LOST
    return found


def _followed(func: Any, name: str, args: Any, kwargs: Any, found: Any) -> Any:
    """The result with the momentum that the same operation makes; plain where there is none."""
    made = _on_features(func, name, args, kwargs)
    if made is None:
        return found
    like = _carried((args, kwargs))[0]
    own = like.momentum_features()
    widths = like.shape[-1], -1 if own is None else own.shape[-1]
    several = isinstance(found, (tuple, list))
    if several and len(found) != len(made):
        return found  # the features were split
    results: list[Tensor] = []
    for h, features in zip(found if several else [found], made if several else [made], strict=True):
        arranged = h.dim() and features.dim() and h.shape[:-1] == features.shape[:-1]
        if arranged and (h.shape[-1], features.shape[-1]) == widths:
            together = _same_memory(h, like) and _same_memory(features, own)
            version = like.version if together else None
            h = CarriedTensor.of(h, like.owner, features=features, version=version)
        results.append(h)
    return type(found)(results) if several else results[0]


def _same_memory(one: Tensor, other: Tensor | None) -> bool:
    if other is None:
        return False
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
