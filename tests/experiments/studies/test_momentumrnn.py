"""The MomentumRNN paper's tables: each published number, each row's recipe, each name at once."""

import os

import pytest

from tests.reference import published as printed
from tests.reference import published_results as results
from torchmomentum.experiments.cli import main
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.published import momentumrnn
from torchmomentum.experiments.registry import STUDIES
from torchmomentum.experiments.report.named import table
from torchmomentum.experiments.studies.momentumrnn import recipes
from torchmomentum.experiments.studies.run import load_results, run_study
from torchmomentum.experiments.studies.trivial import Trivial

NAMES = [name for name in STUDIES if name.startswith(("table", "figure"))]
TRAINED = [name for name in NAMES if STUDIES.find(name).recipe.startswith(recipes.__name__)]
MODELS = {
    "lstm": "LSTM",
    "dtriv": "DTRIV",
    **{
        f"{rule}-{cell}": f"{word}{cell.upper()}"
        for rule, word in (
            ("momentum", "Momentum"),
            ("adam", "Adam"),
            ("rmsprop", "RMSProp"),
            ("sr", "SR"),
        )
        for cell in ("lstm", "dtriv")
    },
}
OWN = ("adam-awd-lstm", "rmsprop-awd-lstm")  # published without their hyperparameters


def _as_published(model):
    return model.partition("@")[0].removeprefix("released-").replace("awd-", "")


def _trained(runs):
    """Runs of models that the paper's tables have; figure 2 has a plain network beside them."""
    models = [(run, run.arm) for run in runs if not isinstance(run.recipe, Trivial)]
    return [(run.recipe, arm) for run, arm in models if _as_published(arm["model"]) in MODELS]


@pytest.mark.parametrize(
    ("name", "tasks", "columns"),
    [
        ("TABLE_1_11", ("mnist", "pmnist"), None),
        ("TABLE_2_12", ("timit",), ("TABLE_2_12_VALIDATION", "TABLE_2_12")),
        ("TABLE_3", ("ptb",), ("TABLE_3_VALIDATION", "TABLE_3")),
        ("TABLE_4_13", ("pmnist",), None),
        ("TABLE_5", ("timit",), ("TABLE_5_VALIDATION", "TABLE_5")),
    ],
)
def test_the_published_results(name, tasks, columns):
    ours = [getattr(momentumrnn, each) for each in columns or (name,)]
    found = {}
    for number, values in enumerate(ours):
        for (task, size, model), value in values.items():
            place = tasks.index(task) if columns is None else number
            row = found.setdefault((size, MODELS[model]), [None] * max(len(tasks), len(ours)))
            row[place] = value
    assert {key: tuple(row) for key, row in found.items()} == getattr(results, name)
    cited = {key: value for each in columns or (name,) for key, value in _cited(each)}
    theirs = results.CITED[name]
    for (task, size, model, column), value in cited.items():
        place = tasks.index(task) if columns is None else columns.index(column)
        assert model == ("dtriv" if size in results.PARAMETERS["DTRIV"] else "lstm")
        assert theirs[size][place] == value
    assert len(cited) == sum(value is not None for row in theirs.values() for value in row)


def _cited(column):
    return [((*key, column), value) for key, value in momentumrnn.CITED.get(column, {}).items()]


def test_the_published_numbers_of_parameters():
    found = {}
    for (task, size), thousands in momentumrnn.PARAMETERS.items():
        kind = "DTRIV" if size in results.PARAMETERS["DTRIV"] else "LSTM"
        assert found.setdefault(kind, {}).setdefault(size, thousands) == thousands, task
    assert found == results.PARAMETERS
    trained = {(a["task"], a["N"]) for n in TRAINED for a in STUDIES.find(n).arms}
    assert {*momentumrnn.PARAMETERS} <= trained


_MOMENTUM, _ADAM = ("mu", "step_size"), ("mu", "step_size", "beta")
_RMSPROP, _RESTARTED = ("step_size", "beta"), ("restart", "step_size")
# what a rule takes, and where it stands in a row of which table
RULES = {
    "MomentumLSTM": (_MOMENTUM, printed.TABLE_7_LSTM, 0),
    "AdamLSTM": (_ADAM, printed.TABLE_8_LSTM, 1),
    "RMSPropLSTM": (_RMSPROP, printed.TABLE_9_LSTM, 2),
    "SRLSTM": (_RESTARTED, printed.TABLE_10_LSTM, 1),
    "MomentumDTRIV": (_MOMENTUM, printed.TABLE_7_DTRIV, 1),
    "AdamDTRIV": (_ADAM, printed.TABLE_8_DTRIV, 1),
    "RMSPropDTRIV": (_RMSPROP, printed.TABLE_9_DTRIV, 2),
    "SRDTRIV": (_RESTARTED, printed.TABLE_10_DTRIV, 1),
}


def _of_the_tables(task, size, model, length=None, mu=None, step_size=None):
    """Optimizer, learning rates, batch size, epochs and the rule's numbers, as printed."""
    data = task.title() if length else task.upper()
    word, rule = MODELS[_as_published(model)], {}
    if mu is not None:
        rule = {"mu": mu, "step_size": step_size}
    elif "@mu" in model:
        rule = {k: float(v) for k, v in (each.split("=") for each in model.split("@")[1:])}
    elif word in RULES and model not in OWN:
        names, rows, first = RULES[word]
        row = rows[data] if data in rows else rows[data, length or size]
        rule = dict(zip(names, row[first:], strict=False))
    if word.endswith("LSTM"):
        optimizer, *others = printed.TABLE_6_LSTM[data]
        return (optimizer.lower(), None, None, *others), rule
    every, optimizer, lr, other, orthogonal_lr, *others = printed.TABLE_6_DTRIV[data, size]
    name = "-".join(dict.fromkeys((optimizer.lower(), other.lower())))
    every = 0 if every == printed.INFINITE else every
    return (name, every, orthogonal_lr, lr, *others), rule


CLIP = {"mnist": 1.0, "pmnist": 1.0, "ptb": 0.25}
FORGET_BIAS = {"timit": -8.0, "ptb": 0.0}


@pytest.mark.parametrize("name", TRAINED)
def test_every_row_has_the_printed_hyperparameters(name):
    for recipe, arm in _trained(STUDIES.find(name).plan("paper", seeds=1)):
        model, optimizer = recipe.model_options, recipe.optimizer_options
        each = recipe.task_options.get("steps_per_epoch", 1)  # printed are iterations there
        found = (
            recipe.optimizer.removeprefix("nt-a"),
            model.get("rebase_every"),
            model.get("orthogonal_lr"),
            optimizer["lr"],
            recipe.batch_size,
            recipe.epochs * each,
        )
        expected, rule = _of_the_tables(**{"size" if k == "N" else k: v for k, v in arm.items()})
        assert found == expected, arm
        if arm["model"] not in OWN:
            numbers = {k: v for k, v in model.get("rule", {}).items() if k != "learnable"}
            assert numbers == rule, arm
        assert (recipe.task, model["hidden_size"]) == (arm["task"], arm["N"])
        assert recipe.task_options.get("length") == arm.get("length")
        assert recipe.clip == CLIP.get(arm["task"])
        if "lstm" in arm["model"]:
            assert model["init"] == "paper"
            own = {"lstm@forget_bias=-4.571": -4.571}  # MomentumLSTM's, -4 + 0.1 / 0.7 * -4
            expected = own.get(arm["model"], FORGET_BIAS.get(arm["task"], 2.0))
            assert model["forget_bias"] == expected
        else:
            assert model["orthogonal_init"] == ("henaff" if arm["task"] == "timit" else "cayley")
            assert optimizer["alpha"] == 0.99
        if arm["task"] in ("mnist", "pmnist"):
            options = recipe.task_options
            assert (options["held_out"], options["pooled"]) == (0, False)
            assert options["permutation_per_seed"]


@pytest.mark.parametrize("name", TRAINED)
def test_smaller_scales_keep_the_hyperparameters_of_their_row(name):
    study = STUDIES.find(name)
    for scale in ("smoke", "desk"):
        _, edition = study.edition(scale)
        assert edition.note
        for small, whole in zip(
            study.plan(scale, seeds=1), study.plan("paper", seeds=1), strict=True
        ):
            assert small.arm == whole.arm
            if isinstance(small.recipe, Trivial):
                continue
            ours, theirs = dict(small.recipe.model_options), dict(whole.recipe.model_options)
            assert ours.pop("hidden_size") <= theirs.pop("hidden_size")
            if small.recipe.task.removeprefix("p") not in ("digits",):
                assert ours.get("rule") == theirs.get("rule")


@pytest.mark.parametrize("name", NAMES)
def test_every_name_runs_at_once(name, tmp_path_factory):
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # what several names need is computed once for all
        shared = shared.parent
    place = Place(shared / "momentumrnn", tmp_path_factory.mktemp("data"))
    study, out = STUDIES.find(name), tmp_path_factory.mktemp(name)
    runs = study.plan("smoke")
    found = run_study(study, runs, place, out, scale="smoke", quiet=True)
    assert len(found.arms()) == max(len(study.arms), 1)
    assert all(run.failed is None for run in found.runs)
    shown = table(found)
    if study.table in ("beside", "convergence"):
        assert [row[: len(found.axes)] for row in shown.rows] == [
            [str(value) for value in arm.values()] for arm in study.arms
        ]
    assert [path.stat().st_size > 1000 for path in out.glob("*.png")] == [True]


def test_figure_7_is_what_the_paper_prints():
    assert {k: tuple(v) for k, v in momentumrnn.FIGURE_7.items()} == results.FIGURE_7
    arms = STUDIES.find("figure7").arms
    for task in ("mnist", "timit"):
        whole = [
            (a["mu"], a["step_size"]) for a in arms if a["task"] == task and "@" not in a["model"]
        ]
        assert sorted(set(whole)) == sorted(whole)
        assert len(whole) == 25


@pytest.mark.parametrize("name", TRAINED)
def test_the_papers_scale_has_its_seeds(name):
    """Five everywhere, as section 3 and figure 7's caption say; figure 2 shows one training."""
    seeds = {run.seed for run in STUDIES.find(name).plan("paper") if run.arm["N"] != "-"}
    assert len(seeds) == (1 if name == "figure2" else 5)


def test_papers_scale_needs_the_papers_data(tmp_path):
    study = STUDIES.find("table5")
    with pytest.raises(UsageError, match=r"TIMIT is not in .*place your copy of LDC93S1 below"):
        run_study(study, study.plan("paper"), Place(tmp_path, tmp_path), tmp_path / "out")


def test_a_study_of_rows_has_no_other_values():
    with pytest.raises(UsageError, match="table1 has rows of its own, not all values of epochs"):
        STUDIES.find("table1").plan(axes={"epochs": [1]})


def test_fewer_epochs_are_a_setting_of_all_rows(tmp_path, capsys):
    command = ["reproduce", "figure11", "--scale", "smoke", "--epochs", "2", "--seeds", "1"]
    command += ["--jobs", "1"]
    main([*command, "--quiet", "--out", str(tmp_path / "out"), "--runs", str(tmp_path / "runs")])
    found = load_results(tmp_path / "out")
    assert {r.recipe["epochs"] for r in found.runs if "epochs" in r.recipe} == {2}
