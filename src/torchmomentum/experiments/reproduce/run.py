"""Runs one reproduction by its name, and writes ``results.json``, ``table.md`` and a plot."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.files import read_json, write_json, write_text
from torchmomentum.experiments.provenance import provenance
from torchmomentum.experiments.reproduce.data import NAMES as DATA
from torchmomentum.experiments.reproduce.data import load
from torchmomentum.experiments.reproduce.parts import Parts
from torchmomentum.experiments.reproduce.report import markdown, plot, table
from torchmomentum.experiments.reproduce.slides import FIGURES, run_figure

RESULTS, PARTS = "results.json", "parts.json"


def reproduce(
    name: str,
    out: Path,
    *,
    iterations: int | None,
    seeds: int | None,
    resume: bool,
    data: str | None = None,
    folder: Path = Path(),
    offline: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Computes what a name stands for, or finds it done.

    Args:
        name: A name of the command line's list.
        out: The folder to write to.
        iterations: How many; None for the slides'.
        seeds: How many runs; None for the figure's own.
        resume: Takes what the folder holds where it is what is asked for.
        data: Of the logistic and the Bayesian figure, a name of :data:`~.data.NAMES`; None for the
            digits.
        folder: The data folder.
        offline: Does not download what is missing.
        quiet: Does not tell which runs are done.

    Raises:
        UsageError: A number below what is needed, or a folder that holds something else.
    """
    for what, value, least in (("iterations", iterations, 100), ("seeds", seeds, 1)):
        if value is not None and value < least:
            raise UsageError(f"{what} must be at least {least}, got {value}")
    place = out / RESULTS
    if place.exists():
        held: dict[str, Any] = read_json(place)
        same = held.get("name") == name and iterations in (None, held.get("iterations"))
        same = same and (name in FIGURES or held.get("data", DATA[0]) == (data or DATA[0]))
        if resume and same and seeds in (None, len(held["seeds"])):
            return held
        raise UsageError(f"{out} holds results already; give --resume or another --out")
    options = {"iterations": iterations, "seeds": seeds}
    given: dict[str, Any] = {k: v for k, v in options.items() if v is not None}
    settings = {"name": name, "data": data or DATA[0], "iterations": iterations}
    given["parts"] = Parts(out / PARTS, settings, resume)
    if not quiet:
        given["tell"] = partial(print, file=sys.stderr)
    if name in FIGURES:
        if data is not None:
            raise UsageError(f"{name} has no data")
        results = run_figure(name, **given)
    else:
        from torchmomentum.experiments.reproduce.bnn import run_bnn
        from torchmomentum.experiments.reproduce.logistic import run_logistic

        compute: Callable[..., dict[str, Any]] = run_bnn if name == "slides-bnn" else run_logistic
        images = load(data or DATA[0], folder, offline=offline)
        results = compute(images, **given)
        results["data"] = data or DATA[0]
    results["provenance"] = provenance(["torchmomentum", *sys.argv[1:]])
    plot(results, out)
    write_text(out / "table.md", markdown(results))
    write_json(place, results)  # last: it says that all is there
    (out / PARTS).unlink(missing_ok=True)
    return results


def show(results: dict[str, Any]) -> None:
    """Prints the table."""
    print(f"{results['name']}: {results['title']}, {results['quantity']}")
    print("\n".join(table(results)))
