"""What a sample costs each model: published beside measured."""

from __future__ import annotations

from torchmomentum.experiments.published.momentumrnn import NAMES
from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.result import Results


def costs(results: Results) -> Table:
    """Each quantity, and its ratio to the LSTM's, beside the published."""
    (run,), view = results.runs, results.view
    head, rows = ["model"], list[list[str]]()
    for column in view["columns"]:
        head += [f"{column}, published", f"{column}, measured"]
        head += ["ratio, published", "ratio, measured"]
    for name, found in run.values.items():
        theirs, first = view["published"][NAMES.get(name, name)], view["published"]["LSTM"]
        cells = [name]
        for column, value, baseline in zip(view["columns"], theirs, first, strict=True):
            ours = found[column]
            cells += [f"{value:.2f}", f"{ours[view['unit']]:.2f}"]
            cells += [f"{value / baseline:.2f}", f"{ours['ratio']:.2f}"]
        rows.append(cells)
    device = "a CPU" if run.recipe["device"] == "cpu" else run.provenance.get("gpu", "a GPU")
    shape = run.arm["item"]
    caption = (
        f"{results.title}, T, B, I, H = {shape}, measured on {device}. Only ratios to the LSTM "
        "compare: the paper measured on another machine, with cells in Python; ours are kernels, "
        "and its LSTM is nn.LSTM."
    )
    return Table(head, rows, caption)
