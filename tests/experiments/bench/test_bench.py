import json

import pytest
import torch
from torchmomentum.experiments.bench.accuracy import time_to_accuracy
from torchmomentum.experiments.bench.report import TABLES

from torchmomentum.experiments.bench import gpu
from torchmomentum.experiments.bench.roofline import fraction, lstm_training_cost
from torchmomentum.experiments.bench.timing import interleave
from torchmomentum.experiments.cli import main
from torchmomentum.experiments.cli.bench import BENCHMARKS
from torchmomentum.ops import available


def test_the_slower_one_has_the_higher_ratio():
    counts = {"one": 0, "three": 0}

    def work(name, times):
        counts[name] += 1
        return sum(range(20_000 * times))

    steps = {"one": lambda: work("one", 1), "three": lambda: work("three", 3)}
    found = interleave(steps, seconds=0.05, least=9)
    assert counts["one"] == counts["three"] == found["one"]["rounds"] + 1
    assert found["one"]["ratio"] == 1
    assert found["three"]["ratio"] > 1.5


def test_the_cost_of_a_step():
    # T, B, I, H = 1: 4 recurrent and 4 input products, the former three times, the latter twice
    assert lstm_training_cost((1, 1, 1, 1)) == {"operations": 40, "bytes": 56}
    cost = {"operations": 10, "bytes": 10}
    assert fraction(cost, {"operations_per_s": 100, "bytes_per_s": 1000}, 200.0) == 0.5
    assert fraction(cost, {"operations_per_s": 1000, "bytes_per_s": 100}, 200.0) == 0.5
    assert lstm_training_cost((1, 1, 1, 1), torch.bfloat16)["bytes"] == 28


@pytest.mark.parametrize("kind", ["layers", "layers-bfloat16", "memory"])
def test_runs_and_reports(kind, tmp_path, capsys):
    shape = ["--shape", "3,2,2,4"]
    assert main(["bench", kind, "--seconds", "0.01", "--out", str(tmp_path), *shape]) == 0
    assert "3, 2, 2, 4" in capsys.readouterr().out
    results = json.loads((tmp_path / f"{kind}.json").read_text())
    assert results["provenance"]["torch"]
    assert set(results["rows"][0]["layers"]) >= {"nn.LSTM", "MomentumLSTM", "AdamLSTM"}
    assert (tmp_path / f"{kind}.png").stat().st_size
    assert main(["report", str(tmp_path / f"{kind}.json")]) == 0
    assert "| 3, 2, 2, 4 |" in capsys.readouterr().out


@pytest.mark.skipif(not available(), reason="no C++ compiler here")
def test_the_profile_adds_up(tmp_path, capsys):
    shape = ["--shape", "30,4,5,16"]
    assert main(["bench", "profile", "--seconds", "0.01", "--out", str(tmp_path), *shape]) == 0
    assert "| 30, 4, 5, 16 | AdamLSTM |" in capsys.readouterr().out
    layers = json.loads((tmp_path / "profile.json").read_text())["rows"][0]["layers"]
    for name, found in layers.items():
        whole, *parts = found.values()
        assert sum(parts) == pytest.approx(whole, rel=0.5)  # each is a median of its own
        assert min(parts) >= 0
        assert found["products_ms"] > 0
        assert found["recurrence_ms"] > 0
        assert (found["rule_ms"] > 0) == (name not in ("LSTM", "LookaheadSRLSTM"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["layer"], "did you mean layers"),
        (["layers", "--shape", "3,4"], "four numbers"),
        (["layers", "--shape", "3,0,1,1"], "positive"),
        (["layers", "--seconds", "0"], "seconds must be positive"),
        (["layers", "--threads", "0"], "threads must be at least 1"),
        (["layers", "--device", "tpu"], "unknown device"),
        (["gpu"], "needs --device cuda"),
        (["profile", "--device", "cuda"], "cuda"),
        (["time-to-accuracy", "--results", "nowhere.json"], "holds no recorded comparison"),
        (["time-to-accuracy", "--models", "lstmm"], "did you mean lstm"),
    ],
)
def test_wrong_use_is_told_in_one_line(arguments, words, capsys):
    assert main(["bench", *arguments]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_every_kind_has_a_table():
    assert set(TABLES) == set(BENCHMARKS) - {"gpu"}  # which writes several files


def test_time_to_accuracy():
    def run(model, metrics):
        history = [
            {"epoch": i + 1, "train_seconds": 2.0 * (i + 1), "validation_metric": value}
            for i, value in enumerate(metrics)
        ]
        return {"config": {"model": model}, "history": history}

    results = {
        "task": "digits",
        "metric": "accuracy",
        "higher_is_better": True,
        "models": ["a", "b", "c"],
        "runs": [
            *(run("a", [0.1, 0.5, 0.4]), run("a", [0.1, 0.2, 0.6])),
            *(run("b", [0.5, 0.1, 0.1]), run("b", [0.7, 0.1, 0.1])),
            *(run("c", [0.1, 0.1, 0.1]), run("c", [0.9, 0.1, 0.1])),
        ],
    }
    found = time_to_accuracy(results)
    assert found["target"] == 0.5
    a, b, c = found["layers"].values()
    assert (a["epochs"], a["seconds"], a["ratio"]) == (2.5, 5.0, 1.0)
    assert (b["epochs"], b["seconds"], b["ratio"]) == (1.0, 2.0, 0.4)
    assert (c["reached"], c["seconds"], c["ratio"]) == (1, None, None)
    assert time_to_accuracy(results, 0.95)["layers"]["b"]["reached"] == 0
    lower = time_to_accuracy({**results, "higher_is_better": False})
    assert (lower["target"], lower["layers"]["a"]["epochs"]) == (0.1, 1.0)


def test_time_to_accuracy_trains_and_resumes(tmp_path, capsys):
    arguments = ["bench", "time-to-accuracy", "--epochs", "1", "--seeds", "1", "--target", "0.01"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    assert "| rmsprop-lstm | 1 of 1 | 1 |" in capsys.readouterr().out
    assert main([*arguments, "--out", str(tmp_path), "--resume"]) == 0
    results = json.loads((tmp_path / "time-to-accuracy.json").read_text())
    assert results["rows"][0]["layers"]["lstm"]["seconds"] > 0
    recorded = str(tmp_path / "time-to-accuracy" / "results.json")
    assert main(["bench", "time-to-accuracy", "--results", recorded, "--out", str(tmp_path)]) == 0


def test_what_is_measured_on_a_gpu_runs(monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setattr(gpu, "measure_papers", lambda *_, **__: {"shape": [1], "layers": {}})
    monkeypatch.setattr(gpu, "_MEMBERS", (1, 2))
    monkeypatch.setattr(gpu.check_kernels, "__defaults__", ([(2, 3, 5)],))
    found = {}
    tiny = [(2, 2, 3, 4)] * 3
    gpu.measure_gpu(found.__setitem__, seconds=0.001, device="cpu", shapes=tiny)
    assert set(found) == {"correctness", "layers", "plans", "ensembles", "papers"}
    assert all(row["right"] for row in found["correctness"]["rows"])
    row = found["layers"]["rows"][0]
    assert {"nn.LSTM", "AdamLSTM", "LSTM, Triton", "eager loop"} <= set(row["layers"])
    assert row["failed"] == {}
    assert len(found["plans"]["rows"][0]["layers"]) > 3
    assert "2 together" in found["ensembles"]["rows"][0]["layers"]
