"""Comparisons from Python and on one's own tasks, models and data."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from torchmomentum.experiments import Task, api, compare
from torchmomentum.experiments.cli import main
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.registry import MODELS, TASKS
from torchmomentum.experiments.studies.compare import comparison
from torchmomentum.experiments.studies.run import load_results, run_study
from torchmomentum.experiments.tasks.own import OwnData

QUIET = {"seeds": 1, "epochs": 2, "quiet": True, "threads": 1}


def _loaders(kind="classes", lengths=False):
    """Sequences whose mean is to be told; several features; both layouts of a batch."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(96, 6, 3, generator=draw)
    mean = x.mean((1, 2), keepdim=True)[:, 0]
    y = (mean[:, 0] > 0).long() if kind == "classes" else mean
    parts = (x, torch.arange(96) % 6 + 1, y) if lengths else (x, y)
    sets = [
        torch.utils.data.TensorDataset(*(p[s] for p in parts))
        for s in (slice(64), slice(64, 80), slice(80, 96))
    ]
    return tuple(torch.utils.data.DataLoader(s, 16, shuffle=i == 0) for i, s in enumerate(sets))


class Mean(nn.Module):
    """One's own model: it knows the answer but for a factor."""

    def __init__(self, input_size, output_size, scale=30.0):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, x, lengths=None):
        mean = x.mean((0, 2)) * self.scale
        return torch.stack([-mean, mean], 1)


def test_own_loaders_and_modules():
    results = compare(_loaders(), {"lstm": "lstm", "mean": Mean}, rules=["adam"], **QUIET)
    assert results.axes == {"model": ["lstm", "mean", "adam-lstm"]}
    values = {run.arm["model"]: run.values["last"] for run in results.runs}
    assert values["mean"] == 1.0
    assert results.metric == "accuracy"
    assert results.view["source"] == "own"
    assert all(len(run.curves["validation_metric"]) == 2 for run in results.runs)


@pytest.mark.parametrize("lengths", [False, True])
def test_regression_and_lengths(lengths):
    models = ["lstm", "rmsprop-gru"]
    results = compare(_loaders("numbers", lengths), models, **QUIET)
    assert results.metric == "loss"
    assert not results.higher_is_better
    assert all(run.curves["train_loss"][1] < run.curves["train_loss"][0] for run in results.runs)


def test_options_are_the_recipes(tmp_path):
    results = compare(
        "pdigits",
        ["lstm", "momentum-lstm"],
        controls=True,
        scale="smoke",
        hidden_size=4,
        mu=0.25,
        out=tmp_path,
        **QUIET,
    )
    assert len(results.axes["model"]) == 7
    rule = results.runs[1].recipe["model_options"]["rule"]
    assert rule["mu"] == 0.25
    assert load_results(tmp_path).runs[1].values == results.runs[1].values


def test_other_data_of_the_same_name_is_another_run(tmp_path):
    first = compare(_loaders(), ["lstm"], out=tmp_path, **QUIET)
    other = [*_loaders()]
    x, y = other[2].dataset.tensors
    other[2] = [(x, 1 - y)]
    second = compare(tuple(other), ["lstm"], out=tmp_path, resume=True, **QUIET)
    assert second.runs[0].values["last"] == pytest.approx(1 - first.runs[0].values["last"])


def test_a_name_of_ones_own_stands_for_a_model_and_its_options(tmp_path):
    models = {"low": "momentum-lstm@mu=0.1", "list": "momentum-lstm", "mean": Mean}
    results = compare(_loaders(), models, mu=[0.3, 0.6], hidden_size=4, out=tmp_path, **QUIET)
    assert results.axes["model"] == ["low", "list@mu=0.3", "list@mu=0.6", "mean"]
    rules = [run.recipe["model_options"].get("rule", {}).get("mu") for run in results.runs]
    assert rules == [0.1, 0.3, 0.6, None]
    assert "low" not in MODELS
    assert "own data" not in TASKS


def test_a_model_called_lstm_is_ones_own_for_a_while_only():
    mine = compare(_loaders(), {"lstm": Mean}, **QUIET).runs[0]
    theirs = compare(_loaders(), ["lstm"], **QUIET).runs[0]
    assert mine.costs["parameters"] == 1 < theirs.costs["parameters"]
    assert set(mine.recipe["sources"]) - set(theirs.recipe["sources"]) == {"lstm"}


class Greedy(nn.Module):
    """Its options have the names of a recipe's."""

    def __init__(self, input_size, output_size, hidden_size=5, alpha=0.1, init="own", epochs=7):
        super().__init__()
        self.linear = nn.Linear(input_size, output_size)

    def forward(self, x):
        return self.linear(x[-1])


def test_a_module_takes_its_options_from_its_user_alone():
    options = {"scale": "smoke", "seeds": 1, "quiet": True, "threads": 1}
    default, changed = compare(
        "pdigits", {"a": Greedy, "b": "a@alpha=0.2@epochs=9"} | {}, **options
    ).runs
    assert default.recipe["model_options"] == {
        "hidden_size": 16,
        "alpha": 0.1,
        "init": "own",
        "epochs": 7,
    }
    assert default.recipe["optimizer_options"]["alpha"] == 0.99
    assert changed.recipe["model_options"]["alpha"] == 0.2
    assert (changed.recipe["model_options"]["epochs"], changed.recipe["epochs"]) == (9, 1)
    assert changed.recipe["optimizer_options"]["alpha"] == 0.99
    with pytest.raises(UsageError, match="alpha may be the model's or the training's"):
        compare("pdigits", {"a": Greedy}, alpha=0.3, **options)


@pytest.mark.parametrize(
    ("task", "models", "options", "words"),
    [
        ((1, 2, 3, 4), ["lstm"], {}, "loaders must be"),
        (3, ["lstm"], {}, "task must be a name, a Task or loaders, got int"),
        ("pdigits", {"m": nn.Linear(1, 1)}, {}, "a model must be made anew for each run"),
        ("pdigits", {"m": Mean}, {"jobs": 2}, "jobs must be 1 where tasks or models are objects"),
        ("pdigits", [nn.Linear(1, 1)], {}, "a model must be made anew for each run"),
        ("pdigits", [partial(Mean, scale=1.0)], {}, "a partial has no name: give a mapping"),
        ("pdigits", [Mean, Mean], {}, "models lists Mean twice"),
        ("pdigits", [], {}, "models needs at least one name"),
        ("pdigits", ["lstm"], {"colour": 1}, "none of lstm has colour"),
    ],
)
def test_what_is_wrong_is_told(task, models, options, words):
    with pytest.raises(UsageError, match=words):
        compare(task, models, **{**QUIET, **options})


def test_a_metric_of_ones_own():
    def misses(output, target):
        return (output.argmax(-1) != target).float().sum()

    task = OwnData(*_loaders()[::2], metric=misses, metric_name="misses", name="mine")
    results = compare(task, {"mean": Mean}, **QUIET)
    assert (results.study, results.metric, results.runs[0].values["last"]) == (
        "mine",
        "misses",
        0.0,
    )


TASK = '''
import torch
from torch.nn.functional import mse_loss
from torchmomentum.experiments import Task
from torchmomentum.experiments.tasks import generated_task

class Last(Task):
    """The last of some numbers."""
    title = "the last number"
    metric = "error"
    options = {"length": 4, "steps_per_epoch": 20}
    recipe = {"optimizer": "adam", "lr": 1e-2, "batch_size": 16, "epochs": 2, "hidden_size": 8}

    def load(self, recipe, folder, *, offline=False):
        def draw(count, length, generator):
            x = torch.rand(length, count, 1, generator=generator)
            return x, x[-1]
        return generated_task(recipe, draw, least=1, loss=mse_loss, metric_name="error",
                              input_size=1, output_size=1)
'''
MODEL = """
from torch import nn

class Model(nn.Module):
    def __init__(self, input_size, output_size, hidden_size=8, slope=1.0):
        super().__init__()
        self.layer = nn.Linear(input_size, output_size)
        self.slope = slope

    def forward(self, x):
        return self.slope * self.layer(x[-1])
"""


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_files_from_the_command_line(tmp_path, jobs, capsys):
    task, model = tmp_path / "my_task.py", tmp_path / "my_model.py"
    task.write_text(TASK)
    model.write_text(MODEL)
    arguments = ["compare", f"{task}:Last", "--models", f"lstm,{model}:Model@slope=2,rmsprop-lstm"]
    arguments += ["--seeds", "1", "--threads", "1", "--quiet", "--jobs", jobs]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    results = load_results(tmp_path / "out")
    assert (results.study, results.title) == ("Last", "the last number")
    own = results.runs[1]
    assert own.recipe["model_options"] == {"hidden_size": 8, "slope": 2}
    assert set(own.recipe["sources"]) == {f"{task}:Last", f"{model}:Model"}
    assert own.curves["test_loss"][-1] < own.curves["test_loss"][0]
    model.write_text(MODEL.replace("self.slope *", "-self.slope *"))  # an edited file, another run
    assert main([*arguments, "--out", str(tmp_path / "out"), "--resume"]) == 0
    again = load_results(tmp_path / "out")
    assert again.runs[1].recipe != own.recipe
    assert again.runs[0].provenance == results.runs[0].provenance  # computed once


def test_a_task_that_says_nothing_is_refused():
    with pytest.raises(NotImplementedError):
        Task().load(None, None)


def test_what_is_missing_is_downloaded_unless_told_otherwise(monkeypatch, tmp_path):
    places = []
    monkeypatch.setattr(api, "run_study", lambda study, runs, place, *_, **__: places.append(place))
    compare("pdigits", ["lstm"])
    compare("pdigits", ["lstm"], offline=True, data_dir=tmp_path)
    assert [place.offline for place in places] == [False, True]
    assert places[1].data == tmp_path


def test_a_quiet_comparison_says_nothing(capsys):
    task, options = _loaders(), {"epochs": 1, "seeds": 1, "hidden_size": 4}
    compare(task, ["lstm"], **options, quiet=True)
    assert capsys.readouterr() == ("", "")
    compare(task, ["lstm"], **options)
    assert "lstm" in "".join(capsys.readouterr())


@pytest.mark.parametrize("name", ["seed", "task", "model"])
def test_what_a_comparison_varies_is_no_setting(name):
    with pytest.raises(UsageError, match=f"none of lstm has {name}"):
        comparison("digits", {"lstm": "lstm"}, changes={name: 7})


@pytest.mark.parametrize("kind", ["table", "figure"])
def test_a_study_with_an_unknown_view_is_told_before_it_computes(kind, tmp_path):
    study, runs = comparison("digits", {"lstm": "lstm"}, scale="smoke")
    study = replace(study, **{kind: "comparisons" if kind == "table" else "curvs"})
    with pytest.raises(UsageError, match=f"unknown {kind} '.*'; did you mean"):
        run_study(study, runs, Place(tmp_path / "runs"), tmp_path, quiet=True)
    assert not [*tmp_path.rglob("*")]
