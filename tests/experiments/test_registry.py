"""Names: found, refused, registered, taken from files."""

import pytest

import torchmomentum.nn as tnn
from torchmomentum.experiments import register, registry
from torchmomentum.experiments.cli import main
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.models import model_of, rule_of, with_options
from torchmomentum.experiments.registry import REGISTRIES, RULES, TASKS, Registry, from_file


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
    assert rule_of("released-sr-lstm") == "released-sr"
    assert rule_of("lstm") is None
    assert rule_of("standardized-lstm") is None
    assert with_options("adam-lstm@mu=0.5@step-size=2@x=none") == (
        "adam-lstm",
        {"mu": 0.5, "step_size": 2, "x": None},
    )
    with pytest.raises(UsageError, match="an option of a model is"):
        with_options("lstm@mu")
    assert RULES.find("adam") is tnn.Adam
