import json

import pytest

from torchmomentum.experiments.bench.report import TABLES
from torchmomentum.experiments.bench.roofline import fraction, lstm_training_cost
from torchmomentum.experiments.bench.timing import interleave
from torchmomentum.experiments.cli import BENCHMARKS, main


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


@pytest.mark.parametrize("kind", ["layers", "memory"])
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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["layer"], "did you mean layers"),
        (["layers", "--shape", "3,4"], "four numbers"),
        (["layers", "--shape", "3,0,1,1"], "positive"),
        (["layers", "--seconds", "0"], "seconds must be positive"),
        (["layers", "--threads", "0"], "threads must be at least 1"),
        (["layers", "--device", "tpu"], "unknown device"),
    ],
)
def test_wrong_use_is_told_in_one_line(arguments, words, capsys):
    assert main(["bench", *arguments]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_every_kind_has_a_table():
    assert set(TABLES) == set(BENCHMARKS)
