"""What the MomentumRNN paper and the slides say of their models, by statement. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Claim(NamedTuple):
    """Some models beside others, all of one task and size.

    Attributes:
        source: Where it is said.
        where: The values of a study's axes but ``model``.
        models: Of each of which it is said.
        says: What, a name of :data:`~..report.claims.SAYS`.
        than: Beside each of these.
    """

    source: str
    where: Mapping[str, Any]
    models: tuple[str, ...]
    says: str
    than: tuple[str, ...]


Claims = tuple[Claim, ...]
Said = tuple[str, tuple[str, ...], str, tuple[str, ...]]  # a claim but of what

_MOMENTUM, _ADAM, _RMSPROP, _SR = "momentum-lstm", "adam-lstm", "rmsprop-lstm", "released-sr-lstm"
_RULES, _LSTM = (_MOMENTUM, _ADAM, _RMSPROP, _SR), ("lstm",)
_DTRIVS, _DTRIV = ("momentum-dtriv", "adam-dtriv", "rmsprop-dtriv", "sr-dtriv"), ("dtriv",)
_AWD_LSTM = ("awd-lstm",)
_AWD_RULES = ("momentum-awd-lstm", "adam-awd-lstm", "rmsprop-awd-lstm", "sr-awd-lstm")
_3_5 = "Section 3.5"


def _of(task: str, size: int, *said: Said, **more: Any) -> Claims:
    """What is said of a task and size."""
    where = {"task": task, "N": size, **more}
    return tuple(Claim(source, where, models, says, than) for source, models, says, than in said)


def _before(source: str, models: tuple[str, ...], says: str) -> Said:
    """Some LSTMs before all others."""
    return source, models, says, tuple(m for m in (*_LSTM, *_RULES) if m not in models)


def _long(source: str, task: str, size: int, length: int, *more: Said) -> Claims:
    """Of the copying and the adding task."""
    adaptive = (_ADAM, _RMSPROP)
    said = (
        _before(source, adaptive, "faster"),
        _before(source, adaptive, "lower last loss"),
        (source, (_MOMENTUM, _SR), "similar last loss", _LSTM),
    )
    return _of(task, size, *said, *more, length=length)


def _all_but(source: str, best: str) -> tuple[Said, Said]:
    """All rules before the LSTM, and one before all."""
    return (source, _RULES, "better", _LSTM), _before(source, (best,), "better")


_SECTION_3_1: Said = ("Section 3.1", (_MOMENTUM,), "faster", _LSTM)  # in all settings
_TABLE_1_SMALL: tuple[Said, ...] = (
    ("Table 1", (_MOMENTUM,), "better", _LSTM),
    _SECTION_3_1,
)
_TABLE_1: tuple[Said, ...] = (
    _SECTION_3_1,
    *_all_but("Table 1", _RMSPROP),
    (_3_5, (_ADAM, _RMSPROP), "better", (_MOMENTUM,)),
    (_3_5, (_SR,), "worse", (_MOMENTUM,)),
)
_TABLE_2_SMALL: Said = ("Table 2", (_MOMENTUM,), "better", _LSTM)
_TABLE_4: Said = ("Table 4", ("momentum-dtriv",), "better", _DTRIV)
_TABLE_5: Said = ("Table 5", ("momentum-dtriv",), "better", _DTRIV)
_TABLE_11 = (*_all_but("Table 11", _RMSPROP), _before("Appendix C", (_RMSPROP,), "faster"))
_TABLE_13_SMALL: Said = ("Table 13", ("momentum-dtriv",), "better", _DTRIV)
_FIGURE_2 = tuple(
    (source, (f"momentum-{cell}{numbers}",), "larger gradient", (cell,))
    for source, cell in (("the slides", "rnn"), ("Appendix A.5", "dtriv"))
    for numbers in ("@mu=0.6@step_size=0.9", "@mu=0.999@step_size=0.6")
)


def _losses(source: str, fastest: tuple[str, ...]) -> tuple[Said, Said]:
    """Of Figures 3 and 9."""
    return (source, (_MOMENTUM,), "faster", _LSTM), _before(source, fastest, "faster")


# by the study that judges them
CLAIMS: Mapping[str, Claims] = MappingProxyType(
    {
        "table1": (
            *_of("mnist", 128, *_TABLE_1_SMALL),
            *_of("mnist", 256, *_TABLE_1),
            *_of("pmnist", 128, *_TABLE_1_SMALL),
            *_of("pmnist", 256, *_TABLE_1),
        ),
        "table2": (
            *_of("timit", 84, _TABLE_2_SMALL),
            *_of("timit", 120, _TABLE_2_SMALL),
            *_of(
                "timit",
                158,
                *_all_but("Table 2", _SR),
                (_3_5, (_ADAM, _RMSPROP), "worse", (_MOMENTUM,)),
            ),
        ),
        "table3": _of(
            "ptb",
            1150,
            (_3_5, ("momentum-awd-lstm", "sr-awd-lstm"), "better", _AWD_LSTM),
            ("the slides", ("momentum-awd-lstm",), "better", ("awd-lstm", "sr-awd-lstm")),
            (_3_5, ("adam-awd-lstm", "rmsprop-awd-lstm"), "worse", _AWD_LSTM),
            (_3_5, _AWD_RULES, "better", _AWD_LSTM),  # "all of our models"
        ),
        "table4": (
            *_of("pmnist", 170, _TABLE_4),
            *_of("pmnist", 360, _TABLE_4),
            *_of("pmnist", 512, _TABLE_4),
        ),
        "table5": (*_of("timit", 224, _TABLE_5), *_of("timit", 322, _TABLE_5)),
        "table11": (
            *_of("mnist", 128, *_TABLE_11),
            *_of("pmnist", 128, *_TABLE_11),
        ),
        "table12": _of(
            "timit",
            120,
            *_all_but("Table 12", _MOMENTUM),
            _before("Appendix C", (_MOMENTUM, _SR), "better"),
            _before("Appendix C", (_MOMENTUM, _SR), "faster"),
        ),
        "table13": (
            *_of("pmnist", 170, _TABLE_13_SMALL),
            *_of("pmnist", 360, _TABLE_13_SMALL),
            *_of(
                "pmnist",
                512,
                ("Table 13", _DTRIVS, "better", _DTRIV),
                ("Table 13", ("sr-dtriv",), "better", (*_DTRIV, *_DTRIVS[:-1])),
            ),
        ),
        "table16": _of(
            "pmnist",
            256,
            ("Table 16", _RULES, "earlier", _LSTM),
            _before("Table 16", (_ADAM,), "earlier"),
        ),
        "figure2": _of("pmnist", 170, *_FIGURE_2),
        "figure3": (
            *_of("mnist", 256, *_losses("Figure 3", (_ADAM, _RMSPROP))),
            *_of("timit", 158, *_losses("Figure 3", (_MOMENTUM, _SR))),
        ),
        "figure4": (
            *_long(
                *("Figure 4", "copying", 190, 2000),
                ("Section 3.3", (_MOMENTUM,), "lower last loss", _LSTM),
                _before("the slides", (_ADAM,), "lower last loss"),
            ),
            *_long("Figure 4", "adding", 128, 750),
        ),
        "figure5": _of(
            "ptb",
            1150,
            ("Section 3.4", ("momentum-awd-lstm",), "faster", _AWD_LSTM),
            ("the slides", ("sr-awd-lstm",), "faster", _AWD_LSTM),
        ),
        "figure6": (
            *_of(
                "pmnist",
                512,
                ("Figure 6", ("momentum-dtriv",), "faster", _DTRIV),
                ("Figure 6", ("momentum-dtriv",), "less overfitted", _DTRIV),
            ),
            *_of(
                "timit",
                322,
                ("Figure 6", ("momentum-dtriv",), "faster", _DTRIV),
                ("Section 4", ("momentum-dtriv",), "less overfitted", _DTRIV),
            ),
        ),
        "figure9": (
            *_of("mnist", 128, *_losses("Figure 9", (_RMSPROP,))),
            *_of("timit", 120, *_losses("Figure 9", (_MOMENTUM, _SR))),
        ),
        "figure10": (
            *_long("Figure 10", "copying", 190, 1000),
            *_long("Figure 10", "copying", 190, 2000),
        ),
        "figure11": _of("pmnist", 512, ("Figure 11", _DTRIVS, "faster", _DTRIV)),
    }
)
