"""Tables 14 to 16 of the MomentumRNN paper, time and memory, as studies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torchmomentum.experiments.bench.shapes import PMNIST
from torchmomentum.experiments.bench.studies import PAPERS
from torchmomentum.experiments.published import momentumrnn
from torchmomentum.experiments.studies.momentumrnn.scales import rows, scales
from torchmomentum.experiments.studies.momentumrnn.tables import LSTMS, TABLE1
from torchmomentum.experiments.study import Scale, Study

_SMALL = (20, 8, 1, 16)


def _costs(name: str, title: str, what: str, unit: str, published: Any) -> Study:
    return replace(
        PAPERS,
        name=name,
        title=title,
        scales={
            "smoke": Scale({"seconds": 0.1}, {"item": [_SMALL]}, note="T, B, I, H = 20, 8, 1, 16"),
            "desk": Scale(note="on a CPU"),
            "paper": Scale({"device": "cuda"}),
        },
        scale="desk",
        metric=f"{what} of a sample",
        table="costs",
        view={
            "item": PAPERS.view["item"],
            "ratio": f"training {what}",
            "columns": [f"training {what}", f"evaluation {what}"],
            "unit": unit,
            "published": {model: list(values) for model, values in published.items()},
        },
        options=("device", "threads"),
    )


TABLE14 = _costs(
    "table14", "Table 14, microseconds a sample", "time", "us_per_sample", momentumrnn.TABLE_14
)
TABLE15 = _costs(
    "table15", "Table 15, megabytes a sample", "memory", "mb_per_sample", momentumrnn.TABLE_15
)
_PMNIST = rows(["pmnist"], {PMNIST[-1]: LSTMS})
_MINUTES = momentumrnn.TABLE_16
TABLE16 = replace(
    TABLE1,
    name="table16",
    title="Table 16, training until the LSTM's accuracy",
    arms=_PMNIST,
    scales=scales(_PMNIST),
    metric="test accuracy",
    table="time-to-accuracy",
    view={"minutes": dict(zip(LSTMS, [*_MINUTES.values(), _MINUTES["SRLSTM"]], strict=True))},
)
