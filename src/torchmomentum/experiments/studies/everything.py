"""All studies as one command: their runs in one pool, then every table and figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.engine.pool import compute_all
from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.registry import STUDIES
from torchmomentum.experiments.result import Results
from torchmomentum.experiments.studies.run import check_out, run_study
from torchmomentum.experiments.studies.tuning import trials_of, tuned
from torchmomentum.experiments.study import SCALES, Run, Study

Tell = Callable[[str, str | None], None]


class Planned(NamedTuple):
    """A study that can be computed here.

    Attributes:
        study: The study.
        scale: Of its scales the one that is asked for, or its own where it has no such one.
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
    scaled = scale if scale in study.scales else None
    own = {key: value for key, value in changes.items() if key in study.options}
    planned = study.plan(scaled, seeds=seeds, changes=own)
    if study.tuning is not None:
        planned = trials_of(study, study.tuning, scaled, own)
    for run in planned:
        run.recipe.check(place)
    return Planned(study, study.edition(scaled)[0], seeds, own, planned)


def plan_all(
    scale: str | None, seeds: int | None, changes: Mapping[str, Any], place: Place
) -> tuple[list[Planned], dict[str, str]]:
    """All studies that can be computed here, and of the others why not, by name.

    Raises:
        UsageError: An unknown scale, or no seeds.
    """
    if scale is not None:
        check_name("scale", scale, SCALES)
    if seeds is not None and seeds < 1:
        raise UsageError(f"seeds must be at least 1, got {seeds}")
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


def check_all(planned: Sequence[Planned], place: Place, out: Path, resume: bool) -> None:
    """Rejects folders below ``out`` that hold something else, or these where nobody said to go on.

    Raises:
        UsageError: One does.
    """
    for each in planned:
        folder = out / each.study.name
        check_out(each.study, each.scale, each.runs, place, folder, resume)


def run_all(
    planned: Sequence[Planned],
    place: Place,
    out: Path,
    *,
    jobs: int = 1,
    resume: bool = False,
    quiet: bool = False,
    tell: Tell = lambda name, error: None,
) -> list[Results]:
    """Computes studies, each into a folder of its name below ``out``.

    Their runs are computed in one pool, so that one display has the time left for all; what is
    tuned follows when it is known what is best. Where a run cannot be computed after all, a
    download that fails for one, its study is left out and the others are computed one by one.

    Args:
        planned: Of :func:`plan_all`.
        place: Where runs lie.
        out: The folder above those of the studies.
        jobs: Runs at a time.
        resume: Goes on from what ``out`` holds.
        quiet: Shows no progress.
        tell: Told the name of each study once it is written, and None or why it is not.

    Raises:
        UsageError: A folder holds something else, or these results and ``resume`` is not set.
    """
    check_all(planned, place, out, resume)
    with suppress(UsageError):  # told of the study that it belongs to, below
        _compute([run for each in planned for run in each.runs], place, jobs, quiet)
    found = []
    for each in planned:
        study, how = each.study, dict[str, Any](jobs=jobs, quiet=quiet)
        try:
            runs = each.runs
            if study.tuning is not None:
                given: Any = {"scale": each.scale, "changes": each.changes}
                study = tuned(study, study.tuning, place, **given, **how)
                runs = study.plan(each.scale, seeds=each.seeds, changes=each.changes)
            folder = out / study.name
            found.append(
                run_study(study, runs, place, folder, scale=each.scale, resume=True, **how)
            )
        except UsageError as error:
            tell(study.name, str(error))
        else:
            tell(study.name, None)
    return found
