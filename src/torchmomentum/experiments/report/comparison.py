"""The table of a comparison: models beside a baseline, what they reach and what it costs."""

from __future__ import annotations

from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.accuracy import until_target
from torchmomentum.experiments.report.judgement import Judged, conclusion, judged, pairs, trouble
from torchmomentum.experiments.report.statistics import mean_and_std
from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.result import Results, ended, values

_MEASURED = ("best", "last", "chosen")


def _row(results: Results, each: Judged, until: str) -> list[str]:
    runs, d = results.of(each.arm), each.difference
    paired = pairs(results, each.arm, each.baseline)
    ratios = [a.costs["train_seconds"] / b.costs["train_seconds"] for a, b in paired]
    return [
        words.arm_name(results, each.arm),
        *(words.spread(values(ended(runs), key)) for key in _MEASURED),
        "baseline" if each.is_baseline else "" if d is None else words.interval(d),
        "" if each.p is None else f"{each.p:.2g}",
        " ".join(filter(None, [each.verdict, trouble(results, each.arm)])),
        until,
        f"{mean_and_std(ratios)[0]:.2f}x" if ratios else "-",
        f"{runs[0].costs['parameters']:,}",
        f"{runs[0].costs['peak_memory_bytes'] / 2**20:.1f} MiB",
    ]


def comparison(results: Results) -> Table:
    """Models beside a baseline: the test metric, its difference, and what it costs."""
    direction = "higher" if results.higher_is_better else "lower"
    judgements = judged(results)
    one = all(each.baseline == judgements[0].baseline for each in judgements)
    baseline = words.arm_name(results, judgements[0].baseline) if one else "its baseline"
    chosen = (
        "chosen on validation samples"
        if results.has_validation()
        else "chosen, the last without validation"
    )
    caption = (
        f"Test {results.metric} ({direction} is better), mean ± standard deviation over "
        f"{words.seed_count(results)}: best over epochs, after the last epoch, and at the epoch "
        f"{chosen}; the latter's paired difference from {baseline}, and Student's p corrected by "
        "Holm's method over all models. Epochs until a model is as good as the baseline becomes, "
        "median, with the ratio of training times until then. Training time relative to "
        f"{baseline}; peak memory of a training step."
    )
    threads = results.runs[0].recipe["threads"]
    note = (
        f"{words.trained(results)}; {words.counted(results.jobs, 'run')} at a time of "
        f"{words.counted(threads, 'thread')}"
    )
    head = ["model", *_MEASURED, "difference [95 % interval]", "p, Holm", "verdict"]
    head += ["to target", "time", "parameters", "memory"]
    until = until_target(results)
    rows = [_row(results, each, told) for each, told in zip(judgements, until, strict=True)]
    return Table(head, rows, caption, note, conclusion(results, judgements))
