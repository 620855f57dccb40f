"""Training and test loss against epochs, a pair of panels for each task, as in the papers."""

from __future__ import annotations

from pathlib import Path

from torchmomentum.experiments.report.canvas import new_grid, save
from torchmomentum.experiments.report.curves import draw_seeds
from torchmomentum.experiments.result import Results

# the MomentumRNN paper's colours, by the rule that a model's name begins with
_COLORS = {
    "momentum": "tab:blue",
    "adam": "tab:green",
    "rmsprop": "tab:orange",
    "sr": "tab:cyan",
    "released-sr": "tab:purple",
}
_OTHER = "tab:red"
_PANELS = {"train_loss": "training loss", "test_loss": "test loss"}


def color_of(model: str) -> str:
    """The colour of a model."""
    if "@" in model:
        return "tab:gray"  # with other settings than the published
    return next((c for rule, c in _COLORS.items() if model.startswith(f"{rule}-")), _OTHER)


def losses(results: Results, folder: Path) -> list[str]:
    """For each task and size the training loss on the left and the test loss on the right."""
    others = [axis for axis in results.axes if axis != "model"]
    trained = [arm for arm in results.arms() if any(run.curves for run in results.of(arm))]
    rows = list(dict.fromkeys(tuple(arm[axis] for axis in others) for arm in trained))
    figure, grid = new_grid(8.4, 3.2 * len(rows), len(rows), len(_PANELS))
    for row, pair in zip(rows, grid, strict=True):
        for (key, label), axes in zip(_PANELS.items(), pair, strict=True):
            for arm in trained:
                if tuple(arm[axis] for axis in others) == row:
                    name = arm["model"]
                    draw_seeds(axes, results.of(arm), key, color_of(name), name)
            axes.set_title(", ".join(map(str, row)), fontsize=10)
            axes.set_xlabel("epoch")
            axes.set_ylabel(label)
            axes.set_yscale("log")
            axes.grid(alpha=0.3)
            if axes.get_legend_handles_labels()[0]:
                axes.legend(fontsize=8)
    return [save(figure, folder / "losses")]
