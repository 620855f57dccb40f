"""An image figure's table and plot, from its results alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torchmomentum.experiments.images.recipes import JPEG
from torchmomentum.experiments.plots import new_axes, save
from torchmomentum.experiments.statistics import mean_and_std, paired_difference

COLUMNS = (
    *("optimizer", "depth", "epochs", "last error, %", "best error, %"),
    *("difference from SGD [95 % interval]", "seconds of training"),
)
_NAMES = {"sgd": "SGD", "srsgd-linear": "SRSGD, linear", "srsgd-exponential": "SRSGD, exponential"}
Variant = tuple[str, int, int]  # optimizer, depth, epochs


def variants(results: dict[str, Any]) -> dict[Variant, list[dict[str, Any]]]:
    """The runs of each optimizer, depth and number of epochs, in the order of the seeds."""
    found: dict[Variant, list[dict[str, Any]]] = {}
    for run in sorted(results["runs"], key=lambda run: run["config"]["init_seed"]):
        c = run["config"]
        found.setdefault((c["optimizer"], c["depth"], c["epochs"]), []).append(run)
    return found


def _errors(runs: list[dict[str, Any]], key: str) -> list[float]:
    return [100 * run["summary"][key] for run in runs if not run["diverged"]]


def _spread(values: list[float]) -> str:
    if not values:
        return "-"
    mean, std = mean_and_std(values)
    return f"{mean:.2f}" if std is None else f"{mean:.2f} ± {std:.2f}"


def _difference(runs: list[dict[str, Any]], baseline: list[dict[str, Any]]) -> str:
    pairs = [
        (run, other)
        for run, other in zip(runs, baseline, strict=False)
        if not (run["diverged"] or other["diverged"])
    ]
    if not pairs:
        return "-"
    ours, theirs = (_errors(list(side), "last") for side in zip(*pairs, strict=True))
    d = paired_difference(ours, theirs)
    if d.low is None or d.high is None:
        return f"{d.mean:+.2f}"
    verdict = "not separable"
    if d.separable:
        verdict = "better" if d.mean < 0 else "worse"
    return f"{d.mean:+.2f} [{d.low:+.2f}, {d.high:+.2f}], {verdict}"


def table(results: dict[str, Any]) -> list[list[str]]:
    """The rows, as words in the order of :data:`COLUMNS`.

    A difference is that of the last errors, seed by seed, from SGD of the same depth in its longest
    training.
    """
    found = variants(results)
    most = {depth: max(e for o, d, e in found if (o, d) == ("sgd", depth)) for _, depth, _ in found}
    rows = []
    for (optimizer, depth, epochs), runs in found.items():
        baseline = found["sgd", depth, most[depth]]
        name, ended = _NAMES[optimizer], [run for run in runs if not run["diverged"]]
        if len(ended) < len(runs):
            name += f" (diverged: {len(runs) - len(ended)} of {len(runs)})"
        seconds = [run["train_seconds"] for run in runs]
        rows.append(
            [
                name,
                str(depth),
                str(epochs),
                _spread(_errors(runs, "last")),
                _spread(_errors(runs, "best")),
                "baseline" if runs is baseline else _difference(runs, baseline),
                f"{sum(seconds) / len(seconds):.0f}",
            ]
        )
    return rows


def table_lines(results: dict[str, Any]) -> list[str]:
    """The table in Markdown."""
    lines = (COLUMNS, ["---"] * len(COLUMNS), *table(results))
    return [f"| {' | '.join(line)} |" for line in lines]


def heading(results: dict[str, Any]) -> str:
    """What was trained, and on which images."""
    task, recipe = results["runs"][0]["config"]["task"], results["recipe"]
    found = f"{results['title']} on {task}"
    return found if task in (recipe, f"{recipe}-jpeg") else f"{found}, which stands in for {recipe}"


def markdown(results: dict[str, Any]) -> str:
    """The table with where it comes from."""
    o, first = results["provenance"], results["runs"][0]["config"]
    limit = first["train_limit"]
    images = "all training images" if limit is None else f"{limit:,} training images"
    restarts = "; ".join(
        f"{_NAMES[optimizer]}: {', '.join(map(str, run[0]['config']['restarts']))}"
        for optimizer, run in {key[0]: runs for key, runs in variants(results).items()}.items()
        if optimizer != "sgd"
    )
    note = " (JPEG-encoded again, so the pixels differ from CIFAR-10's)" * (first["task"] == JPEG)
    seeds = ", ".join(map(str, results["seeds"]))
    origin = (
        f"{heading(results)}{note}; scale {results['preset']}: {images}, batch "
        f"{first['batch_size']}, learning rate {first['lr']:g}, {first['precision']}; steps "
        f"between restarts: {restarts}; `{o['command']}`; seeds {seeds}, mean ± standard "
        f"deviation; {o['cpu']}, {o['gpu'] or 'no GPU'}, {first['threads']} thread(s) a run, torch "
        f"{o['torch']}, {o['date'][:10]}."
    )
    return "\n".join([origin, "", *table_lines(results)]) + "\n"


def _curves(axes: Any, results: dict[str, Any]) -> None:
    for number, ((optimizer, depth, epochs), runs) in enumerate(variants(results).items()):
        ended = [run for run in runs if not run["diverged"]]
        if not ended:
            continue
        at = [record["epoch"] for record in ended[0]["history"]]
        errors = [[100 * record["test_metric"] for record in run["history"]] for run in ended]
        for each in errors:
            axes.plot(at, each, color=f"C{number}", alpha=0.3, linewidth=0.8)
        mean = [sum(values) / len(values) for values in zip(*errors, strict=True)]
        label = f"{_NAMES[optimizer]}, depth {depth}, {epochs} epochs"
        axes.plot(at, mean, color=f"C{number}", linewidth=2, label=label)
    axes.set_xlabel("epoch")


def _ends(axes: Any, results: dict[str, Any], axis: str) -> None:
    """The last errors by depth or by epochs, the other told in the label where it varies."""
    which, other = (1, 2) if axis == "depth" else (2, 1)
    found = {key: _errors(runs, "last") for key, runs in variants(results).items()}
    lines = sorted({(key[0], key[other]) for key in found})
    for number, (optimizer, fixed) in enumerate(lines):
        points = sorted(
            (key[which], mean_and_std(errors))
            for key, errors in found.items()
            if (key[0], key[other]) == (optimizer, fixed) and errors
        )
        told = f"{fixed} epochs" if axis == "depth" else f"depth {fixed}"
        axes.errorbar(
            [at for at, _ in points],
            [mean for _, (mean, _) in points],
            [std or 0.0 for _, (_, std) in points],
            color=f"C{number}",
            marker="o",
            capsize=3,
            label=f"{_NAMES[optimizer]}, {told}",
        )
    axes.set_xlabel(axis)


def plot(results: dict[str, Any], folder: Path) -> None:
    """Draws the test error against the figure's axis, as PNG and SVG."""
    figure, axes = new_axes(7, 4.4)
    if results["axis"] == "epoch":
        _curves(axes, results)
    else:
        _ends(axes, results, results["axis"])
    axes.set_ylabel("test error, %")
    axes.set_title(heading(results), fontsize=10)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:  # not all runs diverged
        axes.legend(fontsize=8)
    save(figure, folder / "curves")
