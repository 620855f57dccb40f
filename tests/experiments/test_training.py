"""Runs on the embedded digits: counted, killed, resumed, compared."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torchmomentum.experiments.compare import compare
from torchmomentum.experiments.configuration import resolve
from torchmomentum.experiments.recorder import checkpoints, newest_checkpoint
from torchmomentum.experiments.training import Place, train

from torchmomentum.experiments import compare as compare_module
from torchmomentum.experiments import files
from torchmomentum.experiments.cli import main
from torchmomentum.experiments.errors import UsageError

from .stopping import Stop, assert_equal, stop_at, weights

SMALL = {"epochs": 2, "hidden_size": 8, "train_limit": 256, "test_limit": 64, "threads": 1}
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",  # Lightning's and TensorBoard's own
    "ignore::UserWarning:torch.utils.tensorboard",
)


def _config(model="momentum-lstm", **changes):
    return resolve("pdigits", model, overrides=SMALL | changes)


def test_every_epoch_takes_all_its_steps(tmp_path):
    told = []
    result = train(
        _config(epochs=3), Place(tmp_path, tmp_path), lambda words, *done: told.append(done)
    )
    assert told == [(step, 12) for step in range(1, 13)]  # 3 epochs of 256 / 64 batches
    assert [record["step"] for record in result["history"]] == [4, 8, 12]
    losses = [record["train_loss"] for record in result["history"]]
    assert len(set(losses)) == 3
    assert result["parameters"] == sum(w.numel() for w in weights(tmp_path).values())
    assert result["peak_memory_bytes"] > 64 * 64 * 8 * 4  # one hidden state of each step
    assert json.loads((tmp_path / "result.json").read_text())["summary"] == result["summary"]
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_two_runs_are_equal_bit_for_bit(tmp_path):
    for name in ("a", "b"):
        train(_config("adam-lstm"), Place(tmp_path / name, tmp_path))
    assert_equal(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_the_summary_chooses_by_validation(tmp_path):
    result = train(_config(epochs=3), Place(tmp_path, tmp_path))
    history = result["history"]
    chosen = max(history, key=lambda record: record["validation_metric"])
    assert result["summary"]["chosen"] == chosen["test_metric"]
    assert result["summary"]["best"] == max(record["test_metric"] for record in history)
    assert result["summary"]["last"] == history[-1]["test_metric"]


@pytest.mark.parametrize("stop", [1, 3, 5, 7, 9, 11])
def test_a_stopped_run_resumes_bit_for_bit(tmp_path, stop):
    config = _config("rmsprop-lstm", epochs=3)
    whole = train(config, Place(tmp_path / "whole", tmp_path))

    place = Place(tmp_path / "cut", tmp_path, resume=True, checkpoint_every=2)
    with pytest.raises(Stop):
        train(config, place, stop_at(stop))
    resumed = train(config, place)
    assert_equal(weights(tmp_path / "cut"), weights(tmp_path / "whole"))
    for a, b in zip(resumed["history"], whole["history"], strict=True):
        assert {k: v for k, v in a.items() if k != "train_seconds"} == {
            k: v for k, v in b.items() if k != "train_seconds"
        }


def test_a_killed_run_resumes_bit_for_bit(tmp_path):
    """SIGKILL, as the machine would be lost, from the command line."""
    command = [
        sys.executable,
        "-m",
        "torchmomentum",
        "train",
        "pdigits",
        "--model",
        "momentum-lstm",
    ]
    command += ["--epochs", "4", "--hidden-size", "8", "--threads", "1", "--checkpoint-every", "5"]
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    whole = [*command, "--quiet", "--out", str(tmp_path / "whole")]
    subprocess.run(whole, check=True, capture_output=True, env=environment)
    cut = [*command, "--quiet", "--out", str(tmp_path / "cut")]
    process = subprocess.Popen(
        cut, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    deadline = time.monotonic() + 60
    while len(checkpoints(tmp_path / "cut")) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "cut" / "result.json").exists()
    subprocess.run([*cut, "--resume"], check=True, capture_output=True, env=environment)
    assert_equal(weights(tmp_path / "cut"), weights(tmp_path / "whole"))


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path):
    config = _config()
    whole = train(config, Place(tmp_path / "whole", tmp_path))
    place = Place(tmp_path / "cut", tmp_path, resume=True, checkpoint_every=1)

    with pytest.raises(Stop):
        train(config, place, stop_at(7))
    newest, before = checkpoints(place.folder)
    newest.write_bytes(newest.read_bytes()[:1000])
    assert newest_checkpoint(place.folder) == before
    assert train(config, place)["summary"] == whole["summary"]
    assert_equal(weights(place.folder), weights(tmp_path / "whole"))


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


def test_a_folder_is_not_taken_over(tmp_path):
    place = Place(tmp_path, tmp_path)
    train(_config(epochs=1), place)
    with pytest.raises(UsageError, match="holds this run already; give --resume"):
        train(_config(epochs=1), place)
    with pytest.raises(
        UsageError, match=r"other settings \(epochs: 1 there, 2 now\); give another"
    ):
        train(_config(epochs=2), place)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UsageError, match=r"config\.json is not valid JSON"):
        train(_config(epochs=1), place)


def test_divergence_is_told(tmp_path):
    config = _config("momentum-rnn", optimizer="sgd", lr=1e38)
    with pytest.raises(UsageError, match="training diverged in epoch 1: train loss"):
        train(config, Place(tmp_path, tmp_path))


def test_a_comparison_goes_on_past_a_divergence(tmp_path):
    """To diverge is the clearest way to lose: the table says so."""
    configs = [
        resolve("pdigits", "lstm", overrides=SMALL | {"epochs": 1}),
        _config("momentum-rnn", optimizer="sgd", lr=1e38, epochs=1),
    ]
    for _ in range(2):  # and again with what is there
        results = compare(configs, Place(tmp_path, tmp_path, resume=True), quiet=True)
        assert [row["diverged"] for row in results["comparison"]] == [0, 1]
        assert "diverged: 1 of 1" in (tmp_path / "summary.md").read_text()
        assert results["runs"][1]["summary"] is None


@pytest.mark.parametrize("task", ["adding", "copying"])
def test_generated_tasks(tmp_path, task):
    config = resolve(task, "adam-lstm", preset="smoke", overrides={"steps": 4, "threads": 1})
    result = train(config, Place(tmp_path, tmp_path))
    assert not result["higher_is_better"]
    assert 0 < result["summary"]["last"] < 3


def test_real_mnist_trains_and_its_permutation_is_fixed(tmp_path, data_folder):
    changes = {"train_limit": 128, "test_limit": 32, "hidden_size": 4, "epochs": 1, "threads": 1}
    results = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        config = resolve("pmnist", "lstm", overrides=changes | {"permutation_seed": seed})
        results.append(
            train(config, Place(tmp_path / name, data_folder, offline=True))["history"][0]
        )
    assert results[0]["train_loss"] == results[1]["train_loss"] != results[2]["train_loss"]


def test_bfloat16_autocast(tmp_path):
    result = train(_config(precision="bfloat16"), Place(tmp_path, tmp_path))
    exact = train(_config(), Place(tmp_path / "exact", tmp_path))
    difference = result["history"][0]["train_loss"] - exact["history"][0]["train_loss"]
    assert 0 < abs(difference) < 0.05


@pytest.mark.parametrize("jobs", [1, 2])
def test_compare_writes_everything_and_repeats_nothing(tmp_path, jobs, monkeypatch):
    configs = [
        resolve("pdigits", model, seed=seed, overrides=SMALL | {"epochs": 1})
        for seed in range(2)
        for model in ("lstm", "momentum-lstm")
    ]
    place = Place(tmp_path, tmp_path, resume=True)
    results = compare(configs, place, jobs=jobs, quiet=True)
    written = {path.name for path in tmp_path.iterdir()}
    assert {"results.json", "summary.md", "test_metric.png", "train_loss.svg"} <= written
    assert (tmp_path / "test_metric.png").read_bytes()[1:4] == b"PNG"
    assert [row["model"] for row in results["comparison"]] == ["lstm", "momentum-lstm"]
    assert results["comparison"][1]["difference"]["low"] is not None
    assert len(results["runs"]) == 4
    # the same order of data for every model
    orders = {(r["config"]["order_seed"], r["config"]["permutation_seed"]) for r in results["runs"]}
    assert orders == {(0, 0), (1, 0)}

    def fail(*_):
        raise AssertionError("a finished run was repeated")

    monkeypatch.setattr(compare_module, "train", fail)
    again = compare(configs, place, jobs=jobs, quiet=True)
    assert again["comparison"] == results["comparison"]
    with pytest.raises(UsageError, match="holds this run already; give --resume"):
        compare(configs, Place(tmp_path, tmp_path), quiet=True)


def test_the_command_line_from_end_to_end(tmp_path, capsys):
    out = tmp_path / "out"
    arguments = [
        "compare",
        "pdigits",
        "--models",
        "lstm,rmsprop-lstm",
        "--seeds",
        "2",
        "--epochs",
        "1",
    ]
    arguments += ["--hidden-size", "4", "--jobs", "1", "--quiet", "--out", str(out)]
    arguments += ["--beta", "0.8"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "rmsprop-lstm" in shown
    assert "verdict" in shown
    document = tmp_path / "document.md"
    document.write_text("before\n<!-- x:begin -->\nold\n<!-- x:end -->\nafter\n")
    assert main(["report", str(out / "results.json"), "--into", str(document), "--mark", "x"]) == 0
    text = document.read_text()
    assert "| rmsprop-lstm |" in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert main(["report", str(out / "results.json"), "--into", str(document), "--mark", "y"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "unknown command 'trian'; did you mean train?"),
        (["train"], "the following arguments are required: TASK, --model"),
        (["train", "mnits", "--model", "lstm"], "unknown task 'mnits'; did you mean mnist"),
        (["train", "digits", "--model", "lstm", "--epochs", "many"], "invalid int value: 'many'"),
        (["train", "digits", "--model", "lstm", "--device", "gpu"], "unknown device 'gpu'"),
        (
            ["train", "digits", "--model", "lstm", "--device", "cuda"],
            "device cuda is not available",
        ),
        (["train", "digits", "--model", "momentum-lstm", "--mu", "1"], "mu must be in [0, 1)"),
        (["train", "digits", "--model", "lstm", "--batch-size", "5000"], "at most the"),
        (
            ["train", "digits", "--model", "lstm", "--checkpoint-every", "0"],
            "checkpoint-every must",
        ),
        (["compare", "digits", "--models", "lstm,lstm"], "models names one twice"),
        (["compare", "digits", "--models", ","], "models needs at least one name"),
        (["compare", "digits", "--seeds", "0"], "seeds must be at least 1, got 0"),
        (["compare", "digits", "--jobs", "0"], "jobs must be at least 1, got 0"),
        (["report", "nowhere.json"], "nowhere.json does not exist"),
        (["train", "digits", "--model", "lstm", "--batch-sise", "3"], "did you mean --batch-size"),
        (["train", "digits", "--model", "lstm", "--epoch", "3"], "unknown option '--epoch'"),
        (
            ["train", "digits", "--model", "lstm", "--seed", "-1"],
            "seed must be in [0, 2**63), got -1",
        ),
        (["train", "digits", "--model", "lstm", "--threads", "99999"], "threads must be at most"),
        (["compare", "digits", "--seed", "7"], "unknown option '--seed'; did you mean --seeds"),
        (["compare", "digits", "--models", "lstm,gru", "--mu", "7"], "none of lstm,gru has mu"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(arguments, message, capsys, monkeypatch, tmp_path):
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.chdir(tmp_path)
    if arguments[0] != "report":
        arguments = [*arguments, "--quiet"] if len(arguments) > 1 else arguments
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.startswith("torchmomentum: error: ")
    assert printed.err.count("\n") == 1
    assert not list(Path(tmp_path).glob("runs/**/config.json"))


def test_help_everywhere(capsys):
    for arguments in ([], ["--help"], ["train", "--help"], ["compare", "--help"], ["report", "-h"]):
        try:
            code = main(arguments)
        except SystemExit as exit_:
            code = exit_.code
        assert code == 0
        assert "usage: torchmomentum" in capsys.readouterr().out
    assert main(["list"]) == 0
    assert "pmnist --preset paper" in capsys.readouterr().out
