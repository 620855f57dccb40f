"""Several comparisons of the same arms together: interquartile means over tasks and seeds.

As Agarwal et al. (2021), Deep Reinforcement Learning at the Edge of the Statistical Precipice,
recommend: scores are normalized in each task, the middle half of all is averaged, and intervals are
of a bootstrap that draws seeds anew within each task.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.report.tuned import untuned_name
from torchmomentum.experiments.result import Results

_DRAWS = 2000
_INTERVAL = (2.5, 97.5)


class Estimate(NamedTuple):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def scores_of(results: Results) -> np.ndarray:
    """What each arm reached with each seed, from 0 for the worst run of the task to 1 for the best.

    A run that diverged is the worst. Shape: (arms, seeds).

    Raises:
        UsageError: An arm lacks a seed.
    """
    direction = 1.0 if results.higher_is_better else -1.0
    rows = []
    for arm in results.arms():
        runs = results.of(arm)
        if [run.seed for run in runs] != list(results.seeds):
            raise UsageError(f"{results.study}: {words.arm_name(results, arm)} lacks a seed")
        rows.append([np.nan if run.failed else direction * run.values["chosen"] for run in runs])
    found = np.array(rows, dtype=float)
    if np.isnan(found).all():
        return np.zeros_like(found)
    low, high = np.nanmin(found), np.nanmax(found)
    scaled = (found - low) / (high - low) if high > low else np.where(np.isnan(found), 0.0, 1.0)
    return np.nan_to_num(scaled, nan=0.0)


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """The mean of the middle half along the last axis.

    Example:
        >>> float(interquartile_mean(np.array([0.0, 1.0, 2.0, 100.0])))
        1.5
    """
    from scipy.stats import trim_mean

    return np.asarray(trim_mean(scores, 0.25, axis=-1))


def _drawn(tasks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Seeds drawn anew within each task, alike for all arms: (draws, arms, seeds) for each task."""
    generator = np.random.default_rng(0)
    found = []
    for scores in tasks:
        seeds = scores.shape[1]
        chosen = generator.integers(seeds, size=(_DRAWS, seeds))
        found.append(np.moveaxis(scores[:, chosen], 0, 1))
    return found


def improvement(tasks: Sequence[np.ndarray]) -> np.ndarray:
    """How likely a run of each arm beats one of the first, the mean over tasks; a tie is half.

    Args:
        tasks: Scores of shape (..., arms, seeds), one of each task.
    """
    each = []
    for scores in tasks:
        ours, theirs = scores[..., :, :, None], scores[..., :1, None, :]
        each.append(((ours > theirs) + 0.5 * (ours == theirs)).mean(axis=(-2, -1)))
    return np.asarray(np.mean(each, axis=0))


def _estimates(values: np.ndarray, draws: np.ndarray) -> list[Estimate]:
    low, high = np.percentile(draws, _INTERVAL, axis=0)
    found = zip(values.tolist(), low.tolist(), high.tolist(), strict=True)
    return [Estimate(*each) for each in found]


def aggregate(tasks: Sequence[np.ndarray]) -> list[tuple[Estimate, Estimate, Estimate]]:
    """For each arm its interquartile mean, its difference from the first's, and its chance to win.

    Args:
        tasks: Of :func:`scores_of`, each with the same arms.
    """
    drawn = _drawn(tasks)
    means = interquartile_mean(np.concatenate(tasks, axis=-1))
    draws = interquartile_mean(np.concatenate(drawn, axis=-1))
    return list(
        zip(
            _estimates(means, draws),
            _estimates(means - means[0], draws - draws[:, :1]),
            _estimates(improvement(tasks), improvement(drawn)),
            strict=True,
        )
    )


def together(comparisons: Sequence[Results]) -> Table:
    """The table of several comparisons of the same arms.

    Raises:
        UsageError: Their arms differ, or there is one comparison only.
    """
    if len(comparisons) < 2:
        raise UsageError(f"several tasks are needed, got {len(comparisons)}")
    names = [[untuned_name(each, arm) for arm in each.arms()] for each in comparisons]
    for results, each in zip(comparisons, names, strict=True):
        if each != names[0]:
            raise UsageError(f"{results.study} compares {', '.join(each)}, not as the first task")
    found = aggregate([scores_of(results) for results in comparisons])
    rows = []
    for name, (mean, apart, chance) in zip(names[0], found, strict=True):
        if name == names[0][0]:
            rows.append([name, str(mean), "baseline", ""])
            continue
        rows.append([name, str(mean), str(apart), str(chance)])
    studies = ", ".join(results.study for results in comparisons)
    seeds = sorted({len(results.seeds) for results in comparisons})
    caption = (
        f"Over {studies}: what each run reached at the epoch chosen on validation samples, scaled "
        "in each task from 0 (the worst run) to 1 (the best); the mean of the middle half over "
        f"tasks and {' or '.join(map(str, seeds))} seeds, its difference from the first's, and "
        "the probability that a run is better than one of the first, the mean over tasks. "
        f"Intervals are 95 % of {_DRAWS:,} bootstrap draws of seeds within tasks, not corrected "
        "over models; with fewer than ten seeds they are too narrow. Verdicts are in each task's "
        "table."
    )
    head = ["model", "interquartile mean", f"difference from {names[0][0]}"]
    return Table([*head, "probability of improvement"], rows, caption)
