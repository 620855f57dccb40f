"""``torchmomentum bench``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from torchmomentum.experiments.cli.options import Commands, need_extra, plan_runs
from torchmomentum.experiments.configuration import DEVICES
from torchmomentum.experiments.errors import UsageError, check_name

BENCHMARKS = (
    *("layers", "layers-bfloat16", "profile", "optim", "memory", "streaming", "papers"),
    *("time-to-accuracy", "gpu"),
)


def add(commands: Commands) -> None:
    """Adds the command to the parser."""
    bench = commands.add_parser("bench", help="measure speed and memory on this machine")
    bench.add_argument("kind", metavar="KIND", help=", ".join(BENCHMARKS))
    bench.add_argument(
        "--seconds", type=float, default=15.0, metavar="X", help="for each comparison (default 15)"
    )
    bench.add_argument(
        "--shape",
        action="append",
        metavar="T,B,I,H",
        help="of layers and memory, may be given again (default: the papers')",
    )
    bench.add_argument("--device", default="cpu", metavar="NAME", help=", ".join(DEVICES))
    bench.add_argument("--threads", type=int, metavar="N", help="CPU threads")
    accuracy = bench.add_argument_group("time-to-accuracy")
    accuracy.add_argument(
        "--results",
        type=Path,
        metavar="RESULTS.JSON",
        help="a recorded comparison (else it trains)",
    )
    accuracy.add_argument("--task", default="digits", metavar="NAME", help="default %(default)s")
    accuracy.add_argument("--models", default="lstm,rmsprop-lstm", metavar="A,B,...")
    accuracy.add_argument("--seeds", type=int, default=3, metavar="N", help="default %(default)s")
    accuracy.add_argument("--epochs", type=int, metavar="N", help="by default the task's")
    accuracy.add_argument(
        "--target", type=float, metavar="X", help="by default what the first model reaches always"
    )
    accuracy.add_argument("--resume", action="store_true", help="goes on from what --out holds")
    bench.set_defaults(preset="desk")  # as train and compare have it
    bench.add_argument("--out", default="runs/bench", metavar="DIR", help="default %(default)s")


def _shape(text: str) -> tuple[int, int, int, int]:
    try:
        time, batch, inputs, hidden = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"shape must be four numbers T,B,I,H, got {text}") from None
    if min(time, batch, inputs, hidden) < 1:
        raise UsageError(f"shape must be of positive numbers, got {text}")
    return time, batch, inputs, hidden


def run(options: argparse.Namespace) -> None:
    """Measures speed and memory, and writes what it found."""
    check_name("benchmark", options.kind, BENCHMARKS)
    check_name("device", options.device, DEVICES)
    if not options.seconds > 0:
        raise UsageError(f"seconds must be positive, got {options.seconds}")
    if options.threads is not None and options.threads < 1:
        raise UsageError(f"threads must be at least 1, got {options.threads}")
    shapes = [_shape(text) for text in options.shape or ()]
    import torch

    from torchmomentum.experiments.bench.run import run as measure
    from torchmomentum.experiments.bench.run import run_gpu

    if options.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device cuda: PyTorch sees no GPU here")
    if options.threads:
        torch.set_num_threads(options.threads)
    place = Path(options.out)
    if options.kind == "gpu":
        if options.device != "cuda":
            raise UsageError("the benchmark gpu needs --device cuda")
        run_gpu(seconds=options.seconds, device=options.device, out=place)
        return
    if options.kind == "time-to-accuracy":
        _bench_accuracy(options, place)
        return
    if options.kind == "profile":
        from torchmomentum.ops import available

        if options.device != "cpu" or not available():
            raise UsageError("the profile is that of the CPU kernels, which are not in use here")
    measure(options.kind, seconds=options.seconds, device=options.device, out=place, shapes=shapes)
    print(f"written to {place / options.kind}.json")


def _bench_accuracy(options: argparse.Namespace, out: Path) -> None:
    need_extra()
    from torchmomentum.experiments.bench.accuracy import time_to_accuracy
    from torchmomentum.experiments.bench.run import run_accuracy
    from torchmomentum.experiments.compare import compare
    from torchmomentum.experiments.data.folder import data_folder
    from torchmomentum.experiments.files import read_json
    from torchmomentum.experiments.training import Place

    if options.results is not None:
        try:
            results = read_json(options.results)
            row = time_to_accuracy(results, options.target)
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise UsageError(f"{options.results} holds no recorded comparison: {error}") from error
    else:
        configs = plan_runs(options, options.threads or os.cpu_count() or 1)
        folder = out / "time-to-accuracy"
        place = Place(folder, data_folder(None), resume=options.resume)
        row = time_to_accuracy(compare(configs, place), options.target)
    run_accuracy(row, device=options.device, out=out)
    print(f"written to {out / 'time-to-accuracy'}.json")
