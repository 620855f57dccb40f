"""Checksums of users' things: other where code or data is, the same where it is not."""

import operator
import os
import subprocess
import sys
from array import array
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property, partial, wraps

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

import torchmomentum.nn as tnn
from torchmomentum.experiments import register
from torchmomentum.experiments.digest import checksum, digest_of, remembered
from torchmomentum.experiments.engine.optimizers import Optimizer
from torchmomentum.experiments.models import Model
from torchmomentum.experiments.models.sequence import CellKind
from torchmomentum.experiments.registry import CELLS, MODELS, OPTIMIZERS, REGISTRIES, RULES, TASKS


@pytest.fixture
def registers(monkeypatch):
    for registry in REGISTRIES.values():
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))


@dataclass
class Slotted:
    __slots__ = ("x",)
    x: object


class Listed(list):
    pass


def _listed(x):
    found = Listed([1])
    found.x = x
    return found


def _bound(x):
    return lambda: x


def _defaulted(x):
    def function(*, y=x):
        return y

    return function


def _wrapped(x):
    @wraps(len)
    def function():
        return x

    return function


def _class(x):
    class Made(nn.Module):
        def forward(self):
            return x

    return Made


def _attribute(x):
    return type("Made", (), {"x": x})


def _method(x):
    return type("Made", (), {"x": property(lambda self: x), "y": staticmethod(lambda: x)})


def _cached(x):
    return type("Made", (), {"x": cached_property(lambda self: x)})


def _based(x):
    return type("Made", (_attribute(x),), {})


def _objects(x):
    found = np.empty(1, dtype=object)
    found[0] = x
    return found


MAKERS = {
    "tensor": lambda x: torch.tensor([1.0, x]),
    "of another type": lambda x: torch.zeros(2, dtype=(torch.int32, torch.float32)[x]),
    "sparse": lambda x: torch.tensor([0.0, x + 1]).to_sparse(),
    "sparse with a gradient": lambda x: torch.tensor([0.0, x + 1]).to_sparse().requires_grad_(),
    "list or tuple": lambda x: ([1], (1,))[x],
    "code typed in": lambda x: eval(("lambda a: a", "lambda a: -a")[x], {"__name__": "typed"}),
    "array": lambda x: np.array([1, x]),
    "strided array": lambda x: np.arange(4)[:: x + 1],
    "objects": lambda x: _objects(str(x)),
    "list": lambda x: [1, [x]],
    "nested otherwise": lambda x: ([[1], 2], [[1, 2]])[x],
    "dictionary": lambda x: {"a": x},
    "ordered": lambda x: OrderedDict(a=x),
    "set": lambda x: {"a", x},
    "type": lambda x: (1, 1.0)[x],
    "slots": Slotted,
    "list with an attribute": _listed,
    "deque": lambda x: deque([x]),
    "numbers": lambda x: array("d", [x]),
    "bytes": lambda x: bytearray([x]),
    "decimal": Decimal,
    "date": lambda x: date(2026, 1, x + 1),
    "slice": lambda x: slice(x),
    "getter": operator.itemgetter,
    "bound": _bound,
    "keyword default": _defaulted,
    "default": lambda x: lambda y=x: y,
    "wrapped": _wrapped,
    "made class": _class,
    "class attribute": _attribute,
    "property": _method,
    "cached property": _cached,
    "base": _based,
    "partial": lambda x: partial(tnn.LSTM, num_layers=x),
    "large partial": lambda x: partial(len, torch.arange(5000) * (torch.arange(5000) != 2500 + x)),
    "method of an object": lambda x: Slotted(x).__eq__,
    "method of C": lambda x: (torch.Tensor.float, torch.Tensor.double)[x],
    "bound method of C": lambda x: [x].append,
    "module": lambda x: nn.HuberLoss(delta=x + 1.0),
    "deep": lambda x: _deep(5000, x),
    "loader": lambda x: DataLoader([1, 2], batch_size=x + 1),
    "random numbers": lambda x: np.random.default_rng(x),
}


def _deep(levels, x):
    for _ in range(levels):
        x = Slotted(x)
    return x


@pytest.mark.parametrize("kind", MAKERS)
def test_other_contents_have_another_checksum(kind):
    made = [MAKERS[kind](x) for x in (0, 1, 0)]
    found = [checksum(value) for value in made]
    assert found[0] == found[2] != found[1]
    assert len(found[0]) == 16


def test_what_is_not_kept_counts_by_its_type(tmp_path):
    with (tmp_path / "a").open("w") as first, (tmp_path / "b").open("w") as second:
        assert checksum(first) == checksum(second) != checksum(object())
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    assert checksum(generators[0]) == checksum(generators[1])


def test_an_object_may_hold_itself():
    for names in (("x", "x"), ("x", "y")):
        value = OrderedDict()
        value[names[0]], value[names[1]] = value, 1
        assert checksum(value) == checksum(value)


class Wrapper:
    """A loader of one's own."""

    def __init__(self, noise):
        self.dataset, self.noise = [1, 2], noise

    def __iter__(self):
        return iter(self.dataset)

    def __len__(self):
        return 2


class Noisy(DataLoader):
    def __init__(self, noise):
        super().__init__([1, 2])
        self.noise = noise


@pytest.mark.parametrize("kind", [Wrapper, Noisy])
def test_a_loader_of_ones_own_counts_by_all_that_it_holds(kind):
    assert checksum(kind(0)) == checksum(kind(0)) != checksum(kind(9))


def test_a_run_sets_a_loaders_generators_anew():
    made = []
    for seed in (0, 1):
        draw = RandomSampler([1, 2], generator=torch.Generator().manual_seed(seed))
        made.append(DataLoader([1, 2], batch_sampler=BatchSampler(draw, 1, False)))
    assert checksum(made[0]) == checksum(made[1])


SCRIPT = """
import logging
import numpy as np
import top
from torchmomentum.experiments.digest import checksum
FACTOR = {factor}
def helper(x):
    return x * FACTOR
def loss(a, b):
    return helper(a) - b
class Data:
    LOG = logging.getLogger("here")
    def __init__(self):
        self.names, self.log = {{"a", "b", "c"}}, self.LOG
        self.rows = np.array(["x", None], dtype=object)
    def __getitem__(self, index):
        return loss(index, 0)
print(checksum(loss), checksum(Data), checksum(Data()), checksum(top))
"""


def test_code_is_known_again_in_another_process_and_on_other_lines(tmp_path):
    """And a global that it uses, or a function that it calls, is a part of it.

    Names of what a module imports stand in a set, whose order is another in each process.
    """
    names = ["one", "two", "three", "four", "five"]
    for name in names:
        (tmp_path / f"{name}.py").write_text(f"def {name}(): return 1\n")
    (tmp_path / "top.py").write_text("".join(f"from {name} import {name}\n" for name in names))
    scripts = [SCRIPT.format(factor=2), "\n\n" + SCRIPT.format(factor=2) + SCRIPT.format(factor=3)]
    first, both = (
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": str(seed), "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, script in enumerate(scripts, 1)
    )
    again, other = both.splitlines()
    assert first.splitlines() == [again]
    *typed, module = zip(again.split(), other.split(), strict=True)
    assert all(a != b for a, b in typed)
    assert module[0] == module[1]


@pytest.mark.parametrize(
    "text", ["import helper", "from helper import SCALE", "import helper as h"]
)
def test_a_file_counts_with_the_modules_that_it_imports(text, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    uses = {"import helper": "helper.SCALE", "import helper as h": "h.SCALE"}.get(text, "SCALE")
    file, helper = tmp_path / "mine.py", tmp_path / "helper.py"
    file.write_text(f"{text}\ndef build(data):\n    return {uses}\n")
    found = []
    for scale in (1, 50):
        helper.write_text(f"SCALE = {scale}\n")
        monkeypatch.delitem(sys.modules, "helper", raising=False)
        file.write_text(file.read_text() + "\n")  # loaded anew
        found.append(digest_of(f"{file}:build", MODELS))
    assert found[0] != found[1]


def test_a_files_object_counts_with_its_data(tmp_path):
    file = tmp_path / "task.py"
    file.write_text(
        "import torch\n"
        "from torchmomentum.experiments import OwnData\n"
        f"x = torch.load({str(tmp_path / 'x.pt')!r})\n"
        "TASK = OwnData([(x, x[:, 0, 0])], [(x, x[:, 0, 0])])\n"
    )
    found = []
    for scale in (1.0, 2.0, 1.0):
        torch.save(scale * torch.ones(2, 5, 3), tmp_path / "x.pt")
        from torchmomentum.experiments.registry import _load

        _load.cache_clear()  # as in another process
        found.append(digest_of(f"{file}:TASK", TASKS))
    assert found[0] == found[2] != found[1]


@pytest.mark.parametrize(
    ("registry", "make"),
    [
        (RULES, lambda x: partial(tnn.Momentum, mu=x)),
        (CELLS, lambda x: CellKind(partial(tnn.LSTM, num_layers=x), nn.LSTM)),
        (MODELS, lambda x: Model("own", _bound(x))),
        (OPTIMIZERS, lambda x: Optimizer(partial(torch.optim.SGD, momentum=x), {"lr": 0.1})),
    ],
    ids=["rule", "cell", "model", "optimizer"],
)
def test_what_is_registered_counts_and_what_is_ours_does_not(registry, make, registers):
    assert {digest_of(name, registry) for name in registry} == {None}
    names = [f"{registry.kind}{x}" for x in (1, 2)]
    for x, name in enumerate(names):
        register(registry.kind, name, make(x))
    found = [digest_of(name, registry) for name in names]
    assert None not in found
    assert found[0] != found[1]


def test_a_checksum_is_made_once_for_all_recipes_of_a_study(registers):
    asked = []

    class Asked:
        def fingerprint(self):
            asked.append(self)
            return "a"

    register("rule", "asked", Asked())
    with remembered():
        assert digest_of("asked", RULES) == digest_of("asked", RULES)
    assert len(asked) == 1
    digest_of("asked", RULES)
    assert len(asked) == 2
