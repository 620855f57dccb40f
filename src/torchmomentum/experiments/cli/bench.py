"""``torchmomentum bench``."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from torchmomentum.experiments.cli.compare import add_models, plan
from torchmomentum.experiments.cli.options import (
    Commands,
    add_place_options,
    add_recipe_options,
    given,
    jobs_of,
    need_extra,
    place_of,
)
from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.registry import BENCHMARKS

ACCURACY, GPU = "time-to-accuracy", "gpu"
_MEASURED = ("kind", "seconds", "device", "threads", "out", "runs", "resume", "quiet")
_DEFAULTS: dict[str, Any] = {}  # of all options
_SHAPED = ("layers", "layers-bfloat16", "profile", "memory", "scanned", "normalized", "small")


def add(commands: Commands) -> None:
    """Adds the command to the parser."""
    bench = commands.add_parser("bench", help="measure speed and memory on this machine")
    names = [*BENCHMARKS, ACCURACY, f"{GPU} (all of gpu-*)"]
    bench.add_argument("kind", metavar="KIND", help=", ".join(names))
    bench.add_argument(
        "--seconds", type=float, default=15.0, metavar="X", help="for each comparison (default 15)"
    )
    bench.add_argument(
        "--shape",
        action="append",
        metavar="T,B,I,H",
        help=f"of {', '.join(_SHAPED)}, may be given again (default: the papers')",
    )
    accuracy = bench.add_argument_group(f"{ACCURACY}: a comparison, see 'compare'")
    accuracy.add_argument("--task", default="digits", metavar="NAME", help="default %(default)s")
    accuracy.add_argument(
        "--target",
        type=float,
        metavar="X",
        help="by default what the first model always reaches",
    )
    add_models(bench, "lstm,rmsprop-lstm")
    add_recipe_options(bench)
    add_place_options(bench)
    _DEFAULTS.update(vars(bench.parse_args(["all"])))


def _shape(text: str) -> tuple[int, int, int, int]:
    try:
        time, batch, inputs, hidden = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"shape must be four numbers T,B,I,H, got {text}") from None
    if min(time, batch, inputs, hidden) < 1:
        raise UsageError(f"shape must be of positive numbers, got {text}")
    return time, batch, inputs, hidden


def _check_options(options: argparse.Namespace) -> None:
    """Rejects an option that the benchmark does not have.

    Raises:
        UsageError: One is given.
    """
    shaped = options.kind in _SHAPED
    for name, value in vars(options).items():
        if options.kind == ACCURACY:
            has = name not in ("seconds", "shape")
        else:
            has = name in _MEASURED or (shaped and name == "shape")
        if not has and name in _DEFAULTS and value != _DEFAULTS[name]:
            raise UsageError(f"{options.kind} has no {name.replace('_', '-')}")


def run(options: argparse.Namespace) -> None:
    """Measures speed and memory, and writes what it found."""
    check_name("benchmark", options.kind, (*BENCHMARKS, ACCURACY, GPU))
    _check_options(options)
    if options.kind == ACCURACY:
        _accuracy(options)
        return
    kinds = [k for k in BENCHMARKS if k.startswith(GPU)] if options.kind == GPU else [options.kind]
    for kind in kinds:
        _measure(kind, options)


def _measure(kind: str, options: argparse.Namespace) -> None:
    from torchmomentum.experiments.cli.show import show
    from torchmomentum.experiments.studies.run import run_study

    study = BENCHMARKS.find(kind)
    shapes = [_shape(text) for text in options.shape or ()]
    changes = {"seconds": options.seconds, **given(options, ("device", "threads"))}
    runs = study.plan(changes=changes, axes={"item": shapes} if shapes else {})
    out = Path(options.out or "runs/bench") / kind
    place = place_of(options, out)
    results = run_study(
        study,
        runs,
        place,
        out,
        resume=options.resume,
        fresh=not options.resume,
        quiet=options.quiet,
    )
    show(results, out)


def _accuracy(options: argparse.Namespace) -> None:
    """A comparison, told as the time that each model takes to be as good as the first."""
    need_extra()
    from torchmomentum.experiments.cli.show import show
    from torchmomentum.experiments.studies.run import run_study

    study, runs = plan(options, options.threads or os.cpu_count() or 1)
    view = {**study.view, "target": options.target}
    study = replace(study, table=ACCURACY, view=view)
    out = Path(options.out or "runs/bench") / ACCURACY
    results = run_study(
        study,
        runs,
        place_of(options, out),
        out,
        scale=options.scale,
        jobs=jobs_of(options, alone=True),
        resume=options.resume,
        quiet=options.quiet,
    )
    show(results, out)
