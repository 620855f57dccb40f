"""Names: found, refused, registered, taken from files."""

import os
import sys
from contextlib import suppress
from types import SimpleNamespace

import pytest

import torchmomentum.nn as tnn
from torchmomentum.experiments import register, registry
from torchmomentum.experiments.cli import main
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.models import model_of, parts_of, with_options
from torchmomentum.experiments.models.controls import Standardize, UnitRMS
from torchmomentum.experiments.registry import (
    CELLS,
    REGISTRIES,
    RULES,
    TASKS,
    Registry,
    from_file,
)


@pytest.mark.parametrize("kind", list(REGISTRIES))
def test_every_name_stands_for_something(kind):
    found = [REGISTRIES[kind].find(name) for name in REGISTRIES[kind]]
    assert found
    assert not any(isinstance(entry, str) for entry in found)


def test_an_unknown_name_lists_the_near_ones():
    with pytest.raises(UsageError, match="unknown task 'mnits'; did you mean mnist"):
        TASKS.find("mnits")
    with pytest.raises(UsageError, match="unknown kind 'taks'; did you mean task"):
        register("taks", "x", 1)


def test_a_name_is_registered_once():
    known = Registry("thing", {"a": 1})
    known.register("b", 2)
    known.register("b", 2)
    assert list(known) == ["a", "b"]
    with pytest.raises(ValueError, match="the thing 'a' is registered already"):
        known.register("a", 3)
    for name in ("", "a:b", "a,b", 3):
        with pytest.raises(ValueError, match="a thing's name must be a word"):
            known.register(name, 1)


def test_a_file_is_a_name(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("class Mine:\n    pass\nclass Other:\n    pass\n")
    assert from_file(f"{file}:Mine", "model").__name__ == "Mine"
    assert from_file(f"{file}:Mine", "model") is from_file(f"{file}:Mine", "model")
    with pytest.raises(UsageError, match=r"unknown model in .*'Mina'; did you mean Mine"):
        from_file(f"{file}:Mina", "model")
    with pytest.raises(UsageError, match="there is no file"):
        from_file(f"{tmp_path}/none.py:X", "model")


def test_what_a_file_registers_appears_in_the_list(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv(registry.USE, raising=False)
    monkeypatch.setattr(RULES, "_entries", dict(RULES._entries))
    file = tmp_path / "mine.py"
    file.write_text(
        "from torchmomentum.experiments import register\n"
        "from torchmomentum.nn import Momentum\n"
        "register('rule', 'mine', Momentum)\n"
    )
    assert main(["--use", str(file), "list"]) == 0
    assert "rules: " in (told := capsys.readouterr().out)
    assert ", mine\n" in told
    assert model_of("mine-lstm").rule == "mine"
    monkeypatch.delenv(registry.USE, raising=False)
    assert main(["--use", str(tmp_path / "none.py"), "list"]) == 2
    assert "there is no such file" in capsys.readouterr().err
    monkeypatch.delenv(registry.USE, raising=False)


def test_names_of_models():
    assert parts_of("released-sr-lstm") == ("released-sr", "lstm")
    assert parts_of("lstm") == (None, "lstm")
    assert parts_of("standardized-gru") == ("standardized", "gru")
    assert parts_of("preresnet") is None
    assert parts_of("a/lstm.py:lstm") is None
    assert with_options("adam-lstm@mu=0.5@step-size=2@x=none") == (
        "adam-lstm",
        {"mu": 0.5, "step_size": 2, "x": None},
    )
    for wrong in ("mu", "=3", "mu="):
        with pytest.raises(UsageError, match=f"a setting is NAME=VALUE, got {wrong}"):
            with_options(f"lstm@{wrong}")
    assert RULES.find("adam") is tnn.Adam


def test_a_registered_cell_is_a_model_with_every_rule_and_control(monkeypatch):
    """A layer's class is enough; a dash in its name is no rule."""
    monkeypatch.setattr(CELLS, "_entries", dict(CELLS._entries))
    register("cell", "min-lstm", tnn.GRU)
    assert parts_of("min-lstm") == (None, "min-lstm")
    assert parts_of("adam-min-lstm") == ("adam", "min-lstm")
    data = Data(
        **dict.fromkeys(("train", "validation", "test", "loss", "metric"), None),
        metric_name="m",
        higher_is_better=True,
        input_size=2,
        output_size=3,
    )
    for name, rule in (("min-lstm", None), ("adam-min-lstm", tnn.Adam), ("rms-min-lstm", UnitRMS)):
        model = model_of(name).build(data, {"hidden_size": 4, "init": "torch"})
        assert isinstance(model.layer, tnn.GRU)
        assert isinstance(model.layer.momentum, rule or type(None))
    model = model_of("standardized-min-lstm").build(data, {"hidden_size": 4, "init": "torch"})
    assert isinstance(model.standardize, Standardize)


def test_an_edited_file_is_read_anew(tmp_path):
    file = tmp_path / "mine.py"
    for x in (1, 2):
        file.write_text(f"class Mine:\n    x = {x}\n")
        assert from_file(f"{file}:Mine", "model").x == x


def test_entries_are_lent_for_a_while():
    known = Registry("thing", {"a": 1})
    with known.lend({"a": 2, "b": 3}):
        assert (known.find("a"), known.find("b")) == (2, 3)
    with suppress(KeyError), known.lend({"c": 4}):
        raise KeyError
    assert known.find("a") == 1
    assert list(known) == ["a"]


def test_what_is_ours_is_so_after_names_were_lent():
    known = Registry("thing", {"adam": "torchmomentum.nn:Adam", "gru": "torchmomentum.nn:GRU"})
    with known.lend({"gru": 2}):
        assert known.find("adam") is tnn.Adam
        assert known.is_ours("adam")
        assert not known.is_ours("gru")
    assert known.is_ours("adam")
    assert known.is_ours("gru")
    assert not known.is_ours("lstm")


def test_installed_packages_register_what_they_declare(monkeypatch):
    """By entry points; and what the environment names is imported, for processes started here."""
    loaded = []
    point = SimpleNamespace(load=lambda: loaded.append("point"))
    declared = {"torchmomentum": [point]}
    monkeypatch.setattr(registry.metadata, "entry_points", lambda group: declared[group])
    monkeypatch.setenv(registry.USE, os.pathsep.join(["this", "json"]))
    registry.load_used()
    assert loaded == ["point"]
    assert "this" in sys.modules


def test_objects_of_a_file_are_named_and_what_it_imports_is_not(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from torchmomentum.nn import GRU as TASKS\nTASK = [1]\n_HIDDEN = 2\n")
    with pytest.raises(UsageError, match=r"unknown task in .*'TASKE'; did you mean TASK\?$"):
        from_file(f"{file}:TASKE", "task")
