"""Checkpoints: damaged ones are passed over aloud, others' are refused in one line."""

import io
import logging
import math
from dataclasses import replace

import pytest
import torch

from torchmomentum.experiments.engine.checkpoints import (
    checkpoints,
    newest_checkpoint,
    save_checkpoint,
)
from torchmomentum.experiments.engine.compute import begun, compute, folder_of
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.registry import RULES
from torchmomentum.experiments.studies.training import training_recipe

from ..stopping import Stop, assert_equal, stop_at, train

SMALL = {"epochs": 2, "hidden_size": 8, "train_limit": 256, "test_limit": 64, "threads": 1}


def _recipe(**changes):
    settings = {"task": "pdigits", "model": "momentum-lstm", "optimizer": "adam", **SMALL}
    return training_recipe({**settings, **changes}, 0)


def _stopped(folder, recipe=None):
    """A run's place and its checkpoints, the newest first."""
    recipe, place = recipe or _recipe(), Place(folder, checkpoint_every=1)
    with pytest.raises(Stop):
        train(recipe, place, stop_at(4))
    return recipe, place, checkpoints(folder_of(recipe, place))


def test_a_damaged_one_is_told(tmp_path, caplog):
    recipe, place, (newest, older) = _stopped(tmp_path)
    newest.write_bytes(newest.read_bytes()[:1000])
    with caplog.at_level(logging.WARNING):
        found = newest_checkpoint(folder_of(recipe, place))
    assert found.path == older
    (told,) = caplog.messages
    assert f"damaged {newest.name}; " in told
    assert told.endswith(f"; the run goes on from {older.name}")
    assert "\n" not in told


def test_where_all_are_damaged_the_run_begins_anew(tmp_path, caplog):
    recipe, place, both = _stopped(tmp_path)
    _, expected = train(recipe, Place(tmp_path / "whole"))
    for path in both:
        path.write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        _, found = train(recipe, place)
    assert_equal(found, expected)
    told = caplog.messages[0]
    assert told.endswith("; the run begins anew")
    assert all(path.name in told for path in both)


def test_what_is_damaged_does_not_outlive_what_comes_after(tmp_path):
    """The run has gone back behind it."""
    for step in (800, 900):
        (tmp_path / f"step-{step:09d}.ckpt").write_bytes(b"damaged")
    for step in (100, 200, 300):
        save_checkpoint(tmp_path, step, {"step": step})
        assert newest_checkpoint(tmp_path).values == {"step": step}
    assert [path.name for path in checkpoints(tmp_path)] == [
        f"step-{step:09d}.ckpt" for step in (300, 200)
    ]


def test_damage_is_told_once(tmp_path, caplog):
    recipe, place, both = _stopped(tmp_path)
    for path in both:
        path.write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        train(recipe, replace(place, resume=True))
    assert sum("damaged" in told for told in caplog.messages) == 1


@pytest.mark.parametrize("rule", [*RULES])
def test_a_stopped_run_of_any_rule_goes_on(tmp_path, rule):
    """Some begin without a state that they have from the first step on."""
    recipe = _recipe(model=f"{rule}-lstm", epochs=1, hidden_size=4, train_limit=128)
    _, expected = train(recipe, Place(tmp_path / "whole"))
    place, steps = Place(tmp_path / "cut", checkpoint_every=1), []
    with pytest.raises(Stop):
        train(recipe, place, stop_at(2))
    _, found = train(recipe, place, lambda words, step, of: steps.append(step))
    assert steps[0] == 2
    assert_equal(found, expected)


class Hostile:
    def __reduce__(self):
        return print, ("run",)


def _changed(held, *path, to):
    for name in path[:-1]:
        held = held[name]
    if to is None:
        del held[path[-1]]
    else:
        held[path[-1]] = to


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda held: [1, 2], "it holds a list"),
        (lambda held: Hostile(), "it holds more than tensors and plain values"),
        (lambda held: _changed(held, "optimizer", to=None), "it has no optimizer"),
        (lambda held: _changed(held, "run", to="0"), "it is another run's"),
        (lambda held: _changed(held, "step", to=-1), "step is -1"),
        (lambda held: _changed(held, "history", to=[{}]), "its history is none"),
        (lambda held: _changed(held, "schedules", to=[{}]), "it has not the 0 schedules"),
        (lambda held: _changed(held, "model", to=3), "its model is a int"),
        (lambda held: _changed(held, "model", "readout.bias", to=None), "it has no readout.bias"),
        (
            lambda held: _changed(held, "model", "x", to=torch.ones(1)),
            'Unexpected key(s) in state_dict: "x"',
        ),
        (lambda held: _changed(held, "model", "readout.bias", to=1), "readout.bias is a int"),
        (
            lambda held: _changed(held, "model", "readout.bias", to=torch.ones(9)),
            "readout.bias has shape (9,), this run's (10,)",
        ),
        (
            lambda held: _changed(held, "model", "readout.bias", to=torch.full((10,), math.nan)),
            "readout.bias is not finite",
        ),
        (lambda held: _changed(held, "optimizer", to={}), "KeyError: "),
        (lambda held: _changed(held, "optimizer", "param_groups", to=[]), "ValueError: "),
        (
            lambda held: _changed(held, "optimizer", "state", 0, "exp_avg", to=torch.ones(3, 5)),
            "the optimizer's exp_avg has shape (3, 5), its parameter (32, 1)",
        ),
        (lambda held: _changed(held, "random_state", to=torch.ones(3)), "Error: "),
    ],
)
def test_one_that_is_not_ours_is_refused_in_one_line(tmp_path, change, told, capsys):
    recipe, place, (newest, _) = _stopped(tmp_path)
    held = torch.load(newest, weights_only=True)
    changed = change(held)
    content = io.BytesIO()
    torch.save(held if changed is None else changed, content)
    newest.write_bytes(content.getvalue())
    with pytest.raises(UsageError) as error:
        compute(recipe, place)
    words = str(error.value)
    assert words.startswith(f"{newest} is not a checkpoint of this run: ")
    assert told in words
    assert words.endswith("; remove it, or its folder to begin anew")
    assert "\n" not in words
    assert begun(recipe, place)  # what is there is still seen
    assert capsys.readouterr().out == ""  # nothing in the file was run


def test_one_without_what_came_later_is_gone_on_from(tmp_path):
    """As versions before this one wrote them."""
    recipe, place, (newest, _) = _stopped(tmp_path)
    _, expected = train(recipe, Place(tmp_path / "whole"))
    held = torch.load(newest, weights_only=True)
    for name in ("run", "last_loss", "index", "records"):
        del held[name]
    torch.save(held, newest)
    assert_equal(train(recipe, place)[1], expected)


def test_two_are_kept(tmp_path):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, {"step": step})
    assert [path.name for path in checkpoints(tmp_path)] == [
        "step-000000003.ckpt",
        "step-000000002.ckpt",
    ]
    assert newest_checkpoint(tmp_path).values == {"step": 3}
