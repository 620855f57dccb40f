"""Where a study comes from: command, commit, versions, machine, dates, seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torchmomentum.experiments.report import words
from torchmomentum.experiments.result import Results

Origin = Mapping[str, Any]


def _commit(origin: Origin) -> str | None:
    if not origin.get("commit"):
        return None
    changes = " with uncommitted changes" if origin.get("uncommitted_changes") else ""
    return f"{origin['commit'][:12]}{changes}"


def _versions(origin: Origin) -> str:
    named = {name: origin.get(name) for name in ("torchmomentum", "torch", "python")}
    named |= origin.get("packages", {})
    return ", ".join(f"{name} {version}" for name, version in named.items() if version)


def _machine(origin: Origin) -> str:
    cores = f", {origin['cpu_count']} cores" if origin.get("cpu_count") else ""
    return f"{origin.get('cpu', 'unknown')}{cores}, {origin.get('gpu') or 'no GPU'}"


_TOLD: dict[str, Callable[[Origin], Any]] = {
    "Commit": _commit,
    "Versions": _versions,
    "Machine": _machine,
    "System": lambda origin: origin.get("platform"),
    "Threads of a run": lambda origin: origin.get("threads"),
}


def provenance(results: Results) -> list[tuple[str, list[str]]]:
    """What a reader needs to judge or repeat a study: names, and the values that runs have."""
    known = [run.provenance for run in results.runs if run.provenance] or [results.provenance]
    dates = sorted(origin["date"][:10] for origin in known if "date" in origin)
    rows = [
        ("Command", [results.provenance.get("command", "")]),
        ("Computed", list(dict.fromkeys([*dates[:1], *dates[-1:]]))),
        ("Seeds", [words.seeds(results)]),
        ("Runs", [f"{len(results.runs)}, {results.jobs} at a time"]),
        ("Scale", [results.scale]),
    ]
    for name, tell in _TOLD.items():
        told = dict.fromkeys(str(each) for each in map(tell, known) if each is not None)
        rows.append((name, list(told)))
    return [(name, told) for name, told in rows if any(told)]
