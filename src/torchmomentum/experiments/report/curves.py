"""Learning curves of trainings: each seed thin, their mean bold; and where they end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.canvas import marker, new_axes, save
from torchmomentum.experiments.report.errors import NAMES, heading, percent
from torchmomentum.experiments.report.series import series
from torchmomentum.experiments.report.statistics import mean_and_std
from torchmomentum.experiments.result import Result, Results, ended

_CURVES = {"test_metric": "test {metric}", "train_loss": "training loss"}


def draw_seeds(
    axes: Any, runs: Sequence[Result], key: str, color: str, name: str, scale: float = 1.0
) -> None:
    """The runs of an arm that came to their end thin, and their mean bold."""
    if not ended(runs):
        return
    found = series(ended(runs), "epoch", key, scale)
    mark = marker(len(found.x))
    for epochs, curve in found.each:
        axes.plot(epochs, curve, color=color, alpha=0.25, linewidth=0.8, marker=mark)
    axes.plot(found.x, found.mean, color=color, linewidth=2, marker=mark, label=name)


def _draw_arms(axes: Any, results: Results, key: str, scale: float = 1.0) -> None:
    for number, arm in enumerate(results.arms()):
        name = words.arm_name(results, arm)
        draw_seeds(axes, results.of(arm), key, f"C{number}", name, scale)
    axes.set_xlabel("epoch")


def positive(results: Results, key: str) -> bool:
    """Whether a quantity can be drawn on a logarithmic axis."""
    return all(value > 0 for run in ended(results.runs) for value in run.curves.get(key, ()))


def learning_curves(results: Results, folder: Path) -> list[str]:
    """The test metric and the training loss against epochs."""
    names = []
    for key, label in _CURVES.items():
        figure, axes = new_axes(7, 4.2)
        _draw_arms(axes, results, key)
        if not results.higher_is_better and positive(results, key):
            axes.set_yscale("log")
        axes.set_ylabel(label.format(metric=results.metric))
        axes.set_title(f"{results.study}, {words.seed_count(results)}")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:  # not all runs diverged
            axes.legend()
        names.append(save(figure, folder / key))
    return names


class Ends(NamedTuple):
    """Where trainings end, along an axis.

    Attributes:
        name: The line.
        optimizer: Whose it is.
        at: The values of the axis.
        means: Of the last errors, in percent.
        deviations: Over seeds; 0 for one.
    """

    name: str
    optimizer: str
    at: list[float]
    means: list[float]
    deviations: list[float]


def ends(results: Results) -> Iterator[Ends]:
    """The last errors by depth or by epochs, the other told in the name."""
    axis = results.view["axis"]
    other = "epochs" if axis == "depth" else "depth"
    lines = sorted({(arm["optimizer"], arm[other]) for arm in results.arms()})
    for optimizer, fixed in lines:
        arms = [a for a in results.arms() if (a["optimizer"], a[other]) == (optimizer, fixed)]
        found = [(arm[axis], percent(results.of(arm), "last")) for arm in arms]
        points = sorted((at, mean_and_std(each)) for at, each in found if each)
        told = f"{fixed} epochs" if axis == "depth" else f"depth {fixed}"
        yield Ends(
            f"{NAMES[optimizer]}, {told}",
            optimizer,
            [at for at, _ in points],
            [mean for _, (mean, _) in points],
            [std or 0.0 for _, (_, std) in points],
        )


def errors(results: Results, folder: Path) -> list[str]:
    """The test error against the figure's axis: epoch, depth or epochs."""
    figure, axes = new_axes(7, 4.4)
    if results.view["axis"] == "epoch":
        _draw_arms(axes, results, "test_metric", 100.0)
    else:
        for number, (name, _, *points) in enumerate(ends(results)):
            axes.errorbar(*points, color=f"C{number}", marker="o", capsize=3, label=name)
        axes.set_xlabel(results.view["axis"])
    axes.set_ylabel("test error, %")
    axes.set_title(heading(results), fontsize=10)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
    return [save(figure, folder / "curves")]
