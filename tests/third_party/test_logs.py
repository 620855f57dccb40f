"""Each record is in a log once, also where a run was killed between it and its checkpoint."""

import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from torchmomentum.experiments.engine.compute import compute, folder_of
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.studies.training import training_recipe

pytestmark = pytest.mark.filterwarnings("default")  # the programs have warnings of their own

SMALL = {"epochs": 4, "hidden_size": 4, "train_limit": 128, "test_limit": 64, "threads": 1}
CODE = """
import os, signal, sys
from pathlib import Path
from tests.third_party.test_logs import place_of, recipe_of
from torchmomentum.experiments.engine import training
from torchmomentum.experiments.engine.compute import compute

save, killed = training._save, int(sys.argv[3])
def kill_before(run, folder):
    if run.step == killed:  # its record is written, or on its way
        os.kill(os.getpid(), signal.SIGKILL)
    save(run, folder)
training._save = kill_before
compute(recipe_of(), place_of(Path(sys.argv[1]), sys.argv[2]))
"""


def recipe_of():
    return training_recipe({"task": "pdigits", "model": "lstm", **SMALL}, 0)


def place_of(folder, name):
    return Place(folder / "runs", logs=(name,))


def _killed_and_resumed(folder, name, environment):
    """The result of a run of 8 steps that was killed at its second and third evaluation."""
    root = str(Path(__file__).parents[2])
    given = os.environ | environment | {"PYTHONPATH": os.pathsep.join([root, *sys.path])}
    for step in (4, 6):
        command = [sys.executable, "-c", CODE, str(folder), name, str(step)]
        done = subprocess.run(command, capture_output=True, text=True, env=given, cwd=root)
        assert done.returncode == -signal.SIGKILL, done.stderr
    return compute(recipe_of(), place_of(folder, name))


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """Where the programs keep what they are told: nothing leaves this machine."""
    found = {
        "WANDB_MODE": "offline",
        "MLFLOW_TRACKING_URI": f"file:{tmp_path / 'mlruns'}",
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "TRACKIO_DIR": str(tmp_path / "trackio"),
        "HF_HUB_OFFLINE": "1",
    }
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


def test_mlflow(tmp_path, environment):
    mlflow = pytest.importorskip("mlflow")
    result = _killed_and_resumed(tmp_path, "mlflow", environment)
    client = mlflow.MlflowClient()
    where = client.get_experiment_by_name("torchmomentum").experiment_id
    (run,) = client.search_runs([where])
    assert run.info.status == "FINISHED"
    assert run.data.params["task"] == "pdigits"
    for name in ("train_loss", "test_metric"):
        found = sorted(client.get_metric_history(run.info.run_id, name), key=lambda m: m.step)
        assert [m.step for m in found] == result.curves["step"]
        assert [m.value for m in found] == pytest.approx(result.curves[name])


def test_trackio(tmp_path, environment):
    pytest.importorskip("trackio")
    result = _killed_and_resumed(tmp_path, "trackio", environment)
    from trackio.sqlite_storage import SQLiteStorage

    (name,) = SQLiteStorage.get_runs("torchmomentum")
    assert name == recipe_of().folder
    logged = SQLiteStorage.get_logs("torchmomentum", name)
    assert [record["step"] for record in logged] == result.curves["step"]
    for key in ("train_loss", "test_metric"):
        assert [record[key] for record in logged] == pytest.approx(result.curves[key])


def _records(content):
    """The records of an offline run's file, whose pieces have a header of 7 bytes."""
    at, record, block = 7, b"", 1 << 15
    while at + 7 <= len(content):
        if block - at % block < 7:  # no header fits into the rest
            at += block - at % block
            continue
        _, size, kind = struct.unpack("<IHB", content[at : at + 7])
        record += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last piece
            yield record
            record = b""


def _logged_by_wandb(path):
    """The history in a file of an offline run."""
    from wandb.proto import wandb_internal_pb2

    found = []
    for content in _records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            found.append({(i.key or i.nested_key[0]): float(i.value_json) for i in items})
    return found


def test_wandb(tmp_path, environment):
    pytest.importorskip("wandb")
    result = _killed_and_resumed(tmp_path, "wandb", environment)
    folder = folder_of(recipe_of(), place_of(tmp_path, "wandb"))
    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    assert path.name == f"run-{recipe_of().key}.wandb"
    logged = _logged_by_wandb(path)
    assert [record["_step"] for record in logged] == result.curves["step"]
    for key in ("train_loss", "test_metric"):
        assert [record[key] for record in logged] == pytest.approx(result.curves[key])
