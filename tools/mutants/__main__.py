"""Runs mutants and records the survivors: ``python -m tools.mutants --modules optim --count 40``.

Each mutant runs in a copy of the checkout, in a forked child of a process that has imported PyTorch
but nothing of the package, so that modules, operators and caches are made anew. This is a tool of
our own because (tried on 2026-11-25)

- mutmut 3.8 mutates by trampolines in a process that has imported the package: it kills nothing
  that runs at import (all 26 mutants of the operators' registration survive), leaves decorated
  functions and constants alone, and its instrumented copy fails the tests that compile one graph;
- cosmic-ray 8.7 starts Python anew for each mutant (4.3 s for the quickest module, here 1.0), and
  edits the checkout itself;
- neither leaves out a statement or a keyword, which is what went unnoticed in the experiments.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import tomllib

from tools.mutants.operators import Mutant
from tools.mutants.run import BaselineError, Module, baseline, judge, sample
from tools.mutants.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--modules", nargs="*", help="by default all")
    parser.add_argument("--count", type=int, help="mutants of each module; by default all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    parser.add_argument("--budget", type=float, help="seconds of covering tests for a mutant")
    parser.add_argument("--again", action="store_true", help="only the survivors on record in OUT")
    parser.add_argument("--list", action="store_true", help="print the mutants and end")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout to test")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "mutants")
    parser.add_argument("--together", metavar="FILE", help="record all modules in one file")
    return parser.parse_args()


def _head(root: Path) -> str:
    return subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=root, text=True).strip()


class Equivalents:
    """The reasons of ``equivalent.toml``."""

    def __init__(self, path: Path = HERE / "equivalent.toml") -> None:
        entries = tomllib.loads(path.read_text()).get("mutant", [])
        self.reasons = {(e["where"], e["before"], e.get("after")): e["reason"] for e in entries}

    def reason(self, mutant: Mutant) -> str | None:
        """Why a mutant changes nothing; None if it should be noticed."""
        place = mutant.where, mutant.before
        return self.reasons.get((*place, mutant.after)) or self.reasons.get((*place, None))


def summarize(
    mutants: list[Mutant], verdicts: list[str], equivalents: Equivalents
) -> dict[str, Any]:
    """Counts, the score, the survivors, and those of them that are equivalent."""
    survived, equivalent = [], []
    for mutant, verdict in zip(mutants, verdicts, strict=True):
        if verdict != "survived":
            continue
        entry = {k: getattr(mutant, k) for k in ("file", "line", "where", "before", "after")}
        reason = equivalents.reason(mutant)
        if reason is None:
            survived.append(entry)
        else:
            equivalent.append(entry | {"reason": reason})
    killed = len(mutants) - len(survived) - len(equivalent)
    asked = killed + len(survived)
    return {
        "run": len(mutants),
        "killed": killed,
        "of these hung": verdicts.count("timeout"),
        "score": round(killed / asked, 4) if asked else None,
        "survived": survived,
        "equivalent": equivalent,
    }


def main() -> int:
    """Runs the modules asked for."""
    options = _arguments()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a pool of threads does not survive a fork
    os.environ.setdefault("TRITON_INTERPRET", "1")
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    table = tomllib.loads((HERE / "modules.toml").read_text())
    unknown = set(options.modules or ()) - set(table["modules"])
    if unknown:
        sys.exit(f"unknown modules {sorted(unknown)}; known: {', '.join(table['modules'])}")
    modules = [
        Module(name, **{key: tuple(value) for key, value in table["modules"][name].items()})
        for name in options.modules or table["modules"]
    ]
    sandboxes = [Sandbox(options.root.resolve()) for _ in range(max(1, options.jobs))]
    try:
        if options.list:
            for module in modules:
                for m in sample(sandboxes[0], module, options.count, options.seed)[0]:
                    print(f"{m.file}:{m.line} {m.where}\n  - {m.before}\n  + {m.after}")
            return 0
        _preload(table["preload"])
        records: dict[str, Any] = {}
        code = 0
        for module in modules:
            record = _run(module, sandboxes, options)
            if record is None:
                code = 2
                continue
            records[module.name] = record
            options.out.mkdir(parents=True, exist_ok=True)
            target = options.out / (options.together or f"{module.name}.json")
            value = records if options.together else record
            target.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
    finally:
        for sandbox in sandboxes:
            sandbox.remove()
    return code


def _preload(names: list[str]) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            print(f"{name} is not there to be preloaded", file=sys.stderr)


def _run(
    module: Module, sandboxes: list[Sandbox], options: argparse.Namespace
) -> dict[str, Any] | None:
    """Runs one module and returns its record; None if its tests fail unmutated."""
    if options.again:
        return _again(module, sandboxes, options)
    mutants, total = sample(sandboxes[0], module, options.count, options.seed)
    print(f"{module.name}: {len(mutants)} of {total} mutants, seed {options.seed}", flush=True)
    head = {"module": module.name, "commit": _head(options.root), "seed": options.seed}
    found = _judged(module, sandboxes, mutants, options.budget)
    if found is None:
        return None
    record = {**head, "mutants": total, "budget": options.budget, **found}
    _tell(record)
    return record


def _judged(
    module: Module, sandboxes: list[Sandbox], mutants: list[Mutant], budget: float | None
) -> dict[str, Any] | None:
    verdicts: list[str] = []
    if mutants:
        try:
            known = baseline(sandboxes[0], module)
        except BaselineError as error:
            print(error, file=sys.stderr)
            return None
        verdicts = judge(sandboxes, known, mutants, budget)
    return summarize(mutants, verdicts, Equivalents())


def _tell(record: dict[str, Any]) -> None:
    print(
        f"{record['module']}: {record['killed']} killed, {len(record['survived'])} survived, "
        f"{len(record['equivalent'])} equivalent; score {record['score']}",
        flush=True,
    )


def _place(entry: Any) -> tuple[str, ...]:
    get = entry.get if isinstance(entry, dict) else lambda name: getattr(entry, name)
    return tuple(get(name) for name in ("file", "where", "before", "after"))


def _again(
    module: Module, sandboxes: list[Sandbox], options: argparse.Namespace
) -> dict[str, Any] | None:
    """The record on file, with the verdicts of today's tests on those that had survived."""
    record = json.loads((options.out / f"{module.name}.json").read_text())
    known = Equivalents()
    survived = [e for e in record["survived"] if not known.reason(SimpleNamespace(**e))]
    wanted = {_place(entry) for entry in survived}
    found = [m for m in sample(sandboxes[0], module, None, 0)[0] if _place(m) in wanted]
    mutants = [*{_place(m): m for m in found}.values()]
    print(f"{module.name}: {len(mutants)} of {len(survived)} survivors are there", flush=True)
    judged = _judged(module, sandboxes, mutants, options.budget)
    if judged is None:
        return None
    there = {_place(m) for m in mutants}
    gone = [entry for entry in survived if _place(entry) not in there]
    still = {_place(entry) for entry in judged["survived"]}
    killed = [entry for entry in survived if _place(entry) in there - still]
    equivalent = [
        entry | {"reason": reason}
        for entry in record["survived"]
        if (reason := known.reason(SimpleNamespace(**entry)))
    ]
    record["killed"] += len(killed)
    record["run"] -= len(gone)
    record["survived"] = judged["survived"]
    record["equivalent"] += equivalent
    record["score"] = round(record["killed"] / (record["killed"] + len(judged["survived"])), 4)
    since = record.setdefault("since", {"killed": [], "gone": []})
    since["commit"] = _head(options.root)
    since["killed"] += killed
    since["gone"] += gone
    _tell(record)
    return record


if __name__ == "__main__":
    sys.exit(main())
