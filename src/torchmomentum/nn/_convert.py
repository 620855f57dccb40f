"""Puts momentum into the recurrent layers and cells of any model, and takes it out again."""

from __future__ import annotations

import copy
import inspect
import secrets
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from torchmomentum.nn._cells import RecurrentCell
from torchmomentum.nn._converted import (
    converted_class,
    former_class,
    is_converted,
    our_class,
    torchs_class,
)
from torchmomentum.nn._flat_state import FlatState
from torchmomentum.nn._regularization import Regularization
from torchmomentum.nn._rnn import elman
from torchmomentum.nn._weights import WeightedLayer, check_scanned
from torchmomentum.nn.rules import Rule, check_space, checked_rule

Model = TypeVar("Model", bound=nn.Module)
Where = str | Sequence[str] | Callable[[str, nn.Module], bool] | None

_OURS = (
    *("momentum", "regularization", "layer_norm", "cell"),
    *("_form", "_extra", "_suffixes", "_owner", "_asked"),
)
_NO_REGULARIZATION = Regularization(0.0, 0.0, 0.0, 0.0)


class RecurrentModule(NamedTuple):
    """A recurrent layer or cell of a model.

    Attributes:
        name: Where it is in the model; empty for the model itself.
        kind: The name of its class.
        momentum: Its rule, described; None where it has none.
        obstacle: Why :func:`momentumize` leaves it as it is; None where it does not.
    """

    name: str
    kind: str
    momentum: str | None
    obstacle: str | None


class MomentumReport(tuple[RecurrentModule, ...]):
    """The recurrent layers and cells of a model; printed, a line for each."""

    def __str__(self) -> str:
        lines = [
            f"{found.name or 'the model'}: {found.kind}, "
            + (found.momentum or (f"left: {found.obstacle}" if found.obstacle else "no momentum"))
            for found in self
        ]
        return "\n".join(lines) or "no recurrent layer"


def _calls_its_parent(forward: Any) -> bool:
    code = getattr(inspect.unwrap(forward), "__code__", None)
    names = () if code is None else code.co_names
    return {"super", "forward"} <= {*names} and "_VF" not in names


def _ours_alone(torchs: Any) -> set[str]:
    """What a converted class has that its class of ``torch.nn`` has not."""
    return {*dir(converted_class(torchs)), *_OURS} - {*dir(torchs)}


def _obstacle(module: nn.Module) -> str | None:
    """Why a recurrent module cannot be converted; None where it can."""
    kind: Any = type(module)
    torchs = torchs_class(kind)
    if isinstance(module, torch.jit.ScriptModule):
        return "it is compiled by TorchScript: convert the model before"
    if isinstance(module, (WeightedLayer, RecurrentCell)):
        has: Any = module.momentum
        return None if has is None else f"it has {has.described()}"
    if torchs is None:
        return "it computes another cell than those of torch.nn"
    if is_parametrized(module):
        return "it is parametrized: convert the model before"
    if "forward" in vars(module):
        return "its forward was replaced: convert the model before"
    for each in kind.__mro__[: kind.__mro__.index(torchs)]:
        if "forward" in vars(each) and not _calls_its_parent(vars(each)["forward"]):
            return f"{each.__name__}.forward computes the recurrence itself"
    taken = sorted(_ours_alone(torchs) & {*dir(module)})
    if taken:
        return f"its attribute {taken[0]} stands in the way"
    try:
        converted_class(kind)
    except TypeError as error:
        return f"no class can be made of {kind.__name__}: {error}"
    return None


def _recurrent(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Each recurrent module under each of its names."""
    for name, module in model.named_modules(remove_duplicate=False):
        scripted = getattr(module, "original_name", "") in ("RNN", "LSTM", "GRU")
        if scripted or isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
            yield name, module


def _once(found: Iterable[tuple[str, nn.Module]]) -> list[tuple[str, nn.Module]]:
    """Each module under its first name."""
    first: dict[int, tuple[str, nn.Module]] = {}
    for name, module in found:
        first.setdefault(id(module), (name, module))
    return list(first.values())


def momentum_report(model: nn.Module) -> MomentumReport:
    """What recurrent layers and cells a model has, which have momentum, and which cannot have it.

    Args:
        model: Any module.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LSTM(3, 4))
        >>> print(momentum_report(model))
        1: LSTM, no momentum
        >>> print(momentum_report(momentumize(model, Momentum(0.6, 0.6))))
        1: LSTM, Momentum(mu=0.6, step_size=0.6)
    """
    return MomentumReport(_described(name, module) for name, module in _once(_recurrent(model)))


def _described(name: str, module: nn.Module) -> RecurrentModule:
    has: Any = getattr(module, "momentum", None)
    momentum = has.described() if isinstance(has, Rule) else None
    obstacle = None if momentum else _obstacle(module)
    kind = getattr(module, "original_name", type(module).__name__)
    return RecurrentModule(name, kind, momentum, obstacle)


def _chosen(model: nn.Module, where: Where) -> list[tuple[str, nn.Module]]:
    there = list(_recurrent(model))
    names = ", ".join([name or "the model itself" for name, _ in there]) or "none"
    nothing = f"{type(model).__name__} has no recurrent layer of torch.nn"
    if where is None:
        found = there
    elif callable(where):
        found = [(name, module) for name, module in there if where(name, module)]
    else:
        found = []
        for pattern in [where] if isinstance(where, str) else where:
            matched = [(name, module) for name, module in there if fnmatchcase(name, pattern)]
            if not matched:
                raise ValueError(f"{nothing} chosen by where={pattern!r}; it has {names}")
            found += matched
    if not found:
        raise ValueError(
            f"{nothing}{'' if where is None else ' that where chooses'}; it has {names}"
        )
    return _once(found)


def _put_in(module: Any, rule: Rule) -> None:
    """Makes a module ours, in place."""
    if not isinstance(module, (WeightedLayer, RecurrentCell)):
        former: Any = type(module)
        module.__class__ = converted_class(former)
        if hasattr(module, "nonlinearity"):
            module.cell = elman(module.nonlinearity)
        if isinstance(module, WeightedLayer):
            module._set_up(_NO_REGULARIZATION, layer_norm=False)
        else:
            module._owner = secrets.token_hex(8)
    device = next(module.parameters()).device
    module.momentum = copy.deepcopy(rule).to(device=device).train(module.training)


def momentumize(model: Model, rule: Rule, *, where: Where = None) -> Model:
    """Puts a momentum rule into the recurrent layers and cells of a model, in place.

    Each ``RNN``, ``LSTM``, ``GRU`` and cell of ``torch.nn`` stays the same object, with the same
    parameters, buffers, hooks, device and type. It gets a class that is its former one and ours.
    Subclasses keep what they add. So optimizers made before go on, and ``isinstance`` checks hold.
    States carry the momentum along (``docs/states.md``). Each layer gets a copy of the rule. The
    parameters of a learned rule are new: an optimizer made before does not know them.

    A module that cannot be converted is left as it is, with a warning that says why. See
    :func:`momentum_report` for what a model has, and :func:`to_torch` for the way back.

    Args:
        model: Any module; a recurrent layer itself too.
        rule: The rule.
        where: Which layers: names as in ``named_modules``, with ``*`` for anything, one or several,
            or a function of name and module. None for all.

    Returns:
        The model.

    Raises:
        TypeError: ``rule`` is no rule.
        ValueError: There is no recurrent layer, or none that ``where`` chooses. Or the rule fits no
            such layer, as one in hidden space does not fit a projection. The model is unchanged.

    Warns:
        UserWarning: A chosen layer is left as it is.

    Example:
        >>> lstm = torch.nn.LSTM(3, 4)
        >>> momentumize(lstm, Momentum(0.6, 0.6)) is lstm
        True
        >>> lstm
        LSTM(
          3, 4
          (momentum): Momentum(mu=0.6, step_size=0.6)
        )
    """
    rule = checked_rule(rule, optional=False)
    chosen = _chosen(model, where)
    left = {name: _obstacle(module) for name, module in chosen}
    for name, module in chosen:
        if left[name] is None:
            check_space(rule, getattr(module, "proj_size", 0))
            if isinstance(module, WeightedLayer):
                check_scanned(module.cell, rule, module.regularization)
    for name, module in chosen:
        if left[name] is None:
            _put_in(module, rule)
        else:
            kind = type(module).__name__
            warnings.warn(f"{name or 'the model'} ({kind}) is left: {left[name]}", stacklevel=2)
    return model


def from_torch(layer: nn.Module, momentum: Rule | None = None) -> Any:
    """The layer or cell of this package with the parameters of one of ``torch.nn``.

    Args:
        layer: An ``RNN``, ``LSTM``, ``GRU``, or a cell of ``torch.nn``. It stays as it is.
        momentum: The rule; None for none, which a cell must not have.

    Returns:
        A new module, whose parameters are the same objects.

    Raises:
        TypeError: ``layer`` is none of those, or a subclass. Or a weight of it is no parameter, as
            where it is pruned. Or ``momentum`` is no rule.

    Example:
        >>> lstm = from_torch(torch.nn.LSTM(3, 4, batch_first=True), Momentum(0.6, 0.6))
        >>> out, state = lstm(torch.zeros(2, 5, 3), lstm.initial_state(2))
    """
    torchs: Any = torchs_class(type(layer))
    if type(layer) is not torchs or torchs is None:
        raise TypeError(
            "layer must be an RNN, LSTM or GRU of torch.nn, or a cell, got "
            f"{type(layer).__name__}: see momentumize"
        )
    taken = "input_size hidden_size num_layers bias batch_first dropout bidirectional proj_size"
    known: Any = vars(layer)
    options = {name: known[name] for name in [*taken.split(), "nonlinearity"] if name in known}
    options["momentum"] = copy.deepcopy(momentum)
    made = our_class(torchs)(**options, device="meta")
    if momentum is not None:
        made.momentum = copy.deepcopy(momentum).to(device=next(layer.parameters()).device)
    for name in [name for name, _ in made.named_parameters(recurse=False)]:
        parameter = layer._parameters.get(name)
        if parameter is None:
            raise TypeError(
                f"{name} is no parameter of the layer: it is pruned or normalized, which "
                "momentumize keeps"
            )
        setattr(made, name, parameter)
    return made.train(layer.training)


def _kept(module: Any) -> str | None:
    """Why ``torch.nn`` cannot have a module of ours; None where it can."""
    if torchs_class(type(module)) is None:
        return "it computes another cell than those of torch.nn"
    if is_parametrized(module):
        return "it is parametrized"
    if not is_converted(module) and not type(module).__module__.startswith("torchmomentum."):
        return "it is of a class of yours, and would lose what that adds"
    if getattr(module, "layer_norm", False):
        return "it has layer_norm"
    used = [
        k for k, v in getattr(module, "regularization", _NO_REGULARIZATION)._asdict().items() if v
    ]
    return f"it has {used[0]}" if used else None


def to_torch(model: Model) -> Model:
    """Makes the layers and cells of this package in a model those of ``torch.nn``, in place.

    The way back from :func:`momentumize`; layers that were made by this package become those of
    ``torch.nn`` too. The parameters stay, and the rules are gone, with what they had learned: the
    model computes what it would without momentum.

    Args:
        model: Any module; a layer itself too.

    Returns:
        The model.

    Warns:
        UserWarning: A layer is left as it is, because ``torch.nn`` has not its cell or its options.

    Example:
        >>> to_torch(LSTM(3, 4, momentum=Momentum(0.6, 0.6)))
        LSTM(3, 4)
    """
    flat = {id(m.layer) for m in model.modules() if isinstance(m, FlatState)}
    for name, module in list(model.named_modules()):
        if not isinstance(module, (WeightedLayer, RecurrentCell)):
            continue
        kept = "it is in a FlatState" if id(module) in flat else _kept(module)
        if kept is not None:
            warnings.warn(
                f"{name or 'the model'} ({type(module).__name__}) is left: {kept}", stacklevel=2
            )
            continue
        kind = type(module)
        module.__class__ = former_class(kind) if is_converted(module) else torchs_class(kind)
        for attribute in _OURS:
            if attribute in vars(module) or attribute in module._modules:
                delattr(module, attribute)
    return model
