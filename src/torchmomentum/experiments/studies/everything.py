"""All studies as one command: their runs in one pool, then every table and figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.engine.pool import compute_all
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.registry import STUDIES
from torchmomentum.experiments.result import Results
from torchmomentum.experiments.studies.run import check_out, run_study
from torchmomentum.experiments.studies.tuning import trials_of, tuned
from torchmomentum.experiments.study import Run, Study

Tell = Callable[[str], None]


class Planned(NamedTuple):
    """A study that can be computed here.

    Attributes:
        study: The study.
        scale: Of its scales the one that is asked for, or its only one.
        seeds: How many; None for the scale's.
        changes: Settings that the user chose.
        runs: Its runs, or where it is tuned the trials.
    """

    study: Study
    scale: str
    seeds: int | None
    changes: Mapping[str, Any]
    runs: Sequence[Run]


def _planned(
    name: str, scale: str | None, seeds: int | None, changes: Mapping[str, Any], place: Place
) -> Planned:
    """A study with its runs, which are checked.

    Raises:
        UsageError: It cannot be computed here.
    """
    study: Study = STUDIES.find(name)
    scaled = scale if study.scales else None
    own = {key: value for key, value in changes.items() if key in study.options}
    planned = study.plan(scaled, seeds=seeds, changes=own)
    if study.tuning is not None:
        planned = trials_of(study, study.tuning).plan(scaled, seeds=study.tuning.seeds, changes=own)
    for run in planned:
        run.recipe.check(place)
    return Planned(study, study.edition(scaled)[0], seeds, own, planned)


def plan_all(
    scale: str | None, seeds: int | None, changes: Mapping[str, Any], place: Place
) -> tuple[list[Planned], dict[str, str]]:
    """All studies that can be computed here, and of the others why not, by name."""
    found, left = list[Planned](), dict[str, str]()
    for name in STUDIES:
        try:
            found.append(_planned(name, scale, seeds, changes, place))
        except UsageError as error:
            left[name] = str(error)
    return found, left


def _compute(runs: Sequence[Run], place: Place, jobs: int, quiet: bool) -> None:
    """Computes runs side by side, and after them those that measure and want the machine alone."""
    recipes = [run.recipe for run in runs]
    compute_all([r for r in recipes if not r.alone], place, jobs=jobs, quiet=quiet)
    compute_all([r for r in recipes if r.alone], place, quiet=quiet)


def run_all(
    planned: Sequence[Planned],
    place: Place,
    out: Path,
    *,
    jobs: int = 1,
    resume: bool = False,
    quiet: bool = False,
    tell: Tell = lambda name: None,
) -> list[Results]:
    """Computes studies, each into a folder of its name below ``out``.

    Their runs are computed in one pool, so that one display has the time left for all; what is
    tuned follows in a second one, when it is known what is best.

    Args:
        planned: Of :func:`plan_all`.
        place: Where runs lie.
        out: The folder above those of the studies.
        jobs: Runs at a time.
        resume: Goes on from what ``out`` holds.
        quiet: Shows no progress.
        tell: Told the name of each study once it is written.

    Raises:
        UsageError: A folder holds something else, or these results and ``resume`` is not set.
    """
    for each in planned:
        if each.study.tuning is None:
            name = each.study.name
            check_out(each.study, each.scale, each.runs, place, out / name, resume)
    _compute([run for each in planned for run in each.runs], place, jobs, quiet)
    final = list[tuple[Planned, Study, Sequence[Run]]]()
    for each in planned:
        study, runs = each.study, each.runs
        if study.tuning is not None:
            given: Any = {"scale": each.scale, "changes": each.changes}
            study = tuned(study, study.tuning, place, **given, quiet=True)
            runs = study.plan(each.scale, seeds=each.seeds, changes=each.changes)
        final.append((each, study, runs))
    _compute([run for _, _, runs in final for run in runs], place, jobs, quiet)
    found = []
    for each, study, runs in final:
        folder = out / study.name
        how: Any = {"scale": each.scale, "jobs": jobs, "resume": True, "quiet": True}
        found.append(run_study(study, runs, place, folder, **how))
        tell(study.name)
    return found
