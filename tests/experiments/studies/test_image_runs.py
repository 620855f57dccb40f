"""Image runs: trained as by hand, scheduled, killed, resumed, refused."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

import torchmomentum.optim as topt
from torchmomentum.experiments.cli import main
from torchmomentum.experiments.engine import checkpoints as checkpoints_module
from torchmomentum.experiments.engine.checkpoints import checkpoints
from torchmomentum.experiments.engine.optimizers import build_optimizer, build_schedules
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.engine.training import setup
from torchmomentum.experiments.studies.images import image_recipe
from torchmomentum.experiments.studies.run import load_results

from ...reference.trainer import train_by_hand
from ..stopping import Stop, assert_equal, stop_at, train, weights, without_seconds

SMALL = {"batch_size": 32, "train_limit": 128, "test_limit": 50, "threads": 1}
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset's


def _recipe(optimizer="srsgd-linear", epochs=5, seed=0, **changes):
    settings = {"recipe": "cifar10", "data": "cifar10-jpeg", "depth": 11, "optimizer": optimizer}
    return image_recipe({**settings, "epochs": epochs, **SMALL, **changes}, seed)


def _arguments(folder, out, *options, name="cifar10", data="cifar10-jpeg"):
    return [
        *("reproduce", name, "--scale", "smoke", "--data", data, "--data-dir", str(folder)),
        *("--out", str(out), "--runs", str(out / "runs"), "--threads", "1", "--jobs", "1"),
        *("--quiet", "--offline", *options),
    ]


@pytest.mark.parametrize("optimizer", ["sgd", "srsgd-linear"])
def test_equals_a_training_by_hand_under_the_recipes_schedule(optimizer, cifar_folder, tmp_path):
    """Weight decay, milestones, intervals: to the bit, and the schedule written out."""
    recipe = _recipe(optimizer)
    place = Place(tmp_path, cifar_folder, checkpoint_every=1000)
    result, trained = train(recipe, place)
    data, model = setup(recipe, place)
    parameters = model.parameters()
    if optimizer == "sgd":
        by_hand = torch.optim.SGD(parameters, 0.1, momentum=0.9, weight_decay=5e-4)
        schedulers = []
    else:
        by_hand = topt.SRSGD(parameters, 0.1, weight_decay=5e-4, restart_every=30)
        schedulers = [
            topt.RestartScheduler(by_hand, [2, 3, 4], [30, 60, 90, 120], restart_at_milestones=True)
        ]
    schedulers.insert(0, torch.optim.lr_scheduler.MultiStepLR(by_hand, [2, 3, 4], 0.1))
    history = train_by_hand(data, model, by_hand, epochs=5, schedulers=schedulers)
    curves = result.curves
    found = zip(curves["train_loss"], curves["test_loss"], curves["test_metric"], strict=True)
    assert list(found) == history
    assert_equal(trained, model.state_dict())
    assert "validation_metric" not in curves
    assert result.values["chosen"] == result.values["last"]
    assert curves["train_loss"][-1] < curves["train_loss"][0]


def test_schedules_by_epoch():
    recipe = _recipe(epochs=10)
    parameter = torch.nn.Parameter(torch.zeros(2))
    optimizer = build_optimizer(recipe, [parameter])
    schedules = build_schedules(recipe, optimizer)
    seen = []
    for _ in range(10):
        parameter.grad = torch.ones(2)
        optimizer.step()
        group = optimizer.param_groups[0]
        seen.append((round(group["lr"], 6), group["restart_every"], int(group["cycle_step"])))
        for schedule in schedules:
            schedule.step()
    assert [lr for lr, _, _ in seen] == [0.1] * 4 + [0.01] * 2 + [0.001] * 2 + [1e-4] * 2
    assert [every for _, every, _ in seen] == [30] * 4 + [60] * 2 + [90] * 2 + [120] * 2
    assert [cycle for _, _, cycle in seen] == [1, 2, 3, 4, 1, 2, 1, 2, 1, 2]


def test_another_seed_is_another_order_and_another_network(cifar_folder, tmp_path):
    one, two = (setup(_recipe(seed=seed), Place(tmp_path, cifar_folder)) for seed in (0, 1))
    assert not torch.equal(next(iter(one[0].train))[0], next(iter(two[0].train))[0])
    assert not torch.equal(one[1].stem.weight, two[1].stem.weight)


@pytest.mark.parametrize("stop", [2, 7])
def test_a_stopped_run_resumes_bit_for_bit(cifar_folder, tmp_path, stop):
    recipe = _recipe(epochs=3, evaluate_every=2)  # of four steps each
    whole, expected = train(recipe, Place(tmp_path / "whole", cifar_folder))
    assert whole.curves["epoch"] == [2, 3]
    place = Place(tmp_path / "cut", cifar_folder, checkpoint_every=2)
    with pytest.raises(Stop):
        train(recipe, place, stop_at(stop))
    told = []
    resumed, found = train(recipe, place, lambda words, step, steps: told.append(step))
    assert told[0] == (stop - 1) // 2 * 2 + 1
    assert_equal(found, expected)
    assert without_seconds(resumed.curves) == without_seconds(whole.curves)


def test_a_killed_figure_resumes_bit_for_bit(cifar_folder, tmp_path, capsys):
    options = ["--epochs", "4", "--train-limit", "64", "--batch-size", "16"]
    options += ["--checkpoint-every", "3"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert main(_arguments(cifar_folder, whole, *options)) == 0
    arguments = _arguments(cifar_folder, cut, *options)
    process = subprocess.Popen(
        [sys.executable, "-m", "torchmomentum", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        second = list((cut / "runs").glob("*-srsgd-*"))
        if second and checkpoints(second[0]):
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (cut / "results.json").exists()
    capsys.readouterr()
    assert main([*arguments, "--resume"]) == 0
    assert "SRSGD, linear" in capsys.readouterr().out
    runs = sorted((whole / "runs").iterdir())
    assert len(runs) == 2
    for run in runs:
        assert_equal(weights(cut / "runs" / run.name), weights(run))


@pytest.mark.parametrize("name", ["cifar10", "error-vs-depth", "fewer-epochs"])
def test_figures(name, cifar_folder, tmp_path, capsys):
    options = ["--train-limit", "64", "--batch-size", "32"]
    assert main(_arguments(cifar_folder, tmp_path, *options, name=name)) == 0
    assert "cifar10-jpeg" in capsys.readouterr().out
    assert all(run.curves["epoch"] for run in load_results(tmp_path).runs)
    assert "| SGD | 11 | 1 |" in (tmp_path / "table.md").read_text()
    assert "JPEG" in (tmp_path / "table.md").read_text()
    assert (tmp_path / "curves.png").stat().st_size
    assert main(_arguments(cifar_folder, tmp_path, *options, name=name)) == 2
    assert "holds results already" in capsys.readouterr().err
    assert main(_arguments(cifar_folder, tmp_path, *options, "--resume", name=name)) == 0
    other = "cifar10" if name != "cifar10" else "fewer-epochs"
    assert main(_arguments(cifar_folder, tmp_path, *options, "--resume", name=other)) == 2
    capsys.readouterr()
    assert main(["report", str(tmp_path / "results.json"), "--markdown"]) == 0
    assert capsys.readouterr().out.strip() == (tmp_path / "table.md").read_text().strip()


@pytest.mark.parametrize("folder", ["imagenet_folder", "shard_folder"])
def test_imagenet(folder, request, tmp_path, capsys):
    data = request.getfixturevalue(folder)
    out = tmp_path / "out"
    assert main(_arguments(data, out, "--workers", "2", name="imagenet", data="imagenet")) == 0
    assert "SRSGD, linear" in capsys.readouterr().out
    assert "| SRSGD, linear | 50 | 1 |" in (out / "table.md").read_text()


def test_other_images_by_a_recipe(cifar_folder, tmp_path, capsys):
    """CIFAR-10's, where a figure's own images are not at hand; the table says so."""
    options = ["--train-limit", "64", "--batch-size", "32"]
    assert main(_arguments(cifar_folder, tmp_path, *options, name="cifar100")) == 0
    out = " ".join(capsys.readouterr().out.split())
    told = "on cifar10-jpeg, which stands in for cifar100"
    for text in (out, *((tmp_path / f).read_text() for f in ("table.md", "curves.svg"))):
        assert told in text
    assert "JPEG-encoded again" in (tmp_path / "table.md").read_text()


def test_results_of_other_images_are_not_written_over(cifar_folder, tmp_path, capsys):
    arguments = _arguments(cifar_folder, tmp_path, "--train-limit", "64", "--batch-size", "32")
    assert main(arguments) == 0
    path = tmp_path / "results.json"
    text = path.read_text().replace('"task": "cifar10-jpeg"', '"task": "cifar10"')
    path.write_text(text)
    capsys.readouterr()
    assert main([*arguments, "--resume"]) == 2
    assert "holds results of cifar10, smoke, cifar10, not of" in capsys.readouterr().err
    assert path.read_text() == text


def test_two_processes_train_one_run(cifar_folder, tmp_path):
    """Fabric starts the second one. Both see their half of each batch, and end alike."""
    options = ["--devices", "2", "--train-limit", "128", "--batch-size", "64", "--epochs", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "torchmomentum", *_arguments(cifar_folder, tmp_path, *options)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("difference from SGD") == 1  # one of them shows the table
    results = load_results(tmp_path)
    assert [run.recipe["devices"] for run in results.runs] == [2, 2]
    for run in results.runs:
        losses = run.curves["train_loss"]
        assert np.isfinite(losses).all()
        assert losses[1] < losses[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--scale", "dsk"], "did you mean desk"),
        (["--data", "cifar"], "did you mean cifar10"),
        (["--depths", "21"], "depth must be 9 n + 2"),
        (["--depths", "a"], "depths must be whole numbers, got a"),
        (["--epochs", "0"], "epochs must be at least 1, got 0"),
        (["--batch-size", "400"], "batch_size must be at most the 256 training images, got 400"),
        (["--iterations", "5"], "has no iterations"),
        (["--jobs", "0"], "jobs must be at least 1"),
        (["--jobs", "2", "--devices", "2"], "jobs must be 1 with several devices"),
        (["--device", "cuda"], "device cuda is not available here"),
        (["--data", "cifar10"], "cifar10 is not in"),
    ],
)
def test_wrong_use_is_told_in_one_line(options, words, cifar_folder, tmp_path, capsys):
    if "cuda" in options and torch.cuda.is_available():
        pytest.skip("there is one here")
    assert main([*_arguments(cifar_folder, tmp_path / "out"), *options]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_a_slide_takes_no_depths(capsys):
    assert main(["reproduce", "slides-quadratic", "--depths", "20"]) == 2
    assert "slides-quadratic has no depths" in capsys.readouterr().err


def test_a_diverged_run_is_told_and_the_others_go_on(cifar_folder, tmp_path, capsys):
    options = ["--lr", "1e30", "--train-limit", "64", "--batch-size", "32", "--epochs", "2"]
    assert main(_arguments(cifar_folder, tmp_path, *options)) == 0
    assert "SGD (diverged: 1 of 1)" in (tmp_path / "table.md").read_text()
    assert "training diverged at step" in load_results(tmp_path).runs[0].failed


def test_a_full_disk_loses_nothing(cifar_folder, tmp_path, monkeypatch, capsys):
    options = ["--train-limit", "64", "--batch-size", "32", "--epochs", "3"]
    write, written = checkpoints_module.write_bytes, []

    def fill(path, content):
        written.append(path)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(checkpoints_module, "write_bytes", fill)
    assert main(_arguments(cifar_folder, tmp_path, *options)) == 74
    err = capsys.readouterr().err
    assert "No space left on device" in err
    assert err.count("\n") == 1
    assert len(checkpoints(written[0].parent)) == 2
    assert main(_arguments(cifar_folder, tmp_path, *options, "--resume")) == 0
