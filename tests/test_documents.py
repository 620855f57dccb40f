"""The documents say what the committed results and the code say, and their examples run."""

import importlib
import re
from collections import Counter
from pathlib import Path

import pytest

from tools.tree import tree
from torchmomentum.experiments.published.images import IMAGE_ERRORS
from torchmomentum.experiments.registry import BENCHMARKS, CELLS, RULES, STUDIES, TASKS
from torchmomentum.experiments.report.claims import claims
from torchmomentum.experiments.report.document import document
from torchmomentum.experiments.report.statistics import paired_difference
from torchmomentum.experiments.studies.run import load_results

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"


def _marked(page: str, mark: str) -> str:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.search(f"<!-- {mark}:begin -->\n(.*?)<!-- {mark}:end -->", text, re.DOTALL)
    assert found, f"{page} has no marks for {mark}"
    return found.group(1)


def _marks() -> list[tuple[str, str]]:
    """Every page with a table, and the table's mark."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [
        (str(page.relative_to(ROOT)), mark)
        for page in pages
        for mark in re.findall(r"<!-- ([\w-]+):begin -->", page.read_text(encoding="utf-8"))
        if mark not in ("tree", "choice", "features")
    ]


@pytest.mark.parametrize(("page", "mark"), _marks())
def test_tables_are_those_of_the_recorded_results(page, mark):
    kind, _, isa = mark.partition("-v")
    apart = RESULTS / "benchmarks" / f"v{isa}" / kind  # of another instruction set, or held to it
    folders = [RESULTS / mark, RESULTS / "benchmarks" / mark, apart]
    if mark == "time-to-accuracy":
        results = load_results(RESULTS / "pdigits")
        results.table = mark
    else:
        results = load_results(next(folder for folder in folders if folder.exists()))
    assert _marked(page, mark) == document(results)


def test_every_recorded_result_stands_in_a_page():
    told = {mark for _, mark in _marks()}
    assert {path.parent.name for path in RESULTS.glob("**/results.json")} <= told


def test_the_published_errors_are_the_codes():
    page = (ROOT / "docs" / "images.md").read_text(encoding="utf-8")
    found = re.findall(
        r"^\| ([\w-]+) \| (\d+) \| (\d+) \| ([\d.]+) \| ([\d.]+) ± ([\d.]+) \|$", page, re.MULTILINE
    )
    told = {}
    for images, depth, epochs, sgd, mean, deviation in found:
        data = images.lower().replace("-", "")
        told[data, int(depth), "sgd", int(epochs)] = (float(sgd), None)
        told[data, int(depth), "srsgd-linear", int(epochs)] = (float(mean), float(deviation))
    assert told == dict(IMAGE_ERRORS)


def test_the_tree_is_the_codes():
    """`make readme` writes it."""
    assert tree() in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_no_file_and_no_function_is_long():
    """Four hundred lines, sixty of a function, Triton's kernels excepted."""
    import ast

    folders = ("src", "tests", "tools", "examples")
    for path in (path for name in folders for path in (ROOT / name).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, path
        if "triton" in path.parts:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                body = [n for n in node.body if not _is_docstring(n)]
                first = body[0].lineno if body else node.lineno
                assert (node.end_lineno or first) - first < 60, f"{path}: {node.name}"


def _is_docstring(node) -> bool:
    import ast

    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


@pytest.mark.parametrize(
    ("page", "count"),
    [
        *[("README.md", 1), ("CONTRIBUTING.md", 1), ("docs/states.md", 2), ("docs/index.md", 3)],
        *[("docs/convert.md", 1), ("docs/rules.md", 1), ("docs/restarts.md", 1)],
        *[("docs/export.md", 2), ("docs/adding.md", 1)],
    ],
)
def test_the_examples_of_a_page_run(page, count, monkeypatch):
    for registry in (TASKS, RULES, CELLS, STUDIES):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
    assert len(blocks) >= count
    for block in blocks:
        exec(compile(block, page, "exec"), {})


def test_the_readme_is_one_screen_and_its_links_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= 80
    for name in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert name.startswith("https://") or (ROOT / name).exists(), name


def test_contributing_names_files_that_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert text.count("\n") <= 70
    for name in re.findall(r"\]\(([^)]+)\)", text):
        assert (ROOT / name).exists(), name


def _told_in_coverage():
    page = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")
    return page, set(re.findall(r"`([^`]+)`", page))


def test_the_coverage_names_what_there_is():
    _, told = _told_in_coverage()
    own = {name for name in STUDIES if name.startswith(("table", "figure", "slides-", "findings-"))}
    assert own <= told
    for word in told:
        first, *rest = word.split()
        if first.startswith("tests/"):
            assert (ROOT / first).exists(), word
        elif re.fullmatch(
            r"(table|figure|slides-|findings-|cifar|imagenet|error-|fewer-).*", first
        ):
            assert first in STUDIES, word
        elif rest[:1] == ["bench"]:
            assert rest[1] in BENCHMARKS or rest[1] == "time-to-accuracy", word
        elif first.startswith(
            ("torchmomentum.nn.", "torchmomentum.sampling.", "torchmomentum.optim.")
        ):
            module, _, name = first.rpartition(".")
            assert hasattr(importlib.import_module(module), name), word


def test_the_coverage_has_every_table_figure_and_equation_of_the_paper():
    page, _ = _told_in_coverage()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("|")]
    for number in (1, 2, 3, 4, 5, 11, 12, 13, 14, 15, 16):
        assert any(re.match(rf" Table {number}\b", row) for row in rows), number
    for number in range(1, 12):
        assert any(re.match(rf" Figure {number}\b", row) for row in rows), number
    for number in range(1, 5):
        assert any(f"Remark {number} " in row for row in rows), number
    for letter in "ABCDEF":
        assert any(f"Appendix {letter}" in row for row in rows), letter
    equations = {int(n) for row in rows for n in re.findall(r"\((\d+)\)", row)}
    spans = {(6, 8), (11, 13)}
    between = {n for low, high in spans for n in range(low, high + 1)}
    assert equations | between >= set(range(1, 17))


def test_the_statements_are_as_many_as_the_page_tells():
    judged = [claims(load_results(path)) for path in sorted(RESULTS.glob("*/results.json"))]
    rows = {tuple(row[1:5]) for table in judged if table for row in table.rows}  # said twice: once
    said = Counter(verdict.partition(":")[0] for *_, verdict in rows)
    reasons = Counter(verdict for *_, verdict in rows)
    page = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
    told = (
        f"Of {len(rows)} statements {said['reproduced']} are reproduced at `desk`,\n"
        f"{said['not contradicted']} are not contradicted, {said['not comparable']} not comparable "
        f"and {said['not reproduced']} not reproduced: "
        f"{reasons['not reproduced: the contrary']} came out the contrary, "
        f"{reasons['not reproduced: not separable']} are not separable"
    )
    assert told in page, told


def test_what_a_gain_leaves_to_momentum_is_what_table_5_tells():
    found = load_results(RESULTS / "table5")
    page = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")

    def errors(size, model):
        arm = {"task": "timit", "N": size, "model": model}
        return [run.values["chosen"] for run in found.of(arm)]

    models = "gain-dtriv@gain=0.1429", "momentum-dtriv", "dtriv"
    for size in (224, 322):
        gain, momentum, plain = (errors(size, model) for model in models)
        left = paired_difference(momentum, gain)
        assert f"{left.mean:.3f} [{left.low:+.3f}, {left.high:+.3f}] at {size}" in page
        if size == 224:
            better = [-paired_difference(each, plain).mean for each in (gain, momentum)]
            told = "is better than DTRIV by {:.3f}, momentum by {:.3f}"
            assert told.format(*better) in page


def test_the_gradients_of_figure_2_are_what_its_page_tells():
    found = load_results(RESULTS / "figure2")
    page = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
    told = " ".join(page.partition("## Figure 2")[2].partition("<!--")[0].split())

    def last(model, value="state_last"):
        return {run.seed: run.values[value] for run in found.runs if run.arm["model"] == model}

    led, most = "@mu=0.6@step_size=0.9", "@mu=0.999@step_size=0.6"
    plain, momentum = last("dtriv"), last("momentum-dtriv" + led)
    beside = r"with \(\mu = 0.6\)"
    both = (
        "({:.2f} and {:.2f} at the last record of seeds 0 and 2, " + beside + " {:.2f} and {:.2f})"
    )
    assert both.format(plain[0], plain[2], momentum[0], momentum[2]) in told
    assert f"In seed 1 they are {plain[1]:.3f} and {momentum[1]:.3f}:" in told
    each = "{:.2f}, {:.2f} and {:.2f}"
    three = f"({each} at the last record, {beside} {each})"
    assert three.format(*last("rnn").values(), *last("momentum-rnn" + led).values()) in told
    assert max(last("momentum-rnn" + most).values()) < 1e-7
    inputs = [last(name, "input_last") for name in ("dtriv", "momentum-dtriv" + led)]
    (a, b), (c, d) = ([each[seed] for seed in (0, 2)] for each in inputs)
    assert f"{a:.1f} and {b:.1f} without in seeds 0 and 2" in told
    assert f"{c:.1f} in both with" in told
    assert f"{c:.1f}" == f"{d:.1f}"
    far = last("momentum-dtriv" + most, "input_last")
    assert f"{far[0]:.1f} and {far[2]:.1f} with 0.999" in told
