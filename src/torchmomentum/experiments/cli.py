"""The command line, ``torchmomentum``. It imports torch only once there is something to do."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from torchmomentum import __version__
from torchmomentum.experiments.configuration import (
    DEVICES,
    PRECISIONS,
    RunConfig,
    resolve,
    rule_of,
)
from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.images.figures import FIGURES, plan
from torchmomentum.experiments.images.recipes import DATA, SCALES
from torchmomentum.experiments.recipes import (
    HYPERPARAMETERS,
    MODELS,
    OPTIMIZERS,
    PRESETS,
    RECIPES,
    TASKS,
    recipe,
)

if TYPE_CHECKING:
    from torchmomentum.experiments.training import Place

COMMANDS = ("train", "compare", "reproduce", "bench", "report", "list")
REPRODUCTIONS = (
    *("slides-quadratic", "slides-noise-decaying", "slides-noise-constant"),
    *("slides-restart-frequency", "slides-logistic", "slides-bnn"),
    *FIGURES,
)
BENCHMARKS = (
    *("layers", "layers-bfloat16", "profile", "optim", "memory", "streaming", "papers"),
    *("time-to-accuracy", "gpu"),
)
_RULE_OPTIONS = ("mu", "step_size", "beta", "eps", "restart")
_OVERRIDES = (
    *("epochs", "steps", "batch_size", "lr", "optimizer", "hidden_size", "clip", "length"),
    *("order_seed", "init_seed", "permutation_seed", "device", "precision", "threads"),
    *_RULE_OPTIONS,
)


class _Parser(argparse.ArgumentParser):
    """Errors are one line and exit with 2; options are not abbreviated."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def _add_recipe_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("recipe (by default the task's, see 'torchmomentum list')")
    group.add_argument(
        "--preset", default="desk", metavar="NAME", help=f"scale: {', '.join(PRESETS)}"
    )
    group.add_argument("--epochs", type=int, metavar="N", help="passes over the training data")
    group.add_argument("--steps", type=int, metavar="N", help="training steps (generated tasks)")
    group.add_argument("--batch-size", type=int, metavar="N", help="samples in a batch")
    group.add_argument("--hidden-size", type=int, metavar="N", help="hidden units")
    group.add_argument("--length", type=int, metavar="N", help="steps of adding; blanks of copying")
    group.add_argument("--optimizer", metavar="NAME", help=", ".join(OPTIMIZERS))
    group.add_argument("--lr", type=float, metavar="X", help="learning rate")
    group.add_argument("--clip", type=float, metavar="X", help="largest norm of the gradient")
    rule = parser.add_argument_group("momentum rule")
    rule.add_argument("--mu", type=float, metavar="X", help="momentum, in [0, 1)")
    rule.add_argument("--step-size", type=float, metavar="X", help="step size, positive")
    rule.add_argument("--beta", type=float, metavar="X", help="second moment kept, in [0, 1)")
    rule.add_argument(
        "--eps", type=float, metavar="X", help="added to the root of the second moment"
    )
    rule.add_argument("--restart", type=int, metavar="N", help="steps between restarts")


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    seeds = parser.add_argument_group("seeds")
    seeds.add_argument(
        "--permutation-seed", type=int, metavar="N", help="pixels' order (default 0)"
    )
    _add_place_options(parser)


def _add_place_options(parser: argparse.ArgumentParser) -> None:
    run = parser.add_argument_group("run")
    run.add_argument("--device", metavar="NAME", help=f"{', '.join(DEVICES)} (default cpu)")
    run.add_argument("--precision", metavar="NAME", help=f"{', '.join(PRECISIONS)} (autocast)")
    run.add_argument("--threads", type=int, metavar="N", help="CPU threads of a run")
    run.add_argument("--data-dir", metavar="DIR", help="data folder (or TORCHMOMENTUM_DATA)")
    run.add_argument("--offline", action="store_true", help="do not download missing data")
    run.add_argument("--out", metavar="DIR", help="where to write (default runs/...)")
    run.add_argument("--resume", action="store_true", help="go on with what --out holds")
    run.add_argument(
        "--checkpoint-every", type=int, default=100, metavar="N", help="steps between checkpoints"
    )
    run.add_argument("--quiet", action="store_true", help="no progress bars")


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
    _add_place_options(parser)


def _parser() -> _Parser:
    parser = _Parser(
        prog="torchmomentum",
        description="Trains recurrent nets with and without momentum, and says which is better.",
        epilog=f"Tasks: {', '.join(TASKS)}. Models: {', '.join(MODELS)}.",
    )
    parser.add_argument("--version", action="version", version=f"torchmomentum {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    train = commands.add_parser("train", help="train one model on one task")
    train.add_argument("task", metavar="TASK", help=", ".join(TASKS))
    train.add_argument("--model", required=True, metavar="NAME", help=", ".join(MODELS))
    train.add_argument(
        "--seed", type=int, default=0, metavar="N", help="for order and initialization"
    )
    _add_recipe_options(train)
    _add_run_options(train)
    train.add_argument("--order-seed", type=int, metavar="N", help="data order alone")
    train.add_argument("--init-seed", type=int, metavar="N", help="initialization alone")

    compare = commands.add_parser("compare", help="train several models over several seeds")
    compare.add_argument("task", metavar="TASK", help=", ".join(TASKS))
    compare.add_argument(
        "--models",
        default="lstm,momentum-lstm,adam-lstm,rmsprop-lstm,sr-lstm",
        metavar="A,B,...",
        help="the first is the baseline (default %(default)s)",
    )
    compare.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="seeds 0 to N-1 (default 3)"
    )
    compare.add_argument(
        "--jobs", type=int, metavar="N", help="runs at a time (default: one for each CPU core)"
    )
    _add_recipe_options(compare)
    _add_run_options(compare)

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

    report = commands.add_parser("report", help="show recorded results again")
    report.add_argument("results", metavar="RESULTS.JSON", type=Path)
    report.add_argument(
        "--into", metavar="FILE", type=Path, help="a document with the marks of --mark"
    )
    report.add_argument("--mark", default="results", metavar="NAME", help="<!-- NAME:begin --> ...")

    commands.add_parser("list", help="list tasks, models and recipes")
    return parser


def _option_names(parser: argparse.ArgumentParser, command: str | None) -> list[str]:
    names = list(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) and command:
            names += action.choices[command]._option_string_actions
    return names


def _overrides(options: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(options, name, None) for name in _OVERRIDES}


def _place(options: argparse.Namespace, folder: Path) -> Place:
    from torchmomentum.experiments.data.folder import data_folder
    from torchmomentum.experiments.training import Place

    if options.checkpoint_every < 1:
        raise UsageError(f"checkpoint-every must be at least 1, got {options.checkpoint_every}")
    return Place(
        folder=Path(options.out) if options.out else folder,
        data=data_folder(options.data_dir),
        offline=options.offline,
        resume=options.resume,
        checkpoint_every=options.checkpoint_every,
    )


def _need_extra() -> None:
    """Asks whether the extra is installed, without importing it: that takes seconds."""
    for name in ("lightning", "matplotlib", "rich", "sklearn"):
        if find_spec(name) is None:
            raise UsageError(f"{name} is missing: pip install 'torchmomentum[experiments]'")


def _train(options: argparse.Namespace) -> None:
    config = resolve(
        options.task,
        options.model,
        preset=options.preset,
        seed=options.seed,
        overrides={"threads": os.cpu_count() or 1} | _given(_overrides(options)),
    )
    _need_extra()
    from torchmomentum.experiments.progress import RunsProgress
    from torchmomentum.experiments.training import RESULT, check, train

    check(config)
    place = _place(options, Path("runs") / config.task / config.model / f"seed-{config.init_seed}")
    with RunsProgress(1, quiet=options.quiet) as bars:
        result = train(
            config, place, lambda words, step, steps: bars.update(config.model, words, step, steps)
        )
        found = result["summary"]
        bars.finish(config.model, f"trained {result['train_seconds']:.0f} s")
    print(
        f"{config.task} {config.model}: test {result['metric']} {found['chosen']:.4f} at the epoch "
        f"chosen on validation ({found['chosen_epoch']}), best {found['best']:.4f}, "
        f"last {found['last']:.4f}"
    )
    print(f"written to {place.folder / RESULT}")


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _plan(options: argparse.Namespace, threads: int) -> list[RunConfig]:
    models = [name.strip() for name in options.models.split(",") if name.strip()]
    for name in models:
        check_name("model", name, MODELS)
    if not models:
        raise UsageError("models needs at least one name")
    if len(set(models)) < len(models):
        raise UsageError(f"models names one twice: {options.models}")
    if options.seeds < 1:
        raise UsageError(f"seeds must be at least 1, got {options.seeds}")
    overrides = {"threads": threads} | _given(_overrides(options))
    had = {name for model in models for name in HYPERPARAMETERS.get(rule_of(model) or "", ())}
    for name in _RULE_OPTIONS:
        if name in overrides and name not in had:
            raise UsageError(f"none of {options.models} has {name}")
    return [
        resolve(
            options.task,
            model,
            preset=options.preset,
            seed=seed,
            overrides=overrides,
            ignore_unused_rule_options=True,
        )
        for seed in range(options.seeds)
        for model in models
    ]


def _compare(options: argparse.Namespace) -> None:
    cores = os.cpu_count() or 1
    jobs = options.jobs
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs must be at least 1, got {jobs}")
    if jobs is None:
        jobs = 1 if options.device == "cuda" else max(1, cores // (options.threads or 1))
    configs = _plan(options, max(1, cores // jobs))
    _need_extra()
    from torchmomentum.experiments.compare import compare

    place = _place(options, Path("runs") / options.task)
    command = ["torchmomentum", *sys.argv[1:]]
    results = compare(configs, place, jobs=jobs, quiet=options.quiet, command=command)
    _show(results)
    print(f"written to {place.folder}: results.json, summary.md, learning curves (PNG, SVG)")


def _show(results: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from torchmomentum.experiments.report import COLUMNS, caption, table

    shown = Table(title=f"{results['task']}: {results['title']}", caption=caption(results))
    for number, name in enumerate(COLUMNS):
        shown.add_column(name, justify="left" if number in (0, 5) else "right", no_wrap=number < 6)
    for row in table(results):
        shown.add_row(*row)
    console = Console()
    # a table cut off by a narrow terminal or a pipe would hide the interval
    Console(width=max(console.width, 150)).print(shown)


def _shape(text: str) -> tuple[int, int, int, int]:
    try:
        time, batch, inputs, hidden = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"shape must be four numbers T,B,I,H, got {text}") from None
    if min(time, batch, inputs, hidden) < 1:
        raise UsageError(f"shape must be of positive numbers, got {text}")
    return time, batch, inputs, hidden


def _bench(options: argparse.Namespace) -> None:
    check_name("benchmark", options.kind, BENCHMARKS)
    check_name("device", options.device, DEVICES)
    if not options.seconds > 0:
        raise UsageError(f"seconds must be positive, got {options.seconds}")
    if options.threads is not None and options.threads < 1:
        raise UsageError(f"threads must be at least 1, got {options.threads}")
    shapes = [_shape(text) for text in options.shape or ()]
    import torch

    from torchmomentum.experiments.bench.run import run, run_gpu

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
    run(options.kind, seconds=options.seconds, device=options.device, out=place, shapes=shapes)
    print(f"written to {place / options.kind}.json")


_IMAGE_OPTIONS = (
    *("batch_size", "lr", "train_limit", "compile", "device", "devices", "precision", "threads"),
    "workers",
)


def _reproduce(options: argparse.Namespace) -> None:
    check_name("reproduction", options.name, REPRODUCTIONS)
    _need_extra()
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
    cores = os.cpu_count() or 1
    jobs = options.jobs
    if jobs is None:
        alone = options.device == "cuda" or (options.devices or 1) > 1
        jobs = 1 if alone else max(1, cores // (options.threads or 1))
    if jobs < 1:
        raise UsageError(f"jobs must be at least 1, got {jobs}")
    if jobs > 1 and (options.devices or 1) > 1:
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
        changes={"threads": max(1, cores // jobs)}
        | _given({name: getattr(options, name) for name in _IMAGE_OPTIONS}),
    )
    from torchmomentum.experiments.reproduce.images import reproduce_images, show_images
    from torchmomentum.experiments.training import is_first_process

    place = _place(options, Path())
    place = replace(place, folder=Path(options.runs or "runs/images"))
    out = Path(options.out or f"runs/{options.name}")
    quiet = options.quiet or not is_first_process()
    results = reproduce_images(options.name, configs, place, out, jobs=jobs, quiet=quiet)
    if is_first_process():
        show_images(results)
        print(f"written to {out}: results.json, table.md, curves (PNG, SVG)")


def _bench_accuracy(options: argparse.Namespace, out: Path) -> None:
    _need_extra()
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
        configs = _plan(options, options.threads or os.cpu_count() or 1)
        folder = out / "time-to-accuracy"
        place = Place(folder, data_folder(None), resume=options.resume)
        row = time_to_accuracy(compare(configs, place), options.target)
    run_accuracy(row, device=options.device, out=out)
    print(f"written to {out / 'time-to-accuracy'}.json")


def _report(options: argparse.Namespace) -> None:
    from torchmomentum.experiments.bench.report import markdown
    from torchmomentum.experiments.files import read_json
    from torchmomentum.experiments.images.report import markdown as trained
    from torchmomentum.experiments.report import insert, markdown_table
    from torchmomentum.experiments.reproduce.report import markdown as reproduced

    try:
        results = read_json(options.results)
        if "methods" in results:
            text = reproduced(results)
        elif "images" in results:
            text = trained(results)
        else:
            text = markdown(results) if "kind" in results else markdown_table(results)
    except FileNotFoundError as error:
        raise UsageError(f"{options.results} does not exist") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UsageError(f"{options.results} holds no recorded results: {error}") from error
    if options.into is None:
        print(text)
    else:
        insert(options.into, options.mark, text)


def _list(options: argparse.Namespace) -> None:
    for task in TASKS:
        for preset in PRESETS:
            shown = recipe(task, preset)
            length = "" if shown.length is None else f", length {shown.length}"
            print(
                f"{task} --preset {preset}: {shown.title}{length}; {shown.optimizer} "
                f"lr {shown.lr:g}, batch {shown.batch_size}, {shown.epochs} epochs, "
                f"hidden {shown.hidden_size}"
            )
        for rule, values in RECIPES[task][0].rules.items():
            print(f"    {rule}: {', '.join(f'{k}={v}' for k, v in values.items())}")
    print(f"models: {', '.join(MODELS)}")
    for name, figure in FIGURES.items():
        for scale in SCALES:
            runs = plan(name, scale)
            depths, epochs, optimizers = (
                ", ".join(dict.fromkeys(str(getattr(run, key)) for run in runs))
                for key in ("depth", "epochs", "optimizer")
            )
            print(
                f"reproduce {name} --scale {scale}: {figure.title} on {figure.recipe}; "
                f"{optimizers}; depth {depths}; {epochs} epochs; {len(runs)} runs"
            )


def _run(arguments: Sequence[str]) -> None:
    if arguments and not arguments[0].startswith("-"):
        check_name("command", arguments[0], COMMANDS)
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        check_name("option", unknown[0].partition("=")[0], _option_names(parser, options.command))
    actions = {
        "train": _train,
        "compare": _compare,
        "reproduce": _reproduce,
        "bench": _bench,
        "report": _report,
        "list": _list,
    }
    if options.command is None:
        parser.print_help()
        return
    actions[options.command](options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code: 0, 2 for a wrong use, 130 when interrupted."""
    # torch's profiler, which measures memory, announces itself otherwise
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        _run(sys.argv[1:] if arguments is None else arguments)
    except UsageError as error:
        print(f"torchmomentum: error: {error}", file=sys.stderr)
        return 2
    except (OSError, MemoryError, BrokenExecutor) as error:
        words = str(error) or type(error).__name__
        print(f"torchmomentum: error: {words.splitlines()[0]}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if "not enough memory" not in str(error) and "out of memory" not in str(error):
            raise
        print("torchmomentum: error: not enough memory; make the model smaller", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("torchmomentum: interrupted; give --resume to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
