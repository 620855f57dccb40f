"""The tables of accuracies, errors and perplexities of the MomentumRNN paper, as studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torchmomentum.experiments.studies.momentumrnn.scales import rows, scales
from torchmomentum.experiments.study import Study

_HERE = "torchmomentum.experiments.studies.momentumrnn.recipes"
_RULES = ("", "momentum-", "adam-", "rmsprop-", "sr-")
LSTMS = (*(f"{rule}lstm" for rule in _RULES), "released-sr-lstm")
AWD_LSTMS = tuple(f"{rule}awd-lstm" for rule in _RULES)  # the released SR cell there is the paper's
DTRIVS = tuple(f"{rule}dtriv" for rule in _RULES)
# of MomentumLSTM's effective forget bias on TIMIT, b_hh + s / (1 - mu) b_ih, which is not -8
_EQUAL_BIAS = ("lstm@forget_bias=-4.571",)
# what momentum amounts to on a constant drive, s / (1 - mu) = 0.1 / 0.7
_EQUAL_GAIN = ("gain-dtriv@gain=0.1429",)
_TRIVIAL = rows(["timit"], {"-": ("persistence", "mean")})
_OPTIONS = ("epochs", "lr", "train_limit", "compile", "device", "precision", "threads")
MNIST = ("mnist", "pmnist")


def _study(
    name: str,
    title: str,
    arms: Sequence[Mapping[str, Any]],
    columns: Sequence[Mapping[str, Any]],
) -> Study:
    return Study(
        name=name,
        title=title,
        recipe=f"{_HERE}:row",
        arms=arms,
        seeds=5,
        scales=scales(arms),
        scale="desk",
        metric=columns[-1]["title"],
        higher_is_better="accuracy" in columns[-1]["title"],
        table="beside",
        figure="losses",
        view={"baseline": ["model"], "columns": list(columns)},
        options=_OPTIONS,
    )


def _accuracy(source: str) -> list[dict[str, Any]]:
    title = "test accuracy, %"
    return [{"title": title, "value": "best", "unit": 100, "digits": 2, "from": source}]


def _validated(title: str, source: str, digits: int) -> list[dict[str, Any]]:
    form, kept = {"unit": 1, "digits": digits}, f"{source}_VALIDATION"
    return [
        {"title": f"validation {title}", "value": "chosen_validation", "from": kept} | form,
        {"title": f"test {title}", "value": "chosen", "from": source} | form,
    ]


def _squared_error(source: str) -> list[dict[str, Any]]:
    return _validated("MSE", source, 3)


def _perplexity() -> list[dict[str, Any]]:
    return _validated("perplexity", "TABLE_3", 2)


TABLE1 = _study(
    "table1",
    "Table 1, LSTMs pixel by pixel",
    rows(MNIST, {128: LSTMS[:2], 256: LSTMS}),
    _accuracy("TABLE_1_11"),
)
TABLE2 = _study(
    "table2",
    "Table 2, LSTMs on speech",
    [*rows(["timit"], {84: LSTMS[:2], 120: LSTMS[:2], 158: (*LSTMS, *_EQUAL_BIAS)}), *_TRIVIAL],
    _squared_error("TABLE_2_12"),
)
TABLE3 = _study(
    "table3",
    "Table 3, AWD-LSTMs on words",
    rows(["ptb"], {1150: AWD_LSTMS, "-": ("unigram",)}),
    _perplexity(),
)
TABLE4 = _study(
    "table4",
    "Table 4, orthogonal networks pixel by pixel",
    rows(["pmnist"], dict.fromkeys((170, 360, 512), DTRIVS[:2])),
    _accuracy("TABLE_4_13"),
)
TABLE5 = _study(
    "table5",
    "Table 5, orthogonal networks on speech",
    [*rows(["timit"], dict.fromkeys((224, 322), (*DTRIVS[:2], *_EQUAL_GAIN))), *_TRIVIAL],
    _squared_error("TABLE_5"),
)
TABLE11 = _study(
    "table11",
    "Table 11, LSTMs of 128 units pixel by pixel",
    rows(MNIST, {128: LSTMS}),
    _accuracy("TABLE_1_11"),
)
TABLE12 = _study(
    "table12",
    "Table 12, LSTMs of 120 units on speech",
    [*rows(["timit"], {120: (*LSTMS, *_EQUAL_BIAS)}), *_TRIVIAL],
    _squared_error("TABLE_2_12"),
)
TABLE13 = _study(
    "table13",
    "Table 13, all orthogonal networks pixel by pixel",
    rows(["pmnist"], {170: DTRIVS[:2], 360: DTRIVS[:2], 512: DTRIVS}),
    _accuracy("TABLE_4_13"),
)
