"""Runs a study: all its runs, then its results, its table and its figure."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torchmomentum.experiments.engine.compute import begun, forget
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.engine.pool import compute_all
from torchmomentum.experiments.engine.processes import is_first_process
from torchmomentum.experiments.engine.provenance import provenance
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.files import read_json, write_json, write_text
from torchmomentum.experiments.registry import FIGURES, TABLES, attribute
from torchmomentum.experiments.report.document import document
from torchmomentum.experiments.report.named import draw
from torchmomentum.experiments.result import Result, Results
from torchmomentum.experiments.study import Run, Study

RESULTS, TABLE = "results.json", "table.md"


def load_results(path: Path) -> Results:
    """The results of a study, from their file or from its folder.

    Raises:
        UsageError: There is none, or it holds something else.
    """
    file = path / RESULTS if path.is_dir() else path
    try:
        return Results.from_dict(read_json(file), str(file))
    except FileNotFoundError as error:
        raise UsageError(f"{file} does not exist") from error
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise UsageError(f"{file} is not a torchmomentum results file: {error}") from error


def _subjects(recipes: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the runs are of: tasks, or images."""
    found = (recipe.get("task") or recipe.get("data") for recipe in recipes)
    return sorted({subject for subject in found if subject is not None})


def check_out(
    study: Study, scale: str, runs: Sequence[Run], place: Place, out: Path, resume: bool
) -> None:
    """Rejects a folder that holds other results, or these where nobody said to go on.

    Raises:
        UsageError: It does.
    """
    if not is_first_process():  # the first has begun since
        return
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; give another --out")
    if (out / RESULTS).exists():
        held = load_results(out)
        ours, theirs = (
            [study.name, scale, *_subjects(run.recipe.to_dict() for run in runs)],
            [held.study, held.scale, *_subjects(run.recipe for run in held.runs)],
        )
        if ours != theirs:
            raise UsageError(
                f"{out} holds results of {', '.join(theirs)}, not of {', '.join(ours)}; "
                "give another --out"
            )
        if not resume:
            raise UsageError(f"{out} holds results already; give --resume or another --out")
    started = any(begun(run.recipe, place) for run in runs)
    if started and not resume and place.runs.parent == out:
        raise UsageError(
            f"{out} holds runs of this study; give --resume to go on, or another --out"
        )


def gather(study: Study, scale: str, runs: Sequence[Run], found: dict[str, Result]) -> Results:
    """A study's results, from those of its runs."""
    note = study.edition(scale)[1].note if study.scales else ""
    results = [
        Result.from_dict(
            {**found[run.recipe.key].to_dict(), "arm": run.arm, "seed": run.seed}, study.name
        )
        for run in runs
    ]
    axes = {name: list(dict.fromkeys(run.arm[name] for run in runs)) for name in runs[0].arm}
    return Results(
        study=study.name,
        title=study.title,
        scale=scale,
        axes=axes,
        seeds=sorted({run.seed for run in runs}),
        metric=study.metric,
        higher_is_better=study.higher_is_better,
        table=study.table,
        figure=study.figure,
        view={**study.view, **({"note": note} if note else {})},
        runs=results,
        jobs=1,
        provenance={},
    )


def write_results(results: Results, out: Path) -> None:
    """Writes a study's figure, its table and, last, its results."""
    draw(results, out)
    write_text(out / TABLE, document(results))
    write_json(out / RESULTS, results.to_dict())


def run_study(
    study: Study,
    runs: Sequence[Run],
    place: Place,
    out: Path,
    *,
    scale: str = "paper",
    jobs: int = 1,
    resume: bool = False,
    fresh: bool = False,
    quiet: bool = False,
    command: list[str] | None = None,
) -> Results:
    """Computes a study's runs, those that are done excepted, and writes what came of them.

    Into ``out``: ``results.json``, ``table.md`` and the figures as PNG and SVG.

    Args:
        study: What it is.
        runs: Of :meth:`~.study.Study.plan`.
        place: Where runs lie; studies that share the folder share their runs.
        out: The folder for what came of them.
        scale: The name of the edition.
        jobs: Runs at a time.
        resume: Goes on from what ``out`` holds.
        fresh: Computes what is done already anew, as a measurement is.
        quiet: Shows no progress.
        command: The command line, for the provenance.

    Raises:
        UsageError: ``out`` holds something else, a setting cannot be run here, or data is missing.
    """
    TABLES.find(study.table)  # an unknown name is told before hours of computing
    if study.figure is not None:
        FIGURES.find(study.figure)
    check_out(study, scale, runs, place, out, resume or fresh)
    for run in runs if fresh else ():
        forget(run.recipe, place)
    found = compute_all([run.recipe for run in runs], place, jobs=jobs, quiet=quiet)
    results = gather(study, scale, runs, found)
    results.jobs = jobs
    if study.derive:
        results.view |= attribute(study.derive)(results)
    results.provenance = provenance(command or ["torchmomentum", *sys.argv[1:]])
    if is_first_process():
        write_results(results, out)
    return results
