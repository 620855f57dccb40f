"""Image runs from the command line: trained, scheduled, killed, resumed, refused."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torchmomentum.experiments.images.recipes import resolve_image
from torchmomentum.experiments.images.setup import image_optimizer, image_schedules, image_setup
from torchmomentum.experiments.recorder import checkpoints, newest_checkpoint
from torchmomentum.experiments.training import Place, train

from torchmomentum.experiments.cli import main

from ..stopping import Stop, assert_equal, stop_at, weights

SMALL = {"batch_size": 64, "test_limit": 50, "threads": 1}
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Lightning's and TensorBoard's own
    pytest.mark.filterwarnings("ignore::UserWarning:torch.utils.tensorboard"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # webdataset's
]


def _config(optimizer="srsgd-linear", epochs=5, **changes):
    return resolve_image(
        "cifar10",
        optimizer,
        data="cifar10-jpeg",
        depth=11,
        preset="smoke",
        seed=0,
        epochs=epochs,
        changes=SMALL | changes,
    )


def _arguments(folder, out, *options, name="cifar10", data="cifar10-jpeg"):
    return [
        *("reproduce", name, "--scale", "smoke", "--data", data, "--data-dir", str(folder)),
        *("--out", str(out), "--runs", str(out / "runs"), "--threads", "1", "--jobs", "1"),
        *("--quiet", "--offline", *options),
    ]


@pytest.mark.parametrize("optimizer", ["sgd", "srsgd-linear"])
def test_learns_under_the_recipes_schedule(optimizer, cifar_folder, tmp_path):
    config = _config(optimizer)
    assert config.milestones == (2, 3, 4)
    place = Place(tmp_path / "run", cifar_folder, checkpoint_every=1000)
    result = train(config, place)
    assert [record["epoch"] for record in result["history"]] == [1, 2, 3, 4, 5]
    assert "validation_metric" not in result["history"][0]
    assert result["summary"]["chosen"] == result["summary"]["last"]
    assert result["history"][-1]["train_loss"] < result["history"][0]["train_loss"]
    assert result["parameters"] == sum(
        p.numel() for p in image_setup(config, cifar_folder)[1].parameters()
    )
    group = torch.load(newest_checkpoint(place.folder), weights_only=True)["optimizer_states"][0][
        "param_groups"
    ][0]
    assert group["lr"] == pytest.approx(1e-4)
    assert group["weight_decay"] == 5e-4
    if optimizer == "sgd":
        assert (group["momentum"], group["nesterov"]) == (0.9, False)
    else:
        assert group["restart_every"] == 120
        assert group["cycle_step"] == 5  # afresh at the last milestone, then an epoch's steps


def test_schedules_by_epoch():
    config = _config(epochs=10)
    parameter = torch.nn.Parameter(torch.zeros(2))
    optimizer = image_optimizer(config, [parameter])
    schedules = image_schedules(config, optimizer)
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


def test_two_runs_are_equal_and_another_seed_is_not(cifar_folder, tmp_path):
    for name in ("a", "b"):
        train(_config(epochs=1), Place(tmp_path / name, cifar_folder))
    assert_equal(weights(tmp_path / "a"), weights(tmp_path / "b"))
    one, two = (image_setup(c, cifar_folder) for c in (_config(), _config(init_seed=1)))
    assert not torch.equal(next(iter(one[0].train))[0], next(iter(two[0].train))[0])
    assert not torch.equal(one[1].stem.weight, two[1].stem.weight)


def test_evaluates_now_and_then_and_at_the_end(cifar_folder, tmp_path):
    result = train(_config(epochs=5, evaluate_every=2), Place(tmp_path, cifar_folder))
    assert [record["epoch"] for record in result["history"]] == [2, 4, 5]


@pytest.mark.parametrize("stop", [2, 7, 10])
def test_a_stopped_run_resumes_bit_for_bit(cifar_folder, tmp_path, stop):
    config = _config(epochs=3)  # of five steps each
    whole = train(config, Place(tmp_path / "whole", cifar_folder))

    place = Place(tmp_path / "cut", cifar_folder, resume=True, checkpoint_every=2)
    with pytest.raises(Stop):
        train(config, place, stop_at(stop))
    resumed = train(config, place)
    assert_equal(weights(tmp_path / "cut"), weights(tmp_path / "whole"))
    assert resumed["summary"] == whole["summary"]


def test_a_killed_figure_resumes_bit_for_bit(cifar_folder, tmp_path):
    options = ["--epochs", "4", "--train-limit", "320", "--checkpoint-every", "3"]
    command = [sys.executable, "-m", "torchmomentum"]
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    subprocess.run(
        [*command, *_arguments(cifar_folder, whole, *options)],
        check=True,
        capture_output=True,
        env=environment,
    )
    arguments = [*command, *_arguments(cifar_folder, cut, *options)]
    process = subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    second = cut / "runs" / "cifar10-jpeg" / "smoke" / "srsgd-linear-depth-11-epochs-4" / "seed-0"
    deadline = time.monotonic() + 120
    while not checkpoints(second) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (cut / "results.json").exists()
    done = subprocess.run(
        [*arguments, "--resume"], check=True, capture_output=True, env=environment, text=True
    )
    assert "| SRSGD, linear | 11 | 4 |" in done.stdout
    for model in ("sgd", "srsgd-linear"):
        run = f"runs/cifar10-jpeg/smoke/{model}-depth-11-epochs-4/seed-0"
        assert_equal(weights(cut / run), weights(whole / run))


@pytest.mark.parametrize("name", ["cifar10", "error-vs-depth", "fewer-epochs"])
def test_figures(name, cifar_folder, tmp_path, capsys):
    options = ["--train-limit", "64", "--batch-size", "32"]
    assert main(_arguments(cifar_folder, tmp_path, *options, name=name)) == 0
    assert "| SGD | 11 | 1 |" in capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    assert all(run["history"] for run in results["runs"])
    assert "JPEG" in (tmp_path / "table.md").read_text()
    assert (tmp_path / "curves.png").stat().st_size
    assert main(_arguments(cifar_folder, tmp_path, *options, name=name)) == 2
    assert "holds results already" in capsys.readouterr().err
    assert main(_arguments(cifar_folder, tmp_path, *options, "--resume", name=name)) == 0
    other = "cifar10" if name != "cifar10" else "fewer-epochs"
    assert main(_arguments(cifar_folder, tmp_path, *options, "--resume", name=other)) == 2
    capsys.readouterr()
    assert main(["report", str(tmp_path / "results.json")]) == 0
    assert capsys.readouterr().out.strip() == (tmp_path / "table.md").read_text().strip()


@pytest.mark.parametrize("folder", ["imagenet_folder", "shard_folder"])
def test_imagenet(folder, request, tmp_path, capsys):
    data = request.getfixturevalue(folder)
    out = tmp_path / "out"
    assert main(_arguments(data, out, "--workers", "2", name="imagenet", data="imagenet")) == 0
    assert "| SRSGD, linear | 50 | 1 |" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["cifar100", "imagenet"])
def test_other_images_by_a_recipe(name, cifar_folder, tmp_path, capsys):
    """CIFAR-10's, where a figure's own images are not at hand; the table says so."""
    options = ["--train-limit", "64", "--batch-size", "32"]
    assert main(_arguments(cifar_folder, tmp_path, *options, name=name)) == 0
    out = capsys.readouterr().out
    assert "| SRSGD, linear |" in out
    told = f"on cifar10-jpeg, which stands in for {name}"
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
    assert "holds results already" in capsys.readouterr().err
    assert path.read_text() == text


def test_two_processes_train_one_run(cifar_folder, tmp_path):
    """Lightning starts the second one; the losses are those of one process but for batch norms."""
    options = ["--devices", "2", "--train-limit", "128", "--batch-size", "64", "--epochs", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "torchmomentum", *_arguments(cifar_folder, tmp_path, *options)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| SGD | 11 | 2 |") == 1
    results = json.loads((tmp_path / "results.json").read_text())
    assert [run["config"]["devices"] for run in results["runs"]] == [2, 2]
    assert all(np.isfinite(run["summary"]["last"]) for run in results["runs"])


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
    assert "SGD (diverged: 1 of 1)" in capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    assert "training diverged in epoch" in results["runs"][0]["diverged"]


def test_a_full_disk_loses_nothing(cifar_folder, tmp_path, monkeypatch, capsys):
    from torchmomentum.experiments import recorder

    options = ["--train-limit", "64", "--batch-size", "32", "--epochs", "3"]
    write, written = recorder.write_with, []

    def fill(path, content):
        written.append(path)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(recorder, "write_with", fill)
    assert main(_arguments(cifar_folder, tmp_path, *options)) == 2
    err = capsys.readouterr().err
    assert "No space left on device" in err
    assert err.count("\n") == 1
    assert len(checkpoints(written[0].parent)) == 2
    assert main(_arguments(cifar_folder, tmp_path, *options, "--resume")) == 0
