"""Runs mutants and records the survivors: ``python -m tools.mutants --modules optim --count 40``.

Each mutant is tested in a forked child of a process that has imported PyTorch already and nothing
of the package: modules, registered operators and caches are made anew by every child.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--modules", nargs="*", help="by default all")
    parser.add_argument("--count", type=int, help="mutants of each module; by default all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    parser.add_argument("--quick", action="store_true", help="run covering tests alone")
    parser.add_argument("--list", action="store_true", help="print the mutants and end")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout to test")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "mutants")
    parser.add_argument("--together", metavar="FILE", help="record all modules in one file")
    return parser.parse_args()


def _head(root: Path) -> str:
    return subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=root, text=True).strip()


def _known_equivalents() -> dict[tuple[str, str, str], str]:
    entries = tomllib.loads((HERE / "equivalent.toml").read_text()).get("mutant", [])
    return {(e["where"], e["before"], e["after"]): e["reason"] for e in entries}


def summarize(mutants: list[Any], verdicts: list[str], reasons: dict[Any, str]) -> dict[str, Any]:
    """Counts, the score, the survivors, and those of them that are equivalent."""
    survived, equivalent = [], []
    for mutant, verdict in zip(mutants, verdicts, strict=True):
        if verdict != "survived":
            continue
        entry = {k: getattr(mutant, k) for k in ("file", "line", "where", "before", "after")}
        reason = reasons.get((mutant.where, mutant.before, mutant.after))
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
    from tools.mutants.run import BaselineError, Module, baseline, judge, sample
    from tools.mutants.sandbox import Sandbox

    table = tomllib.loads((HERE / "modules.toml").read_text())
    unknown = set(options.modules or ()) - set(table["modules"])
    if unknown:
        sys.exit(f"unknown modules {sorted(unknown)}; known: {', '.join(table['modules'])}")
    sandboxes = [Sandbox(options.root.resolve()) for _ in range(max(1, options.jobs))]
    reasons, records, failed = _known_equivalents(), {}, []
    try:
        for name in () if options.list else table["preload"]:
            try:
                importlib.import_module(name)
            except ImportError:
                print(f"{name} is not there to be preloaded", file=sys.stderr)
        for name in options.modules or table["modules"]:
            module = Module(name, **{k: tuple(v) for k, v in table["modules"][name].items()})
            mutants, total = sample(sandboxes[0], module, options.count, options.seed)
            if options.list:
                for m in mutants:
                    print(f"{m.file}:{m.line} {m.where}\n  - {m.before}\n  + {m.after}")
                continue
            print(f"{name}: {len(mutants)} of {total} mutants, seed {options.seed}", flush=True)
            try:
                known = baseline(sandboxes[0], module) if mutants else None
            except BaselineError as error:
                print(error, file=sys.stderr)
                failed.append(name)
                continue
            if known is None:
                continue
            verdicts = judge(sandboxes, known, mutants, confirm=not options.quick)
            found = summarize(mutants, verdicts, reasons)
            records[name] = {
                "module": name,
                "commit": _head(options.root),
                "seed": options.seed,
                "mutants": total,
                **found,
            }
            print(
                f"{name}: {found['killed']} killed, {len(found['survived'])} survived, "
                f"{len(found['equivalent'])} equivalent: {found['score']:.0%}",
                flush=True,
            )
            options.out.mkdir(parents=True, exist_ok=True)
            target = options.out / (options.together or f"{name}.json")
            value = records if options.together else records[name]
            target.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
    finally:
        for sandbox in sandboxes:
            sandbox.remove()
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
