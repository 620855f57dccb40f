"""The results of the MomentumRNN paper (arXiv:2006.06919), by its tables. No torch.

Keys are task, hidden units and model. The LSTM's accuracies are cited there from earlier work, not
run, and have no deviation.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

Value = tuple[float, float | None]  # mean, deviation
Values = Mapping[tuple[str, int, str], Value]

# Tables 1 and 11: best test accuracy in percent
TABLE_1_11: Values = MappingProxyType(
    {
        ("mnist", 128, "lstm"): (98.70, None),
        ("mnist", 256, "lstm"): (98.90, None),
        ("mnist", 128, "momentum-lstm"): (99.04, 0.04),
        ("mnist", 256, "momentum-lstm"): (99.08, 0.05),
        ("mnist", 128, "adam-lstm"): (98.98, 0.08),
        ("mnist", 256, "adam-lstm"): (99.09, 0.03),
        ("mnist", 128, "rmsprop-lstm"): (99.09, 0.05),
        ("mnist", 256, "rmsprop-lstm"): (99.15, 0.06),
        ("mnist", 128, "sr-lstm"): (98.89, 0.08),
        ("mnist", 256, "sr-lstm"): (99.01, 0.07),
        ("pmnist", 128, "lstm"): (92.00, None),
        ("pmnist", 256, "lstm"): (92.29, None),
        ("pmnist", 128, "momentum-lstm"): (93.40, 0.25),
        ("pmnist", 256, "momentum-lstm"): (94.72, 0.16),
        ("pmnist", 128, "adam-lstm"): (93.75, 0.25),
        ("pmnist", 256, "adam-lstm"): (95.05, 0.37),
        ("pmnist", 128, "rmsprop-lstm"): (94.32, 0.43),
        ("pmnist", 256, "rmsprop-lstm"): (95.38, 0.19),
        ("pmnist", 128, "sr-lstm"): (93.65, 0.56),
        ("pmnist", 256, "sr-lstm"): (93.82, 1.85),
    }
)
# Tables 2 and 12: mean squared error of the validation and of the test set
TABLE_2_12_VALIDATION: Values = MappingProxyType(
    {
        ("timit", 84, "lstm"): (14.87, 0.15),
        ("timit", 120, "lstm"): (11.77, 0.14),
        ("timit", 158, "lstm"): (9.33, 0.14),
        ("timit", 84, "momentum-lstm"): (10.90, 0.19),
        ("timit", 120, "momentum-lstm"): (8.00, 0.30),
        ("timit", 158, "momentum-lstm"): (5.86, 0.14),
        ("timit", 120, "adam-lstm"): (10.91, 0.08),
        ("timit", 158, "adam-lstm"): (8.66, 0.15),
        ("timit", 120, "rmsprop-lstm"): (11.83, 0.20),
        ("timit", 158, "rmsprop-lstm"): (9.13, 0.33),
        ("timit", 120, "sr-lstm"): (8.15, 0.26),
        ("timit", 158, "sr-lstm"): (5.81, 0.10),
    }
)
TABLE_2_12: Values = MappingProxyType(
    {
        ("timit", 84, "lstm"): (14.94, 0.15),
        ("timit", 120, "lstm"): (11.83, 0.12),
        ("timit", 158, "lstm"): (9.37, 0.14),
        ("timit", 84, "momentum-lstm"): (10.98, 0.18),
        ("timit", 120, "momentum-lstm"): (8.04, 0.30),
        ("timit", 158, "momentum-lstm"): (5.87, 0.15),
        ("timit", 120, "adam-lstm"): (10.96, 0.08),
        ("timit", 158, "adam-lstm"): (8.69, 0.14),
        ("timit", 120, "rmsprop-lstm"): (11.90, 0.19),
        ("timit", 158, "rmsprop-lstm"): (9.17, 0.33),
        ("timit", 120, "sr-lstm"): (8.21, 0.26),
        ("timit", 158, "sr-lstm"): (5.83, 0.10),
    }
)
# Table 3: perplexity of the validation and of the test set; the last two in section 3.5 alone
TABLE_3_VALIDATION: Values = MappingProxyType(
    {
        ("ptb", 1150, "lstm"): (61.96, 0.83),
        ("ptb", 1150, "momentum-lstm"): (60.71, 0.24),
        ("ptb", 1150, "sr-lstm"): (61.12, 0.68),
    }
)
TABLE_3: Values = MappingProxyType(
    {
        ("ptb", 1150, "lstm"): (59.71, 0.99),
        ("ptb", 1150, "momentum-lstm"): (58.62, 0.22),
        ("ptb", 1150, "sr-lstm"): (58.83, 0.62),
        ("ptb", 1150, "adam-lstm"): (61.11, 0.31),
        ("ptb", 1150, "rmsprop-lstm"): (64.53, 0.20),
    }
)
# Tables 4 and 13: best test accuracy in percent
TABLE_4_13: Values = MappingProxyType(
    {
        ("pmnist", 170, "dtriv"): (95.21, 0.10),
        ("pmnist", 360, "dtriv"): (96.45, 0.10),
        ("pmnist", 512, "dtriv"): (96.62, 0.12),
        ("pmnist", 170, "momentum-dtriv"): (95.37, 0.09),
        ("pmnist", 360, "momentum-dtriv"): (96.73, 0.08),
        ("pmnist", 512, "momentum-dtriv"): (96.89, 0.08),
        ("pmnist", 512, "adam-dtriv"): (96.77, 0.21),
        ("pmnist", 512, "rmsprop-dtriv"): (96.75, 0.12),
        ("pmnist", 512, "sr-dtriv"): (97.02, 0.09),
    }
)
# Table 5: mean squared error of the validation and of the test set
TABLE_5_VALIDATION: Values = MappingProxyType(
    {
        ("timit", 224, "dtriv"): (4.74, 0.06),
        ("timit", 322, "dtriv"): (1.92, 0.17),
        ("timit", 224, "momentum-dtriv"): (3.10, 0.09),
        ("timit", 322, "momentum-dtriv"): (1.21, 0.05),
    }
)
TABLE_5: Values = MappingProxyType(
    {
        ("timit", 224, "dtriv"): (4.70, 0.07),
        ("timit", 322, "dtriv"): (1.87, 0.17),
        ("timit", 224, "momentum-dtriv"): (3.06, 0.09),
        ("timit", 322, "momentum-dtriv"): (1.17, 0.05),
    }
)
# what the tables of results cite beside the LSTM's and DTRIV's first number, by the table's name
CITED: Mapping[str, Mapping[tuple[str, int, str], float]] = MappingProxyType(
    {
        "TABLE_1_11": {
            ("mnist", 128, "lstm"): 97.30,
            ("mnist", 256, "lstm"): 98.50,
            ("pmnist", 128, "lstm"): 92.62,
            ("pmnist", 256, "lstm"): 92.10,
        },
        "TABLE_2_12_VALIDATION": {
            ("timit", 84, "lstm"): 15.42,
            ("timit", 120, "lstm"): 13.93,
            ("timit", 158, "lstm"): 13.66,
        },
        "TABLE_2_12": {
            ("timit", 84, "lstm"): 14.30,
            ("timit", 120, "lstm"): 12.95,
            ("timit", 158, "lstm"): 12.62,
        },
        "TABLE_3": {("ptb", 1150, "lstm"): 58.80},
        "TABLE_4_13": {
            ("pmnist", 170, "dtriv"): 95.20,
            ("pmnist", 360, "dtriv"): 96.50,
            ("pmnist", 512, "dtriv"): 96.80,
        },
        "TABLE_5_VALIDATION": {("timit", 224, "dtriv"): 4.75, ("timit", 322, "dtriv"): 3.39},
        "TABLE_5": {("timit", 224, "dtriv"): 4.71, ("timit", 322, "dtriv"): 3.76},
    }
)
# thousands of parameters in Tables 1 to 5 and 11 to 13, by task and hidden units
PARAMETERS: Mapping[tuple[str, int], int] = MappingProxyType(
    {
        ("mnist", 128): 68,
        ("mnist", 256): 270,
        ("pmnist", 128): 68,
        ("pmnist", 256): 270,
        ("timit", 84): 83,
        ("timit", 120): 135,
        ("timit", 158): 200,
        ("ptb", 1150): 24_000,
        ("pmnist", 170): 16,
        ("pmnist", 360): 69,
        ("pmnist", 512): 137,
        ("timit", 224): 83,
        ("timit", 322): 135,
    }
)
# results that the paper gives without the hyperparameters of their model
WITHOUT_SETTINGS = (("ptb", "adam-awd-lstm"), ("ptb", "rmsprop-awd-lstm"))
# section 3.3: the last training loss, by task, length and model
LAST_LOSS: Mapping[tuple[str, int, str], float] = MappingProxyType(
    {
        ("copying", 2000, "lstm"): 0.01,
        ("copying", 2000, "momentum-lstm"): 0.009,
        ("adding", 750, "lstm"): 0.162,
        ("adding", 750, "momentum-lstm"): 0.162,
    }
)
# Tables 14 to 16: permuted MNIST, 256 hidden units
# what we call otherwise
NAMES: Mapping[str, str] = MappingProxyType({"nn.LSTM": "LSTM", "LookaheadSRLSTM": "SRLSTM"})
# microseconds a sample: in training, in evaluation
TABLE_14: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "LSTM": (6.18, 2.52),
        "MomentumLSTM": (7.43, 3.16),
        "AdamLSTM": (10.34, 4.07),
        "RMSPropLSTM": (9.94, 3.96),
        "SRLSTM": (8.34, 3.16),
    }
)
# megabytes a sample: in training, in evaluation
TABLE_15: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "LSTM": (15.93, 7.51),
        "MomentumLSTM": (15.95, 7.51),
        "AdamLSTM": (25.13, 7.52),
        "RMSPropLSTM": (25.13, 7.52),
        "SRLSTM": (15.95, 7.51),
    }
)
# minutes until the test accuracy is the LSTM's 92.29 %
TABLE_16: Mapping[str, float] = MappingProxyType(
    {"LSTM": 767, "MomentumLSTM": 551, "AdamLSTM": 225, "RMSPropLSTM": 416, "SRLSTM": 348}
)
# Figure 7: rows mu = 0.9, 0.6, 0.3, 0.1, 0; columns step size = 0.1, 0.3, 0.6, 0.9, 1
FIGURE_7_MU, FIGURE_7_STEP_SIZE = (0.9, 0.6, 0.3, 0.1, 0.0), (0.1, 0.3, 0.6, 0.9, 1.0)
Panel = tuple[tuple[float, ...], ...]
FIGURE_7: Mapping[str, Panel] = MappingProxyType(
    {
        "mnist": (
            (99.08, 98.90, 98.68, 98.22, 98.24),
            (86.88, 99.08, 99.08, 99.00, 99.03),
            (67.30, 84.17, 65.73, 99.03, 99.03),
            (51.67, 79.25, 84.74, 85.50, 99.07),
            (37.39, 83.58, 83.49, 81.54, 98.90),
        ),
        "timit": (
            (121.07, 38.92, 45.47, 51.19, 51.66),
            (7.24, 8.84, 10.46, 11.89, 12.25),
            (5.87, 6.89, 8.73, 9.53, 9.86),
            (5.86, 7.05, 8.01, 9.22, 9.61),
            (6.00, 7.10, 7.85, 9.05, 9.33),
        ),
    }
)


def printed(table: str, arm: Mapping[str, Any]) -> tuple[Value | None, float | None]:
    """What a table has for an arm of a study: its own value, and one that it cites beside.

    The paper's SRLSTM is the released form, beside which the form that the paper prints stands with
    the same numbers.

    Args:
        table: A name of this module.
        arm: Task, ``N`` and model.
    """
    key = (arm["task"], arm["N"], arm["model"].removeprefix("released-").replace("awd-", ""))
    values: Values = globals()[table]
    return values.get(key), CITED.get(table, {}).get(key)
