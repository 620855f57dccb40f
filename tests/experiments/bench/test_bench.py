"""What the benchmarks measure, and that each has a study, a table and a file."""

import re

import pytest
import torch

from tests.interpreter import need_triton
from torchmomentum.experiments.bench import gpu, measure, studies
from torchmomentum.experiments.bench.measure import MEASURES
from torchmomentum.experiments.bench.profile import PARTS, _part
from torchmomentum.experiments.bench.roofline import lstm_training_cost
from torchmomentum.experiments.bench.timing import interleave
from torchmomentum.experiments.cli import main
from torchmomentum.experiments.registry import BENCHMARKS, TABLES
from torchmomentum.experiments.studies.run import load_results
from torchmomentum.ops import available
from torchmomentum.ops.cpu.build import SOURCES


def test_the_slower_one_has_the_higher_ratio():
    counts, told = {"one": 0, "three": 0}, []

    def work(name, times):
        counts[name] += 1
        return sum(range(20_000 * times))

    steps = {"one": lambda: work("one", 1), "three": lambda: work("three", 3)}
    found = interleave(
        steps, seconds=0.05, least=9, tell=lambda words, done, of: told.append(done / of)
    )
    assert counts["one"] == counts["three"] == found["one"]["rounds"] + 1
    assert found["one"]["ratio"] == 1
    assert found["three"]["ratio"] > 1.5
    low, high = found["three"]["ratio_quartiles"]
    assert low <= found["three"]["ratio"] <= high
    assert told == sorted(told)  # a long measurement shows how far it is
    assert told[-1] <= 1


def test_the_cost_of_a_step():
    # T, B, I, H = 1: 4 recurrent and 4 input products, the former three times, the latter twice
    assert lstm_training_cost((1, 1, 1, 1)) == {"operations": 40, "bytes": 56}
    assert lstm_training_cost((1, 1, 1, 1), torch.bfloat16)["bytes"] == 28


def test_cells_without_recurrent_weights_stand_beside_the_gru(tmp_path):
    shape = ["--shape", "30,4,5,16", "--quiet"]
    assert main(["bench", "scanned", "--seconds", "0.01", "--out", str(tmp_path), *shape]) == 0
    found = load_results(tmp_path / "scanned").runs[0].values
    ours = ["MinGRU", "MinGRU, Momentum", "MinGRU, RMSProp", "LRU", "LRU, Momentum"]
    assert list(found) == ["nn.GRU", *ours]
    assert found["nn.GRU"]["ratio"] == 1.0


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("normalized", ["nn.LSTM", "LSTM, layer norm", "MomentumLSTM, layer norm"]),
        (
            "small",
            [a + b for b in ("", ", evaluation") for a in ("nn.LSTM", "LSTM", "MomentumLSTM")],
        ),
    ],
)
def test_layers_stand_beside_the_lstm(kind, expected, tmp_path):
    shape = ["--shape", "3,2,2,4", "--quiet"]
    assert main(["bench", kind, "--seconds", "0.01", "--out", str(tmp_path), *shape]) == 0
    found = load_results(tmp_path / kind).runs[0].values
    assert list(found) == expected
    for name in expected[:: len(expected) if kind == "normalized" else 3]:
        assert found[name]["ratio"] == 1.0


@pytest.mark.parametrize("kind", ["layers", "layers-bfloat16", "memory"])
def test_runs_and_reports(kind, tmp_path, capsys):
    shape = ["--shape", "3,2,2,4", "--quiet"]
    arguments = ["bench", kind, "--seconds", "0.01", "--out", str(tmp_path), *shape]
    assert main(arguments) == 0
    assert "3, 2, 2, 4" in capsys.readouterr().out
    results = load_results(tmp_path / kind)
    assert set(results.runs[0].values) >= {"nn.LSTM", "MomentumLSTM", "AdamLSTM"}
    assert (tmp_path / kind / f"{kind}.png").stat().st_size
    if kind == "layers":  # measured anew unless asked to go on
        assert main([*arguments, "--resume"]) == 0
        assert load_results(tmp_path / kind).runs == results.runs
        assert main(arguments) == 0
        assert load_results(tmp_path / kind).runs != results.runs
    capsys.readouterr()
    assert main(["report", str(tmp_path / kind), "--markdown"]) == 0
    assert "| 3, 2, 2, 4 |" in capsys.readouterr().out


_CHUNKED = ("RMSPropLSTM", "AdamLSTM", "LookaheadSRLSTM")  # however few steps there are
_RULED = ("SRLSTM", "RMSPropLSTM", "AdamLSTM")


@pytest.mark.skipif(not available(), reason="no C++ compiler here")
@pytest.mark.parametrize("long", [False, True])
def test_the_profile_adds_up(long, tmp_path, monkeypatch):
    if long:  # of several chunks
        monkeypatch.setattr("torchmomentum.ops.cpu.chunks._CACHED", 1)
        monkeypatch.setattr("torchmomentum.ops.cpu.chunks._ROWS", 12)
    shape = ["--shape", "30,4,5,16", "--quiet"]
    assert main(["bench", "profile", "--seconds", "0.01", "--out", str(tmp_path), *shape]) == 0
    for name, found in load_results(tmp_path / "profile").runs[0].values.items():
        assert list(found) == [f"{part}_ms" for part in ("step", *PARTS, "around")]
        parts = {key.removesuffix("_ms") for key, value in found.items() if value > 0}
        assert min(found.values()) >= 0
        assert found["step_ms"] > max(value for key, value in found.items() if key != "step_ms")
        expected = {"products", "recurrence"} if long or name in _CHUNKED else {"layers"}
        if name in _RULED or (long and name == "MomentumLSTM"):
            expected.add("rule")
        assert parts == {"step", "around", *expected}


def test_the_profile_knows_every_kernel():
    source = "".join(path.read_text() for path in SOURCES.iterdir())
    for name in re.findall(r"^(?:void|int64_t) (\w+)\(int64_t|^void pack", source, re.M):
        if name and name != "optimizer_step":
            assert _part(name) in PARTS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["layer"], "did you mean layers"),
        (["layers", "--shape", "3,4"], "four numbers"),
        (["layers", "--shape", "3,0,1,1"], "positive"),
        (["optim", "--shape", "3,1,1,1"], "optim has no shape"),
        (["layers", "--seconds", "0"], "seconds must be positive"),
        (["layers", "--seconds", "nan"], "seconds must be positive"),
        (["layers", "--threads", "0"], "threads must be at least 1"),
        (["layers", "--device", "tpu"], "unknown device"),
        (["gpu"], "PyTorch sees no GPU here"),
        (["profile", "--device", "cuda"], "profile needs --device cpu"),
        (["time-to-accuracy", "--models", "lstmm"], "did you mean lstm"),
    ],
)
def test_wrong_use_is_told_in_one_line(arguments, words, tmp_path, capsys):
    if arguments == ["gpu"] and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert main(["bench", *arguments, "--out", str(tmp_path), "--quiet"]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_every_benchmark_is_measured_and_told(name):
    study = BENCHMARKS.find(name)
    assert study.table in TABLES
    runs = study.plan()
    assert len(runs) == len(study.axes["item"])
    for run in runs:
        assert run.recipe.benchmark in MEASURES
        assert all(part.isalnum() or part in "-_" for part in run.recipe.label)


def test_time_to_accuracy_trains_and_resumes(tmp_path, capsys):
    arguments = ["bench", "time-to-accuracy", "--epochs", "1", "--seeds", "1", "--target", "0.01"]
    arguments += ["--hidden-size", "4", "--train-limit", "128", "--test-limit", "64", "--quiet"]
    for more in ([], ["--resume"]):
        assert main([*arguments, "--out", str(tmp_path), *more]) == 0
        assert "1 of 1" in capsys.readouterr().out
    results = load_results(tmp_path / "time-to-accuracy")
    assert results.view["target"] == 0.01
    assert all(run.costs["train_seconds"] > 0 for run in results.runs)


def test_what_is_measured_on_a_gpu_runs(monkeypatch):
    """On the interpreter, at sizes that it takes."""
    need_triton()
    monkeypatch.setattr(gpu, "_MEMBERS", (1, 2))
    options = {"seconds": 0.001, "device": "cpu"}
    torch.manual_seed(1)  # a draw with no gradient that is small beside its rounding
    found = gpu.check_kernels("GRU", shapes=[(2, 3, 5)], **options)["layers"]
    assert all(value["right"] for value in found.values())
    typed = gpu.time_dtype((2, 2, 3, 4, "float32"), **options)
    assert {"nn.LSTM", "AdamLSTM", "LSTM, Triton", "eager loop"} <= set(typed["layers"])
    assert typed["failed"] == {}
    assert len(gpu.time_plans((2, 2, 3, 4, "bfloat16"), **options)["layers"]) > 3
    assert "2 together" in gpu.time_ensembles((2, 2, 3, 4), **options)["layers"]
    assert set(studies.GPU) == {name for name in BENCHMARKS if name.startswith("gpu-")}
    assert {measure.MEASURES[name].needs for name in MEASURES if name.startswith("gpu")} == {"cuda"}
