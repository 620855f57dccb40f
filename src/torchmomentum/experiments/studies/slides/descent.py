"""Follows one method on the slides' quadratic."""

from __future__ import annotations

from typing import Any

from torchmomentum.experiments.engine.place import Place, Tell
from torchmomentum.experiments.result import Result
from torchmomentum.experiments.studies.slides.methods import Method, run_methods
from torchmomentum.experiments.studies.slides.problems import Laplacian, constant, decaying, exact
from torchmomentum.experiments.studies.slides.recipes import Accumulation, Descent

NOISES = {"exact": exact, "decaying": decaying, "constant": constant}


def method_of(values: Any) -> Method:
    """A method from a recipe's plain values."""
    given = {name: values[name] for name in Method._fields if name in values}
    restart = given.get("restart")
    if isinstance(restart, (list, tuple)):
        given["restart"] = [(int(until), int(every)) for until, every in restart]
    return Method(**given)


def descend(recipe: Descent, place: Place, tell: Tell) -> Result:
    """Computes the gaps ``f(w_k) - f*`` along the way."""
    problem = Laplacian(recipe.size, recipe.cycle)
    found = run_methods(
        problem,
        {"": method_of(recipe.method)},
        NOISES[recipe.noise],
        iterations=recipe.iterations,
        seed=recipe.seed,
        at=recipe.at,
        start=problem.minimum if isinstance(recipe, Accumulation) else None,
        tell=tell,
    )[""]
    return Result(
        recipe={},
        values={"gap": float(found["gaps"][-1]), "restarts": found["restarts"]},
        curves={"k": list(recipe.at), "gap": found["gaps"].tolist()},
    )
