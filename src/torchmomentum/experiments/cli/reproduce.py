"""``torchmomentum reproduce``."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from torchmomentum.experiments.cli.options import (
    Commands,
    add_place_options,
    given,
    jobs_of,
    need_extra,
    place_of,
)
from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.images.figures import FIGURES, plan
from torchmomentum.experiments.images.recipes import DATA, SCALES

REPRODUCTIONS = (
    *("slides-quadratic", "slides-noise-decaying", "slides-noise-constant"),
    *("slides-restart-frequency", "slides-logistic", "slides-bnn"),
    *FIGURES,
)
_IMAGE_OPTIONS = (
    *("batch_size", "lr", "train_limit", "compile", "device", "devices", "precision", "threads"),
    "workers",
)


def add(commands: Commands) -> None:
    """Adds the command to the parser."""
    again = commands.add_parser("reproduce", help="compute a figure of the slides again")
    again.add_argument("name", metavar="NAME", help=", ".join(REPRODUCTIONS))
    again.add_argument("--seeds", type=int, metavar="N", help="by default the figure's own")
    again.add_argument("--iterations", type=int, metavar="N", help="of slides-*; theirs by default")
    again.add_argument(
        "--data",
        metavar="NAME",
        help=f"of the image figures: {', '.join(DATA)} (default the figure's); of slides-logistic "
        "and slides-bnn: digits (default), mnist",
    )
    _add_image_options(again)


def _add_image_options(parser: argparse.ArgumentParser) -> None:
    images = parser.add_argument_group(f"image classification ({', '.join(FIGURES)})")
    images.add_argument("--scale", metavar="NAME", help=f"{', '.join(SCALES)} (default desk)")
    images.add_argument("--depths", metavar="N,N,...", help="by default the scale's")
    images.add_argument("--epochs", type=int, metavar="N", help="by default the scale's")
    images.add_argument("--batch-size", type=int, metavar="N", help="images of a step")
    images.add_argument("--lr", type=float, metavar="X", help="learning rate")
    images.add_argument("--train-limit", type=int, metavar="N", help="training images")
    images.add_argument("--compile", action="store_const", const=True, help="torch.compile")
    images.add_argument("--devices", type=int, metavar="N", help="that train a run together")
    images.add_argument("--workers", type=int, metavar="N", help="threads that decode ImageNet")
    images.add_argument("--jobs", type=int, metavar="N", help="runs at a time")
    images.add_argument("--runs", metavar="DIR", help="shared by figures (default runs/images)")
    add_place_options(parser)


def run(options: argparse.Namespace) -> None:
    """Computes a figure again."""
    check_name("reproduction", options.name, REPRODUCTIONS)
    need_extra()
    if options.name in FIGURES:
        _reproduce_images(options)
        return
    for name in ("scale", "depths", "epochs", "runs", "jobs", *_IMAGE_OPTIONS):
        if getattr(options, name) is not None:
            raise UsageError(f"{options.name} has no {name.replace('_', '-')}")
    from torchmomentum.experiments.data.folder import data_folder
    from torchmomentum.experiments.reproduce.run import reproduce, show

    out = Path(options.out or f"runs/{options.name}")
    results = reproduce(
        options.name,
        out,
        iterations=options.iterations,
        seeds=options.seeds,
        resume=options.resume,
        data=options.data,
        folder=data_folder(options.data_dir),
        offline=options.offline,
        quiet=options.quiet,
    )
    show(results)
    print(f"written to {out}: results.json, table.md, curves (PNG, SVG)")


def _reproduce_images(options: argparse.Namespace) -> None:
    if options.iterations is not None:
        raise UsageError(f"{options.name} has no iterations; give epochs")
    several = (options.devices or 1) > 1
    jobs = jobs_of(options, alone=several)
    if jobs > 1 and several:
        raise UsageError(f"jobs must be 1 with several devices, got {jobs}")
    try:
        depths = [int(depth) for depth in options.depths.split(",")] if options.depths else None
    except ValueError:
        raise UsageError(f"depths must be whole numbers, got {options.depths}") from None
    configs = plan(
        options.name,
        options.scale or "desk",
        data=options.data,
        depths=depths,
        epochs=options.epochs,
        seeds=options.seeds,
        changes={"threads": max(1, (os.cpu_count() or 1) // jobs)} | given(options, _IMAGE_OPTIONS),
    )
    from torchmomentum.experiments.reproduce.images import reproduce_images, show_images
    from torchmomentum.experiments.training import is_first_process

    place = replace(place_of(options, Path()), folder=Path(options.runs or "runs/images"))
    out = Path(options.out or f"runs/{options.name}")
    quiet = options.quiet or not is_first_process()
    results = reproduce_images(options.name, configs, place, out, jobs=jobs, quiet=quiet)
    if is_first_process():
        show_images(results)
        print(f"written to {out}: results.json, table.md, curves (PNG, SVG)")
