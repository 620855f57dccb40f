"""What a reader has to know before any number: runs that failed, losses that exploded, one seed."""

from __future__ import annotations

from collections.abc import Sequence

from torchmomentum.experiments.report import words
from torchmomentum.experiments.result import Result, Results


def _seeds(runs: Sequence[Result]) -> str:
    several = "seeds" if len(runs) > 1 else "seed"
    return f"{several} {', '.join(str(run.seed) for run in runs)}"


def problems(results: Results) -> list[str]:
    """One sentence for each arm and each thing that went wrong with it."""
    told = []
    for arm in results.arms():
        name, runs = words.arm_name(results, arm), results.of(arm)
        failed = [run for run in runs if run.failed is not None]
        if failed:
            count = f"{len(failed)} of {words.counted(len(runs), 'run')} failed ({_seeds(failed)})"
            told.append(f"{name}: {count}: {failed[0].failed}.")
        warned = [run for run in runs if run.warning is not None]
        if warned:
            told.append(f"{name} ({_seeds(warned)}): {warned[0].warning}.")
    compared = len(results.arms()) > 1 and results.table != "trials"  # which is a search
    if len(results.seeds) == 1 and compared and results.higher_is_better is not None:
        told.append("There is one seed, so no difference can be told from chance.")
    return told
