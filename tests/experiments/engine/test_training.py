"""One training: as by hand, counted, killed, resumed, exploded."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import torchmomentum.nn as tnn
from torchmomentum.experiments import files
from torchmomentum.experiments.cli import main
from torchmomentum.experiments.data.batches import Batches
from torchmomentum.experiments.engine.checkpoints import checkpoints, newest_checkpoint
from torchmomentum.experiments.engine.compute import compute, folder_of
from torchmomentum.experiments.engine.evaluation import evaluate, summary
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.engine.training import _warning, setup
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.registry import TASKS
from torchmomentum.experiments.studies.training import training_recipe
from torchmomentum.experiments.tasks import Data
from torchmomentum.experiments.tasks.own import OwnData

from ...reference.trainer import train_by_hand
from ..stopping import Stop, assert_equal, stop_at, train, without_seconds

SMALL = {"epochs": 2, "hidden_size": 8, "train_limit": 256, "test_limit": 64, "threads": 1}


def _recipe(model="momentum-lstm", seed=0, task="pdigits", **changes):
    return training_recipe({"task": task, "model": model, **SMALL, **changes}, seed)


def _layer_model(rule, make):
    torch.manual_seed(3)
    layer = make(1, 8, momentum=rule) if rule is not None else make(1, 8)
    readout = nn.Linear(8, 10)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.readout = layer, readout

        def forward(self, x):
            return self.readout(self.layer(x)[0][-1])

    return Model()


@pytest.mark.parametrize(
    ("model", "rule", "make"),
    [
        ("lstm", None, nn.LSTM),
        ("momentum-gru", tnn.Momentum(0.6, 1.0), tnn.GRU),
        ("adam-lstm", tnn.Adam(0.6, 0.6, 0.9), tnn.LSTM),
    ],
)
@pytest.mark.parametrize(
    ("optimizer", "by_hand"),
    [
        ("rmsprop", lambda p: torch.optim.RMSprop(p, 1e-2, alpha=0.99)),
        ("sgd", lambda p: torch.optim.SGD(p, 1e-2, momentum=0.9)),
    ],
)
def test_equals_a_training_by_hand_to_the_bit(tmp_path, model, rule, make, optimizer, by_hand):
    """Clipping, the learning rate, evaluation and weights by size: all would show."""
    recipe = _recipe(model, 3, optimizer=optimizer, lr=1e-2, clip=0.5, test_limit=None, epochs=3)
    result, trained = train(recipe, Place(tmp_path))
    data, _ = setup(recipe, Place(tmp_path))
    net = _layer_model(rule, make)
    history = train_by_hand(data, net, by_hand(net.parameters()), epochs=3, clip=0.5)
    curves = result.curves
    found = zip(curves["train_loss"], curves["test_loss"], curves["test_metric"], strict=True)
    assert list(found) == history
    assert_equal(trained, net.state_dict())


def test_every_epoch_takes_all_its_steps(tmp_path):
    told = []
    recipe = _recipe(epochs=3)
    result, trained = train(recipe, Place(tmp_path), lambda words, *done: told.append(done))
    assert told == [(step, 12) for step in range(1, 13)]  # 3 epochs of 256 / 64 batches
    assert result.curves["step"] == [4, 8, 12]
    assert len(set(result.curves["train_loss"])) == 3
    assert result.costs["parameters"] == sum(w.numel() for w in trained.values())
    assert result.costs["peak_memory_bytes"] > 64 * 64 * 8 * 4  # one hidden state of each step
    assert list((folder_of(recipe, Place(tmp_path)) / "tensorboard").glob("events.*"))


def test_two_runs_are_equal_and_other_seeds_are_not(tmp_path):
    (a, first), (b, second) = (train(_recipe("adam-lstm"), Place(tmp_path / n)) for n in "ab")
    assert_equal(first, second)
    assert without_seconds(a.curves) == without_seconds(b.curves)
    _, other = train(_recipe("adam-lstm", init_seed=1), Place(tmp_path))
    assert not torch.equal(other["readout.weight"], first["readout.weight"])
    ordered, _ = train(_recipe("adam-lstm", order_seed=1), Place(tmp_path))
    assert ordered.curves["train_loss"] != a.curves["train_loss"]


def _data(higher_is_better, validation):
    return Data(
        train=Batches(lambda epoch, index: (torch.zeros(1), torch.zeros(1)), 1),
        validation=validation,
        test=[],
        loss=nn.functional.mse_loss,
        metric=nn.functional.mse_loss,
        metric_name="x",
        higher_is_better=higher_is_better,
    )


@pytest.mark.parametrize(
    ("higher", "held_out", "chosen", "validation", "epoch", "best"),
    [
        (True, True, 0.4, 0.3, 2, 0.6),
        (False, True, 0.6, 0.1, 1, 0.4),
        (True, False, 0.5, None, 3, 0.6),
        (False, False, 0.5, None, 3, 0.4),
    ],
)
def test_the_summary_chooses_by_validation(higher, held_out, chosen, validation, epoch, best):
    history = [
        {"epoch": 1, "validation_metric": 0.1, "test_metric": 0.6},
        {"epoch": 2, "validation_metric": 0.3, "test_metric": 0.4},
        {"epoch": 3, "validation_metric": 0.2, "test_metric": 0.5},
    ]
    found = summary(history, _data(higher, [1] if held_out else []))
    at = {"chosen": chosen, "chosen_validation": validation, "chosen_epoch": epoch}
    assert found == {"best": best, "last": 0.5, **at}


def test_the_measure_of_a_set_counts_what_its_task_counts():
    """Batches of unequal weights: the mean is over what counts, not over batches or samples."""
    batches = [(torch.zeros(1, 1, 1), torch.full((1, 1, 1), x)) for x in (1.0, 3.0)]
    data = replace(_data(False, []), weigh=lambda target: 3 if target.sum() == 1 else 1)
    found = evaluate(nn.Identity(), batches, data, torch.device("cpu"))
    assert found == ((3 * 1 + 1 * 9) / 4,) * 2
    equal = evaluate(nn.Identity(), batches, replace(data, weigh=None), torch.device("cpu"))
    assert equal == ((1 + 9) / 2,) * 2


def test_evaluation_weights_by_size_and_leaves_dropout_out():
    data = _data(False, [])
    model = nn.Dropout(0.9)
    ones, zeros = torch.ones(1, 30, 1), torch.zeros(1, 10, 1)
    loss, metric = evaluate(
        model, [(ones, zeros[:, :1].expand(1, 30, 1)), (zeros, zeros)], data, torch.device("cpu")
    )
    assert (loss, metric) == (0.75, 0.75)
    assert model.training


_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=_GPU)])
@pytest.mark.parametrize("stop", [1, 3, 6, 11])
def test_a_stopped_run_resumes_bit_for_bit(tmp_path, stop, device):
    """With dropout in the model, so that random numbers have to go on too."""
    model = "tests/experiments/engine/dropped.py:Dropped"
    recipe = _recipe(model, epochs=3, optimizer="adam", device=device)
    whole, expected = train(recipe, Place(tmp_path / "whole"))
    place = Place(tmp_path / "cut", checkpoint_every=2)
    with pytest.raises(Stop):
        train(recipe, place, stop_at(stop))
    told = []
    resumed, found = train(recipe, place, lambda words, step, steps: told.append(step))
    before = stop - 1 - (stop - 1) % 2  # the last step with a checkpoint
    assert told[0] == before + 1  # it goes on, it does not begin anew
    assert_equal(found, expected)
    assert without_seconds(resumed.curves) == without_seconds(whole.curves)


def test_schedules_go_on_too(tmp_path):
    schedule = {"milestones": [1, 2], "restarts": [3, 4, 5], "restart_at_milestones": False}
    recipe = _recipe(optimizer="srsgd", lr=0.05, epochs=3, schedule=schedule)
    _, expected = train(recipe, Place(tmp_path / "whole"))
    place = Place(tmp_path / "cut", checkpoint_every=1)
    with pytest.raises(Stop):
        train(recipe, place, stop_at(10))
    assert_equal(train(recipe, place)[1], expected)


def test_every_evaluation_is_in_the_log(tmp_path):
    """And only once, where a run was killed between a checkpoint and its records."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe, place = _recipe(epochs=3), Place(tmp_path, checkpoint_every=1)
    with pytest.raises(Stop):
        train(recipe, place, stop_at(9))
    result, _ = train(recipe, place)
    log = EventAccumulator(str(folder_of(recipe, place) / "tensorboard"))
    log.Reload()
    for name in ("test_metric", "train_loss"):
        events = sorted(log.Scalars(name), key=lambda event: event.step)  # files of one second
        assert [event.step for event in events] == result.curves["step"]
        found = torch.tensor([event.value for event in events])
        torch.testing.assert_close(found, torch.tensor(result.curves[name]))


def test_a_killed_run_resumes_bit_for_bit(tmp_path, capsys):
    """SIGKILL, as the machine would be lost, from the command line."""
    arguments = [
        *("train", "pdigits", "--model", "momentum-lstm", "--epochs", "40", "--hidden-size", "8"),
        *("--threads", "1", "--checkpoint-every", "5", "--quiet", "--out"),
    ]
    cut = [*arguments, str(tmp_path / "cut")]
    process = subprocess.Popen(
        [sys.executable, "-m", "torchmomentum", *cut],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )
    runs, deadline = tmp_path / "cut" / "runs", time.monotonic() + 120
    while time.monotonic() < deadline:
        folders = list(runs.glob("pdigits*"))
        if folders and len(checkpoints(folders[0])) == 2:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (folder,) = runs.glob("pdigits*")
    assert checkpoints(folder)
    assert not (folder / "result.json").exists()
    assert main(cut) == 2
    assert "holds this run already, unfinished; give --resume" in capsys.readouterr().err
    assert main([*cut, "--resume"]) == 0
    assert main([*arguments, str(tmp_path / "whole")]) == 0
    (other,) = (tmp_path / "whole" / "runs").glob("pdigits*")
    assert_equal(
        newest_checkpoint(folder).values["model"], newest_checkpoint(other).values["model"]
    )
    assert not list(folder.glob(".*.tmp-*"))  # no half-written file is left


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path):
    recipe = _recipe()
    _, expected = train(recipe, Place(tmp_path / "whole"))
    place = Place(tmp_path / "cut", checkpoint_every=1)
    with pytest.raises(Stop):
        train(recipe, place, stop_at(7))
    newest, _ = checkpoints(folder_of(recipe, place))
    newest.write_bytes(newest.read_bytes()[:1000])
    assert newest_checkpoint(folder_of(recipe, place)).values["step"] == 5
    assert_equal(train(recipe, place)[1], expected)


def test_files_are_whole_or_not_there(tmp_path):
    def fail(path):
        path.write_text("half")
        raise OSError("No space left on device")

    target = tmp_path / "file"
    files.write_text(target, "before")
    with pytest.raises(OSError, match="No space left"):
        files.write_with(target, fail)
    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    inside = tmp_path / "new" / "folder" / "file"
    opened = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    files.write_text(inside, "more")
    assert inside.read_text() == "more"
    assert inside.stat().st_mode & 0o777 == 0o644  # readable by others, unlike a temporary file
    assert not opened or len(os.listdir("/proc/self/fd")) == opened


def test_divergence_is_a_result(tmp_path):
    result = compute(_recipe("momentum-rnn", optimizer="sgd", lr=1e38), Place(tmp_path))
    assert result.failed.startswith("training diverged at step ")
    assert result.values == {}


def test_a_loss_that_exploded_is_said(tmp_path):
    """Finite, and yet nothing was learned: --lr 1e9 ended with an accuracy and no warning."""
    result, _ = train(_recipe("momentum-rnn", optimizer="sgd", lr=1e9), Place(tmp_path))
    assert result.failed is None
    assert result.warning.startswith("training loss exploded: 2.")
    calm, _ = train(_recipe("momentum-rnn"), Place(tmp_path))
    assert calm.warning is None


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        (2.0, 200.0, False),
        (2.0, 201.0, True),
        (-2.0, 201.0, True),
        (0.0, 0.1, False),
        (0, 0.11, True),
    ],
)
def test_a_loss_has_exploded_at_a_hundred_times_the_first(first, last, told):
    history = [{"train_loss": 5.0}, {"train_loss": last}]
    run = SimpleNamespace(history=history, first_loss=first, skipping=None)
    assert (_warning(run) is not None) is told
    assert _warning(SimpleNamespace(history=[], first_loss=1.0, skipping=None)) is None


def test_a_training_keeps_its_time_and_its_threads(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    began = time.perf_counter()
    result, _ = train(_recipe(threads=2), Place(tmp_path))
    assert asked == [2]
    assert 0 < result.costs["train_seconds"] < time.perf_counter() - began
    seconds = result.curves["train_seconds"]
    assert 0 < seconds[0] < seconds[1] == result.costs["train_seconds"]
    assert result.costs["parameters"] == 4 * 8 * (1 + 8 + 2) + 8 * 10 + 10
    # the gates and states of all 64 steps, and in the backward at least one gradient of each gate
    assert result.costs["peak_memory_bytes"] > 64 * 64 * 4 * 8 * 4 * 1.5


def test_the_step_whose_memory_is_measured_has_a_backward(tmp_path, monkeypatch):
    backward, called = torch.Tensor.backward, []

    def observed(self, *arguments, **options):
        called.append(1)
        return backward(self, *arguments, **options)

    monkeypatch.setattr(torch.Tensor, "backward", observed)
    result, _ = train(_recipe(), Place(tmp_path))
    assert len(called) == result.curves["step"][-1] + 2  # one to warm up, one that is measured


def test_an_unknown_precision_is_refused_of_any_recipe(tmp_path):
    with pytest.raises(UsageError, match="unknown precision 'int8'"):
        replace(_recipe(), precision="int8").check(Place(tmp_path))


def test_without_validation_samples_there_is_no_validation(tmp_path):
    batch = (torch.randn(4, 5, 3), torch.arange(4) % 2)
    task = OwnData([batch], [batch])
    with TASKS.lend({"own": task}):
        recipe = training_recipe({"task": "own", "model": "lstm", "hidden_size": 8}, 0)
        result, _ = train(recipe, Place(tmp_path))
    assert set(result.curves) == {
        "epoch",
        "step",
        "train_loss",
        "test_loss",
        "test_metric",
        "train_seconds",
    }
    assert result.values["chosen"] == result.values["last"]


def test_bfloat16_is_autocast(tmp_path):
    found, _ = train(_recipe("lstm", precision="bfloat16"), Place(tmp_path))
    exact, _ = train(_recipe("lstm"), Place(tmp_path))
    difference = found.curves["train_loss"][0] - exact.curves["train_loss"][0]
    assert 0 < abs(difference) < 0.05


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "cuda"}, "device cuda is not available here; use cpu"),
        ({"mu": 1.0}, "mu must be in [0, 1), got 1.0"),
        ({"precision": "int8"}, "unknown precision 'int8'"),
        ({"schedule": {"cosine": True, "warmup": 2}}, "schedule: warmup must be in [0, 1), got 2"),
        ({"schedule": {"warm_up": 0.5}}, "unexpected keyword argument 'warm_up'"),
        (
            {"init": "papers"},
            "init must be one of torch, paper, paper-gates, torch-unit, paper-unit, got 'papers'",
        ),
    ],
)
def test_what_cannot_be_run_is_rejected_before_writing(tmp_path, changes, message):
    if "device" in changes and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UsageError) as error:
        _recipe(**changes).check(Place(tmp_path))
    assert message in str(error.value)
    assert not list(tmp_path.iterdir())
