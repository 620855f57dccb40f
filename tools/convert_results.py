"""Converts the results that were recorded before there was one schema. Run once, then removed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from torchmomentum.experiments.bench.recipe import timing_recipe
from torchmomentum.experiments.files import write_json
from torchmomentum.experiments.registry import BENCHMARKS, STUDIES
from torchmomentum.experiments.result import Result, Results
from torchmomentum.experiments.studies.compare import comparison
from torchmomentum.experiments.studies.images import image_recipe
from torchmomentum.experiments.studies.training import training_recipe

OPTIMIZERS = {
    "sgd": "sgd",
    "srsgd-linear": "srsgd-linear",
    "srsgd-exponential": "srsgd-exponential",
}


def columns(history):
    return {key: [record[key] for record in history] for key in history[0]} if history else {}


def result(run, recipe, arm):
    return Result(
        recipe=recipe.to_dict(),
        values=run["summary"] or {},
        curves=columns(run["history"]),
        costs={key: run[key] for key in ("parameters", "train_seconds", "peak_memory_bytes")},
        failed=run["diverged"],
        arm=arm,
        seed=run["config"]["init_seed"],
        provenance=run["provenance"],
    )


def results(study, scale, runs, old, **changes):
    values = dict(
        study=study.name,
        title=study.title,
        scale=scale,
        axes={axis: list(dict.fromkeys(run.arm[axis] for run in runs)) for axis in runs[0].arm},
        seeds=sorted({run.seed for run in runs}),
        metric=study.metric,
        higher_is_better=study.higher_is_better,
        table=study.table,
        figure=study.figure,
        view=dict(study.view),
        runs=runs,
        jobs=old.get("jobs", 1),
        provenance=old["provenance"],
    )
    return Results(**{**values, **changes})


def from_comparison(old):
    runs = []
    for run in old["runs"]:
        c = dict(run["config"])
        settings = {k: v for k, v in c.items() if k not in ("rule", "preset") and v is not None}
        settings = {**settings, **c["rule"], "scale": c["preset"], "shared": tuple(settings)}
        recipe = training_recipe(settings, c["init_seed"])
        assert recipe.model_options.get("rule", {}) == c["rule"], (recipe, c)
        assert recipe.optimizer_options["lr"] == c["lr"]
        runs.append(result(run, recipe, {"model": c["model"]}))
    study, _ = comparison(old["task"], old["models"], scale=old["preset"])
    return results(study, old["preset"], runs, old)


def from_images(old):
    study, runs = STUDIES.find(old["name"]), []
    for run in old["runs"]:
        c = run["config"]
        settings = {
            "recipe": old["recipe"],
            "data": c["task"],
            "optimizer": c["optimizer"],
            "depth": c["depth"],
            "epochs": c["epochs"],
            **{
                k: c[k] for k in ("batch_size", "lr", "train_limit", "test_limit", "evaluate_every")
            },
            **{k: c[k] for k in ("device", "devices", "precision", "compile", "threads")},
        }
        if c["family"] == "imagenet":
            settings |= {"size": c["size"], "workers": c["workers"]}
        recipe = image_recipe(settings, c["init_seed"])
        plan = recipe.to_dict()["schedule"]
        assert plan["milestones"] == c["milestones"] and plan.get("restarts", []) == c["restarts"]
        arm = {"epochs": c["epochs"], "depth": c["depth"], "optimizer": c["optimizer"]}
        runs.append(result(run, recipe, arm))
    view = {**study.view, "recipe": old["recipe"]}
    return results(study, old["preset"], runs, old, view=view)


def from_benchmark(old):
    study, runs = BENCHMARKS.find(old["kind"]), []
    known = ("shape", "size", "tensors")
    seconds = old["provenance"]["command"].split("--seconds ")[-1].split()[0]
    for row in old["rows"]:
        item = next(row[key] for key in known if key in row)
        words = item if isinstance(item, str) else ", ".join(map(str, item))
        settings = {**study.settings, "item": item, "seconds": float(seconds)}
        runs.append(
            Result(
                recipe=timing_recipe(settings, 0).to_dict(),
                values=row.get("layers") or row["optimizers"],
                costs={k: row[k] for k in ("cost", "ceilings") if k in row},
                arm={"item": words},
                provenance=old["provenance"],
            )
        )
    return results(study, "paper", runs, old)


def main(root: Path) -> None:
    for file in sorted(root.glob("*/results.json")):
        old = json.loads(file.read_text())
        if "schema" in old or "methods" in old:
            continue
        new = from_images(old) if old.get("images") else from_comparison(old)
        write_json(file, new.to_dict())
        for name in ("summary.md",):
            (file.parent / name).unlink(missing_ok=True)
        print(file)
    for file in sorted((root / "benchmarks").glob("*.json")):
        kind = file.stem
        if kind == "time-to-accuracy":
            continue
        folder = root / "benchmarks" / kind
        write_json(folder / "results.json", from_benchmark(json.loads(file.read_text())).to_dict())
        for ending in ("json", "png", "svg"):
            (root / "benchmarks" / f"{kind}.{ending}").unlink(missing_ok=True)
        print(folder)
    accuracy = root / "benchmarks" / "time-to-accuracy"
    for ending in ("json", "png", "svg"):
        accuracy.with_suffix(f".{ending}").unlink(missing_ok=True)


main(Path(sys.argv[1]))
