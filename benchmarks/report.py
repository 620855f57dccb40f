"""Puts the recorded tables into a document: ``python benchmarks/report.py DOCUMENT``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from torchmomentum.experiments.files import read_json
from torchmomentum.experiments.report import insert

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks"


def _origin(results: dict[str, Any]) -> str:
    o = results["provenance"]
    return (
        f"{results['what']}; `{o['command']}`; {o['cpu']}, {o['threads']} threads, "
        f"torch {o['torch']}, {o['date'][:10]}."
    )


def _ratio(value: dict[str, Any]) -> str:
    low, high = value["ratio_quartiles"]
    return f"{value['ratio']:.2f} ({low:.2f}-{high:.2f})"


def layers_table(results: dict[str, Any]) -> str:
    """Ratios to ``nn.LSTM``: the median over interleaved rounds, its quartiles behind it."""
    names = list(results["rows"][0]["layers"])[1:]
    lines = [_origin(results), "", f"| T, B, I, H | nn.LSTM, ms | {' | '.join(names)} |"]
    lines.append("|---|---|" + "---|" * len(names))
    for row in results["rows"]:
        found = row["layers"]
        shown = " | ".join(_ratio(found[name]) for name in names)
        shape = ", ".join(map(str, row["shape"]))
        lines.append(f"| {shape} | {found['nn.LSTM']['median_ms']:.1f} | {shown} |")
    return "\n".join(lines) + "\n"


def optimizers_table(results: dict[str, Any]) -> str:
    """Milliseconds of a step, and SRSGD's ratio to SGD of the same kind."""
    kinds = ("loop", "foreach", "fused")
    head = " | ".join(f"SGD {k}, ms | SRSGD {k}, ms | ratio" for k in kinds)
    lines = [_origin(results), "", f"| tensors | {head} |", "|---|" + "---|" * 9]
    for row in results["rows"]:
        found = row["optimizers"]
        cells = []
        for kind in kinds:
            ours, theirs = found[f"SRSGD {kind}"], found[f"SGD {kind}"]
            cells += [f"{theirs['median_ms']:.2f}", f"{ours['median_ms']:.2f}"]
            cells.append(f"{ours['ratio_to_same_kind']:.2f}")
        lines.append(f"| {row['tensors']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def tables() -> dict[str, str]:
    """The recorded tables, by the marks they stand between."""
    return {
        "layers": layers_table(read_json(RESULTS / "layers.json")),
        "optimizers": optimizers_table(read_json(RESULTS / "optimizers.json")),
    }


if __name__ == "__main__":
    for mark, text in tables().items():
        insert(Path(sys.argv[1]), mark, text)
