"""The command line: comparisons from end to end, wrong use in one line, help and lists."""

import os
import subprocess
import sys

import pytest
import torch

from torchmomentum.experiments.cli import main
from torchmomentum.experiments.engine import pool
from torchmomentum.experiments.studies.run import load_results

SMALL = ["--epochs", "1", "--hidden-size", "4", "--train-limit", "128", "--test-limit", "64"]
SMALL += ["--threads", "1", "--jobs", "1", "--quiet"]


def test_a_comparison_from_end_to_end(tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["compare", "pdigits", "--models", "lstm,rmsprop-lstm", "--seeds", "2"]
    arguments += [*SMALL, "--out", str(out), "--beta", "0.8"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "rmsprop-lstm" in shown
    assert "verdict" in shown
    written = {path.name for path in out.iterdir()}
    assert {"results.json", "table.md", "test_metric.png", "train_loss.svg"} <= written
    results = load_results(out)
    assert [run.arm["model"] for run in results.runs] == ["lstm", "rmsprop-lstm"] * 2
    assert [run.recipe["order_seed"] for run in results.runs] == [0, 0, 1, 1]
    assert results.runs[1].recipe["model_options"]["rule"]["beta"] == 0.8
    document = tmp_path / "document.md"
    document.write_text("before\n<!-- x:begin -->\nold\n<!-- x:end -->\nafter\n")
    for given in (out, out / "results.json"):  # a folder or its file
        assert main(["report", str(given), "--into", str(document), "--mark", "x"]) == 0
        text = document.read_text()
        assert "| rmsprop-lstm |" in text
        assert "old" not in text
        assert text.startswith("before\n")
        assert text.endswith("after\n")
    assert main(["report", str(out), "--into", str(document), "--mark", "y"]) == 2
    assert main(["report", str(out), "--markdown", "--table", "time-to-accuracy"]) == 0
    assert "seeds that reached it" in capsys.readouterr().out


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_nothing_is_repeated_and_nothing_taken_over(tmp_path, capsys, jobs, monkeypatch):
    arguments = ["compare", "pdigits", "--models", "lstm,gru", "--seeds", "1", *SMALL]
    arguments += ["--out", str(tmp_path), "--jobs", jobs]
    assert main(arguments) == 0
    table = (tmp_path / "table.md").read_text()

    def fail(*_):
        raise AssertionError("a finished run was repeated")

    monkeypatch.setattr(pool, "compute", fail)
    assert main([*arguments, "--resume"]) == 0
    assert (tmp_path / "table.md").read_text() == table
    assert main(arguments) == 2
    assert "holds results already; give --resume or another --out" in capsys.readouterr().err
    other = ["compare", "digits", "--models", "lstm", "--seeds", "1", *SMALL, "--resume"]
    assert main([*other, "--out", str(tmp_path)]) == 2
    assert "holds results of pdigits, desk, pdigits, not of digits" in capsys.readouterr().err


def test_lists_and_a_model_twice(tmp_path, capsys):
    models = "momentum-lstm,momentum-lstm@mu=0.9@hidden_size=5,lstm"
    arguments = ["compare", "pdigits", "--models", models, "--seeds", "1", "--mu", "0.3,0.6"]
    assert main([*arguments, *SMALL, "--out", str(tmp_path)]) == 0
    found = {run.arm["model"]: run.recipe["model_options"] for run in load_results(tmp_path).runs}
    assert list(found) == [
        *("momentum-lstm@mu=0.3", "momentum-lstm@mu=0.6"),
        *("momentum-lstm@mu=0.9@hidden_size=5", "lstm"),
    ]
    assert [found[name].get("rule", {}).get("mu") for name in found] == [0.3, 0.6, 0.9, None]
    assert [found[name]["hidden_size"] for name in found] == [4, 4, 5, 4]


def test_a_comparison_goes_on_past_a_divergence(tmp_path, capsys):
    """To diverge is the clearest way to lose: the table says so."""
    arguments = ["compare", "pdigits", "--models", "rnn,momentum-rnn@lr=1e38@optimizer=sgd"]
    arguments += [*SMALL, "--seeds", "1", "--out", str(tmp_path)]
    for _ in range(2):  # and again with what is there
        assert main([*arguments, "--resume"]) == 0
        assert "diverged: 1 of 1" in (tmp_path / "table.md").read_text()


def test_digits_import_no_pictures(tmp_path):
    """A comparison of digits needs no CIFAR, no ResNet, no slides, no trainer of Lightning's."""
    code = (
        "import sys; from torchmomentum.experiments.cli import main; "
        "code = main(sys.argv[1:]); "
        "print(code, [m for m in sys.modules if any(w in m for w in "
        "('cifar', 'resnet', 'imagenet', 'slides', 'lightning.pytorch', 'webdataset'))])"
    )
    arguments = ["compare", "digits", "--models", "lstm", "--seeds", "1", *SMALL]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "0 []"


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
        (
            ["train", "digits", "--model", "adam-lstm", "--mu", "0.3,0.6"],
            "train takes one mu, got 2",
        ),
        (
            ["train", "digits", "--model", "lstm", "--on-nonfinite", "stop"],
            "unknown on_nonfinite 'stop'; did you mean skip",
        ),
        (["list", "--use", "x.py"], "put --use before the command"),
        (["bench", "layers", "--precision", "bfloat16"], "layers has no precision"),
        (["bench", "layers", "--models", "gru"], "layers has no models"),
        (["bench", "optim", "--shape", "1,1,1,1"], "optim has no shape"),
        (["bench", "time-to-accuracy", "--seconds", "3"], "time-to-accuracy has no seconds"),
        (["reproduce", "cifar10", "--set", "mu=3"], "cifar10 has no mu; it has: data, depths"),
        (["reproduce", "cifar10", "--set", "mu"], "a setting is NAME=VALUE, got mu"),
        (
            ["compare", "digits", "--models", "lstm@hidden-size=abc"],
            "hidden_size must be a whole number, got 'abc'",
        ),
        (
            ["compare", "digits", "--models", "lstm@epochs=2.5"],
            "epochs must be a whole number, got 2.5",
        ),
        (["compare", "digits", "--models", "lstm@lr=x"], "lr must be a number, got 'x'"),
        (["compare", "digits", "--models", "lstm,lstm"], "models lists lstm twice"),
        (["compare", "digits", "--mu", "0.3,a"], "invalid number: 'a'"),
        (["compare", "digits", "--models", "lstm@mu=0.3"], "lstm has no mu"),
        (["compare", "mnist", "--offline", "--data-dir", "nowhere"], "MNIST is not in nowhere"),
        (["compare", "digits", "--models", ","], "models needs at least one name"),
        (["compare", "digits", "--seeds", "0"], "seeds must be at least 1, got 0"),
        (["compare", "digits", "--jobs", "0"], "jobs must be at least 1, got 0"),
        (["report", "nowhere.json"], "nowhere.json does not exist"),
        (["report", "."], ". has no results, no runs"),
        (["report", ".", "--markdown"], "results.json does not exist"),
        (["report", ".", ".", "--markdown"], "Markdown is of one PATH, got 2"),
        (["report", ".", "--markdown", "--mark", "x"], "--mark is of the document that --into"),
        (["report", ".", "--markdown", "--out", "x.md"], "--out is the page's file; Markdown is"),
        (["report", ".", "--into", "x.md", "--out", "y.md"], "--out is the page's file"),
        (["report", ".", "--table", "comparisn"], "did you mean comparison"),
        (["watch", "nowhere"], "nowhere does not exist"),
        (["watch", ".", "--port", "70000"], "port must be in [0, 65535], got 70000"),
        (["report", __file__], "is not valid JSON"),
        (["--use", "nothing.py", "list"], "there is no such file"),
        (["--use", "no_such_module", "list"], "No module named 'no_such_module'"),
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
    if arguments[0] in ("train", "compare"):
        arguments = [*arguments, "--quiet"] if len(arguments) > 1 else arguments
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.startswith("torchmomentum: error: ")
    assert printed.err.count("\n") == 1
    assert not list(tmp_path.glob("runs/**/*.json"))


def test_help_everywhere(capsys):
    commands = ("train", "compare", "reproduce", "bench", "report", "watch", "list")
    for arguments in ([], ["--help"], *([command, "--help"] for command in commands)):
        try:
            code = main(arguments)
        except SystemExit as exit_:
            code = exit_.code
        assert code == 0
        assert "usage: torchmomentum" in capsys.readouterr().out


def test_the_list_tells_what_is_run(capsys):
    """Hyperparameters are those of the scale's size: pmnist's sr of 128 units is not of 256."""
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    desk, paper = (
        next(i for i, line in enumerate(lines) if line.startswith(f"pmnist --scale {scale}"))
        for scale in ("desk", "paper")
    )
    assert "    sr: step_size=0.01, restart=6" in lines[desk : desk + 6]
    assert "    sr: step_size=0.9, restart=40" in lines[paper : paper + 6]
    for name in ("reproduce slides-bnn", "reproduce imagenet-fewer-epochs", "bench layers:"):
        assert any(line.startswith(name) for line in lines), name


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m torchmomentum list | head -n 1"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0
    assert done.stderr == ""
