"""The examples run, and those that add something work from outside the package too."""

import os
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from torchmomentum.experiments.cli.entry import _parser
from torchmomentum.experiments.registry import CELLS, RULES, STUDIES, TASKS
from torchmomentum.experiments.sweeps.space import parse

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(path, capsys, monkeypatch):
    needs = {"recurrent_ppo": "sb3_contrib", "private_training": "opacus"}
    if path.stem in needs:
        pytest.importorskip(needs[path.stem])
    for registry in (TASKS, STUDIES, CELLS, RULES):  # what an example registers is its own
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    runpy.run_path(str(path), run_name="__main__")
    printed = capsys.readouterr().out
    if path.stem == "srsgd":
        assert float(printed.split()[2].rstrip(",")) > 0.95
    elif path.stem in ("swap_lstm", "add_rule", "add_cell"):
        losses = [float(line.split()[-1]) for line in printed.splitlines() if "loss" in line]
        assert losses[-1] < 0.3 * losses[0]
    elif path.stem == "existing_models":
        lines = printed.splitlines()
        assert len(lines) == 5
        for line in lines:  # in make third-party all five are there
            assert line.endswith("not installed") or "(LSTM): error" in line
    elif path.stem == "private_training":
        assert float(printed.split()[1]) > 0.75
    elif path.stem == "recurrent_ppo":
        assert float(printed.split()[-1]) < 1e-6
    elif path.stem == "add_task":
        assert "| momentum-gru |" in printed
    else:
        assert path.stem == "add_study"
        assert "| length 20, momentum-lstm |" in printed


def _of_slurm():
    lines = (FOLDER / "cluster" / "sweep.sbatch").read_text().replace("\\\n", " ").splitlines()
    return shlex.split(next(line for line in lines if line.startswith("torchmomentum")))


def _of_kubernetes():
    (container,) = yaml.safe_load((FOLDER / "cluster" / "sweep.yaml").read_text())["spec"][
        "template"
    ]["spec"]["containers"]
    return [*container["command"], *container["args"]]


@pytest.mark.parametrize("command", [_of_slurm, _of_kubernetes])
def test_the_clusters_commands_are_understood(command):
    program, *arguments = command()
    options = _parser().parse_args(arguments)
    assert program == "torchmomentum"
    assert [*parse(options.space)] == ["lr", "mu", "step_size"]
    assert options.resume
    assert (options.jobs, options.threads, options.trials) == (1, 1, 100)


@pytest.mark.parametrize(
    ("example", "arguments", "words"),
    [
        ("add_task", ["list"], "parity --scale smoke: parity of random bits"),
        ("add_study", ["reproduce", "momentum-by-length", "--scale", "smoke"], "momentum-lstm"),
        ("add_cell", ["compare", "pdigits", "--models", "mgu", "--controls"], "rms-mgu"),
        ("add_rule", ["compare", "pdigits", "--models", "lstm,average-gru"], "average-gru"),
    ],
)
def test_what_a_file_adds_is_known_by_name(example, arguments, words, tmp_path):
    """In a process of its own, as a user would; one with workers, which must know it too."""
    command = [sys.executable, "-m", "torchmomentum", "--use", str(FOLDER / f"{example}.py")]
    if "compare" in arguments:
        arguments = [*arguments, "--scale", "smoke", "--hidden-size", "4"]
    if "list" not in arguments:
        jobs = "2" if example == "add_study" else "1"
        arguments = [*arguments, "--seeds", "1", "--quiet", "--jobs", jobs]
        arguments += ["--out", str(tmp_path), "--runs", str(tmp_path / "runs")]
    done = subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stderr
    assert words in done.stdout
