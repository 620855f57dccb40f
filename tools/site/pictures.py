"""Draws the pictures of docs/idea.md, from the rules: ``python -m tools.site.pictures``."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import torch

import torchmomentum as tm

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
RULES = {
    "no rule": tm.nn.Gain(1.0),
    "Momentum(0.6)": tm.nn.Momentum(0.6, 1.0),
    "Nesterov(restart=10)": tm.nn.Nesterov(1.0, restart=10),
    "RMSProp": tm.nn.RMSProp(1.0, 0.9),
    "Adam(0.6)": tm.nn.Adam(0.6, 1.0, 0.9),
}


def _draw(name: str, drives: torch.Tensor, title: str) -> None:
    figure, axes = plt.subplots(2, 3, figsize=(7, 3.6), sharex=True, sharey=True)
    axes.flat[-1].remove()
    for axis, (label, rule) in zip(axes.flat, RULES.items(), strict=False):
        with torch.no_grad():
            values, _ = rule.scan(drives.view(-1, 1, 1))
        axis.plot(drives, color="0.7", lw=1)
        axis.plot(values.flatten(), lw=1.6)
        axis.set_title(label, fontsize=9)
        axis.tick_params(labelsize=7, labelbottom=True)
    figure.supxlabel("step", fontsize=8)
    figure.supylabel(title, fontsize=8)
    figure.tight_layout()
    figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


def _coefficients() -> None:
    figure, axis = plt.subplots(figsize=(6, 2.2))
    steps = torch.arange(160)
    for restart in (20, 40, None):
        label = "never restarted" if restart is None else f"restarted every {restart}"
        axis.plot(steps, tm.schedules.nesterov_momentum(steps, restart), label=label, lw=1.4)
    axis.set_xlabel("step", fontsize=8)
    axis.set_ylabel("momentum", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(FOLDER / "coefficients.svg", metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Draws all of them."""
    matplotlib.rcParams["svg.hashsalt"] = "torchmomentum"
    FOLDER.mkdir(exist_ok=True)
    drives = torch.zeros(40)
    drives[5] = 1.0
    _draw("impulse", drives, "what the cell reads")
    torch.manual_seed(0)
    scale = torch.where(torch.arange(60) < 30, 0.1, 2.0)
    _draw("scale", torch.randn(60) * scale, "what the cell reads")
    _coefficients()


if __name__ == "__main__":
    main()
