"""One register for all that is known by a name: rules, tasks, models, studies, tables and others.

An entry of ours is the place where it is defined, ``"module:attribute"``, imported when it is first
asked for: to list names imports nothing. Users register their own in one line::

    from torchmomentum.experiments import register
    register("task", "parity", Parity)

The command line finds such lines in the modules or files that ``--use`` names, and in those that
installed packages declare as entry points of the group ``torchmomentum``. A name may also be a file
and what to take from it: ``my_task.py:MyTask``.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from torchmomentum.experiments.errors import UsageError, check_name

USE = "TORCHMOMENTUM_USE"  # modules and files to import first, separated by os.pathsep
ENTRY_POINTS = "torchmomentum"


class Registry:
    """What is known of one kind.

    Args:
        kind: What it is called in messages.
        entries: Objects, or the places where they are defined, by name.
    """

    def __init__(self, kind: str, entries: Mapping[str, Any]) -> None:
        self.kind = kind
        self._entries = dict(entries)
        self._ours = dict(entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def register(self, name: str, entry: Any) -> None:
        """Adds an entry.

        Raises:
            ValueError: The name is taken by another, or is none.
        """
        if not isinstance(name, str) or not name or ":" in name or "," in name:
            raise ValueError(
                f"a {self.kind}'s name must be a word without ':' and ',', got {name!r}"
            )
        if self._entries.get(name, entry) is not entry:
            raise ValueError(f"the {self.kind} '{name}' is registered already")
        self._entries[name] = entry

    @contextmanager
    def lend(self, entries: Mapping[str, Any]) -> Iterator[None]:
        """Has entries under these names, in place of others there, for a while."""
        before = dict(self._entries)
        try:
            for name, entry in entries.items():
                self._entries.pop(name, None)
                self.register(name, entry)
            yield
        finally:
            self._entries = before

    def find(self, name: str) -> Any:
        """The entry of a name, or what ``file.py:Name`` defines.

        Raises:
            UsageError: There is none.
        """
        if is_file(name):
            return from_file(name, self.kind)
        entry = self._entries[check_name(self.kind, name, self._entries)]
        return attribute(entry) if isinstance(entry, str) else entry

    def is_ours(self, name: str) -> bool:
        """Whether a name stands for what this package has under it."""
        return name in self._ours and self._entries.get(name) is self._ours[name]


def attribute(place: str) -> Any:
    """What ``"module:attribute"`` names."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def is_file(name: str) -> bool:
    """Whether a name is a file and what to take from it."""
    return ".py:" in name


def hash_of(content: bytes) -> str:
    """Sixteen hexadecimal digits that tell contents apart."""
    return hashlib.sha256(content).hexdigest()[:16]


@functools.cache
def _load(path: Path, checksum: str) -> ModuleType:
    """A file as a module; one that was edited is loaded anew."""
    name = f"torchmomentum_user_{path.stem}_{hash_of(bytes(path))[:8]}"
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    code = compile(path.read_bytes(), path, "exec")  # importlib would take a cached one
    exec(code, vars(module))
    return module


def from_file(name: str, kind: str) -> Any:
    """What a file defines, for ``file.py:Name``.

    Raises:
        UsageError: There is no such file, or nothing of that name in it.
    """
    path, _, wanted = name.rpartition(":")
    file = Path(path).expanduser().resolve()
    if not file.is_file():
        raise UsageError(f"{kind} {name}: there is no file {path}")
    module = _load(file, hash_of(file.read_bytes()))
    if not hasattr(module, wanted):
        own = [
            name
            for name, found in vars(module).items()
            if getattr(found, "__module__", module.__name__) == module.__name__
            or not isinstance(found, (type, FunctionType, ModuleType))
        ]
        own = [name for name in own if not name.startswith("_")]
        check_name(f"{kind} in {path}", wanted, own or ["nothing"])
    return getattr(module, wanted)


_HERE = "torchmomentum.experiments"
RULES = Registry(
    "rule",
    {
        **dict.fromkeys(("sr", "nag"), "torchmomentum.nn:Nesterov"),
        "momentum": "torchmomentum.nn:Momentum",
        "released-sr": "torchmomentum.nn:NesterovLookahead",
        "adam": "torchmomentum.nn:Adam",
        "rmsprop": "torchmomentum.nn:RMSProp",
        "gain": f"{_HERE}.models.controls:CONSTANT_GAIN",
        "learned-gain": f"{_HERE}.models.controls:LEARNED_GAIN",
        "rms": f"{_HERE}.models.controls:UnitRMS",
        "layer-norm": f"{_HERE}.models.controls:DriveLayerNorm",
    },
)
CELLS = Registry(
    "cell",
    {
        "lstm": f"{_HERE}.models.sequence:LSTM",
        "gru": f"{_HERE}.models.sequence:GRU",
        "rnn": f"{_HERE}.models.sequence:RNN",
        "mingru": f"{_HERE}.models.blocks:MINGRU",
        "lru": f"{_HERE}.models.blocks:LRU",
        "awd-lstm": f"{_HERE}.models.awd_lstm:AWD_LSTM",
        "dtriv": f"{_HERE}.models.orthogonal:DTRIV",
    },
)
MODELS = Registry(
    "model",
    {
        "preresnet": f"{_HERE}.models.images:PRERESNET",
        "resnet": f"{_HERE}.models.images:RESNET",
    },
)
TASKS = Registry(
    "task",
    {
        "digits": f"{_HERE}.tasks.digits:Digits",
        "pdigits": f"{_HERE}.tasks.digits:PermutedDigits",
        "mnist": f"{_HERE}.tasks.mnist:MNIST",
        "pmnist": f"{_HERE}.tasks.mnist:PermutedMNIST",
        "adding": f"{_HERE}.tasks.adding:Adding",
        "copying": f"{_HERE}.tasks.copying:Copying",
        "selective-copying": f"{_HERE}.tasks.selective_copying:SelectiveCopying",
        "timit": f"{_HERE}.tasks.speech:TIMIT",
        "spoken-digits": f"{_HERE}.tasks.speech:SpokenDigits",
        "synthetic-speech": f"{_HERE}.tasks.speech:SyntheticSpeech",
        "ptb": f"{_HERE}.tasks.words:PTB",
        "text": f"{_HERE}.tasks.words:OwnText",
        "words": f"{_HERE}.tasks.words:Words",
        "synthetic-words": f"{_HERE}.tasks.words:SyntheticWords",
        "cifar10": f"{_HERE}.tasks.cifar:CIFAR10",
        "cifar10-pixels": f"{_HERE}.tasks.cifar_pixels:CIFARPixels",
        "cifar10-jpeg-pixels": f"{_HERE}.tasks.cifar_pixels:CIFARPixelsJPEG",
        "cifar100": f"{_HERE}.tasks.cifar:CIFAR100",
        "cifar10-jpeg": f"{_HERE}.tasks.cifar:CIFAR10JPEG",
        "imagenet": f"{_HERE}.tasks.imagenet:ImageNet",
        "imagenet-cifar10-jpeg": f"{_HERE}.tasks.imagenet:ImageNetCIFAR10JPEG",
    },
)
OPTIMIZERS = Registry(
    "optimizer",
    {
        name: f"{_HERE}.engine.optimizers:{name.upper().replace('-', '_')}"
        for name in ("rmsprop", "adam", "adamw", "adam-rmsprop", "sgd", "nt-asgd", "nag", "srsgd")
    },
)
_SLIDES = (
    *("slides-quadratic", "slides-noise-decaying", "slides-noise-constant"),
    *("slides-restart-frequency", "slides-momentum", "slides-accumulation", "slides-logistic"),
    "slides-bnn",
)
_IMAGES = (
    *("cifar10", "cifar100", "imagenet", "error-vs-depth", "fewer-epochs"),
    *("imagenet-error-vs-depth", "imagenet-fewer-epochs"),
)


def _constants(module: str, names: tuple[str, ...]) -> dict[str, str]:
    return {name: f"{_HERE}.{module}:{name.upper().replace('-', '_')}" for name in names}


_PAPER_TABLES = ("table1", "table2", "table3", "table4", "table5", "table11", "table12", "table13")
_PAPER_FIGURES = (
    *("figure2", "figure3", "figure4", "figure5", "figure6", "figure7"),
    *("figure9", "figure10", "figure11"),
)
_FINDINGS = tuple(
    f"findings-{task}" for task in ("digits", "mnist", "adding", "copying", "speech", "words")
)
STUDIES = Registry(
    "study",
    {
        **_constants("studies.slides.figures", _SLIDES),
        **_constants("studies.images", _IMAGES),
        **_constants("studies.momentumrnn.tables", _PAPER_TABLES),
        **_constants("studies.momentumrnn.costs", ("table14", "table15", "table16")),
        **_constants("studies.momentumrnn.figures", _PAPER_FIGURES),
        **_constants("studies.findings", _FINDINGS),
    },
)
_BENCHMARKS = (
    *("layers", "layers-bfloat16", "profile", "optim", "memory", "streaming", "papers"),
    *(
        "optim-compiled",
        "scanned",
        "normalized",
        "small",
        "orthogonal",
        "orthogonal-maps",
        "backends",
        "gpu-correctness",
        "gpu-layers",
    ),
    *("gpu-backends", "gpu-plans", "gpu-ensembles", "gpu-papers"),
)
BENCHMARKS = Registry("benchmark", _constants("bench.studies", _BENCHMARKS))
TABLES = Registry(
    "table",
    {
        **{
            n: f"{_HERE}.report.{n}:{n}"
            for n in ("comparison", "errors", "iterations", "beside", "convergence")
        },
        "costs": f"{_HERE}.report.costs:costs",
        "grid": f"{_HERE}.report.grid:grid",
        "tuned": f"{_HERE}.report.tuned:tuned",
        "trials": f"{_HERE}.report.trials:trials",
        "gradients": f"{_HERE}.report.gradients:gradients",
        "time-to-accuracy": f"{_HERE}.report.accuracy:time_to_accuracy",
        "timing-optim": f"{_HERE}.report.timings:optimizers",
        "timing-gpu-correctness": f"{_HERE}.report.timings:correctness",
        **{
            f"timing-{n}": f"{_HERE}.report.timings:{n}"
            for n in ("layers", "profile", "memory", "streaming", "papers", "backends", "each")
        },
    },
)
FIGURES = Registry(
    "figure",
    {
        "curves": f"{_HERE}.report.curves:learning_curves",
        "errors": f"{_HERE}.report.curves:errors",
        "losses": f"{_HERE}.report.losses:losses",
        "grid": f"{_HERE}.report.grid:maps",
        "landscape": f"{_HERE}.report.trials:landscape",
        "gradients": f"{_HERE}.report.gradients:heat",
        "iterations": f"{_HERE}.report.panels:iterations",
        "panels": f"{_HERE}.report.panels:quantities",
        "ratios": f"{_HERE}.report.ratios:bars",
    },
)
_ALL = RULES, CELLS, MODELS, TASKS, OPTIMIZERS, STUDIES, BENCHMARKS, TABLES, FIGURES
REGISTRIES = {registry.kind: registry for registry in _ALL}


def register(kind: str, name: str, entry: Any) -> None:
    """Makes what one of :data:`REGISTRIES` holds known by a name.

    Args:
        kind: One of :data:`REGISTRIES`.
        name: A word.
        entry: The object.

    Raises:
        UsageError: An unknown kind.
        ValueError: The name is taken.
    """
    REGISTRIES[check_name("kind", kind, REGISTRIES)].register(name, entry)


def use(*names: str) -> None:
    """Imports modules and files that register something, here and in the processes started here.

    Raises:
        UsageError: One of them is not there.
    """
    for name in names:
        _use(name)
    earlier = [os.environ[USE]] if os.environ.get(USE) else []
    if names:
        os.environ[USE] = os.pathsep.join([*earlier, *names])


def _use(name: str) -> None:
    if name.endswith(".py"):
        file = Path(name).expanduser().resolve()
        if not file.is_file():
            raise UsageError(f"--use {name}: there is no such file")
        _load(file, hash_of(file.read_bytes()))
        return
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError(f"--use {name}: {error}") from error


def load_used() -> None:
    """Imports what the environment names, and what installed packages declare."""
    for name in filter(None, os.environ.get(USE, "").split(os.pathsep)):
        _use(name)
    for point in metadata.entry_points(group=ENTRY_POINTS):
        point.load()
