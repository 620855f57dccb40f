"""Trains what an image figure compares, and writes its results, its table and its plot."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torchmomentum.experiments.compare import run_all
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.files import read_json, write_json, write_text
from torchmomentum.experiments.images.figures import FIGURES, recipe_of
from torchmomentum.experiments.images.recipes import ImageConfig
from torchmomentum.experiments.images.report import heading, markdown, plot, table_lines
from torchmomentum.experiments.provenance import provenance
from torchmomentum.experiments.training import Place, is_first_process

RESULTS = "results.json"


def reproduce_images(
    name: str, configs: Sequence[ImageConfig], place: Place, out: Path, *, jobs: int, quiet: bool
) -> dict[str, Any]:
    """Trains a figure's runs, those that are finished already excepted.

    Args:
        name: A key of :data:`~torchmomentum.experiments.images.figures.FIGURES`.
        configs: The runs.
        place: Where runs lie. Figures share them: a run that is there is taken or gone on with.
        out: The folder for ``results.json``, ``table.md`` and the plot.
        jobs: Runs at a time.
        quiet: Shows no progress.

    Raises:
        UsageError: ``out`` holds results and ``place`` does not say to resume, or data is missing.
    """
    first = configs[0]
    if (out / RESULTS).exists() and is_first_process():
        held = read_json(out / RESULTS)
        theirs = [held.get("name"), held.get("preset")]
        theirs += {run["config"]["task"] for run in held.get("runs", [])}
        if not place.resume or theirs != [name, first.preset, first.task]:
            raise UsageError(f"{out} holds results already; give --resume or another --out")
    shared = place.folder / first.task / first.preset
    runs = run_all(configs, replace(place, folder=shared, resume=True), jobs=jobs, quiet=quiet)
    results: dict[str, Any] = {
        "name": name,
        "title": FIGURES[name].title,
        "axis": FIGURES[name].axis,
        "recipe": recipe_of(name, first.task),
        "preset": first.preset,
        "seeds": sorted({config.init_seed for config in configs}),
        "images": True,
        "runs": runs,
        "provenance": provenance(["torchmomentum", *sys.argv[1:]]),
    }
    if is_first_process():
        plot(results, out)
        write_text(out / "table.md", markdown(results))
        write_json(out / RESULTS, results)  # last: it says that all is there
    return results


def show_images(results: dict[str, Any]) -> None:
    """Prints the table."""
    print(f"{results['name']}: {heading(results)}")
    print("\n".join(table_lines(results)))
