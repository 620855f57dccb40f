"""A comparison's table, from its results alone: the same rows for the terminal and for Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.files import write_text
from torchmomentum.experiments.statistics import Difference, mean_and_std, paired_difference

COLUMNS = (
    "model",
    "best",
    "last",
    "chosen",
    "difference [95 % interval]",
    "verdict",
    "time",
    "parameters",
    "memory",
)


def _values(runs: Sequence[dict[str, Any]], key: str) -> list[float]:
    return [run["summary"][key] for run in runs]


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) >= 0.001 or value == 0 else f"{value:.2e}"


def _signed(value: float) -> str:
    return _number(value) if value < 0 else f"+{_number(value)}"


def _spread(values: Sequence[float]) -> str:
    mean, std = mean_and_std(values)
    return _number(mean) if std is None else f"{_number(mean)} ± {_number(std)}"


def _interval(d: Difference) -> str:
    if d.low is None or d.high is None:
        return _signed(d.mean)
    return f"{_signed(d.mean)} [{_signed(d.low)}, {_signed(d.high)}]"


def _verdict(d: Difference, higher_is_better: bool) -> str:
    if d.separable is None:
        return "one seed" if d.low is None else "no spread"
    if not d.separable:
        return "not separable"
    return "better" if (d.mean > 0) == higher_is_better else "worse"


def converged(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs that came to their end."""
    return [run for run in runs if not run.get("diverged")]


def by_model(results: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The runs of each model, in the order of the seeds."""
    return {
        model: sorted(
            (run for run in results["runs"] if run["config"]["model"] == model),
            key=lambda run: run["config"]["init_seed"],
        )
        for model in results["models"]
    }


def comparison(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Each model's difference from the first, in numbers: what the table words.

    The difference is that of the test metric at the epoch chosen on the validation samples.
    """
    groups = by_model(results)
    baseline = groups[results["models"][0]]
    rows: list[dict[str, Any]] = []
    for model, runs in groups.items():
        ended = converged(runs)
        row: dict[str, Any] = {"model": model, "diverged": len(runs) - len(ended)}
        for key in ("best", "last", "chosen") if ended else ():
            row[key], row[f"{key}_std"] = mean_and_std(_values(ended, key))
        pairs = [
            (run, other)
            for run, other in zip(runs, baseline, strict=True)
            if not run.get("diverged") and not other.get("diverged")
        ]
        if pairs:
            ratios = [run["train_seconds"] / other["train_seconds"] for run, other in pairs]
            row["time_ratio"] = mean_and_std(ratios)[0]
        if pairs and runs is not baseline:
            ours, theirs = (_values(side, "chosen") for side in zip(*pairs, strict=True))
            d = paired_difference(ours, theirs)
            row["difference"] = vars(d) | {"verdict": _verdict(d, results["higher_is_better"])}
        row["parameters"] = runs[0]["parameters"]
        row["peak_memory_bytes"] = runs[0]["peak_memory_bytes"]
        rows.append(row)
    return rows


def table(results: dict[str, Any]) -> list[list[str]]:
    """The table's rows, as words in the order of :data:`COLUMNS`."""
    groups = by_model(results)
    rows: list[list[str]] = []
    for row in comparison(results):
        runs = groups[row["model"]]
        ended, found = converged(runs), row.get("difference")
        interval, verdict = "baseline" if runs is groups[results["models"][0]] else "", ""
        if found is not None:
            interval = _interval(
                Difference(found["mean"], found["low"], found["high"], found["separable"])
            )
            verdict = found["verdict"]
        if row["diverged"]:
            verdict = f"{verdict} diverged: {row['diverged']} of {len(runs)}".strip()
        keys = ("best", "last", "chosen")
        rows.append(
            [
                row["model"],
                *(_spread(_values(ended, key)) if ended else "-" for key in keys),
                interval,
                verdict,
                f"{row['time_ratio']:.2f}x" if "time_ratio" in row else "-",
                f"{row['parameters']:,}",
                f"{row['peak_memory_bytes'] / 2**20:.1f} MiB",
            ]
        )
    return rows


def caption(results: dict[str, Any]) -> str:
    """What the table's numbers are."""
    direction = "higher" if results["higher_is_better"] else "lower"
    return (
        f"Test {results['metric']} ({direction} is better), mean ± standard deviation over "
        f"{len(results['seeds'])} seeds: best over epochs, after the last epoch, and at the epoch "
        f"chosen on validation samples; the latter's paired difference from "
        f"{results['models'][0]}. Training time relative to it; peak memory of a training step."
    )


def markdown_table(results: dict[str, Any]) -> str:
    """The table in Markdown, under the command and the machine that made it."""
    origin = results["provenance"]
    lines = [
        f"`{origin['command']}`",
        "",
        f"{caption(results)}",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
        *("| " + " | ".join(row) + " |" for row in table(results)),
        "",
        f"Seeds {', '.join(map(str, results['seeds']))}; {results['epochs']} epochs; "
        f"{origin['cpu']}, {origin['gpu'] or 'no GPU'}, {results['jobs']} runs at a time of "
        f"{results['threads']} thread(s); Python {origin['python']}, torch {origin['torch']}, "
        f"torchmomentum {origin['torchmomentum']}; {origin['date'][:10]}.",
    ]
    return "\n".join(lines) + "\n"


def summary(results: dict[str, Any]) -> str:
    """The Markdown summary of a comparison."""
    plots = [f"![{name}]({name}.png)" for name in results["plots"]]
    title = f"# {results['task']}: {results['title']}\n\n"
    settings = "\n".join(
        f"- {run['config']['model']}: {run['config']['rule'] or 'no rule'}"
        for runs in by_model(results).values()
        for run in runs[:1]
    )
    source = f"Hyperparameters ({results['source']}):\n\n{settings}\n"
    return title + markdown_table(results) + "\n" + source + "\n" + "\n\n".join(plots) + "\n"


def insert(document: Path, marker: str, text: str) -> None:
    """Puts text between ``<!-- marker:begin -->`` and ``<!-- marker:end -->`` of a document.

    Raises:
        UsageError: The document has no such marks.
    """
    begin, end = f"<!-- {marker}:begin -->", f"<!-- {marker}:end -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    old = document.read_text(encoding="utf-8")
    if not pattern.search(old):
        raise UsageError(f"{document} has no marks {begin} and {end}")
    write_text(document, pattern.sub(lambda _: f"{begin}\n{text}{end}", old))
