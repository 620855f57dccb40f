"""The documents say what the committed results and the code say, and their examples run."""

import importlib
import re
from collections import Counter
from pathlib import Path
from statistics import fmean

import pytest

from tools.tree import tree
from torchmomentum.experiments.engine.compute import compute
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.published.images import IMAGE_ERRORS
from torchmomentum.experiments.registry import BENCHMARKS, CELLS, RULES, STUDIES, TASKS
from torchmomentum.experiments.report.claims import claims
from torchmomentum.experiments.report.document import document
from torchmomentum.experiments.report.judgement import judged
from torchmomentum.experiments.report.statistics import paired_difference
from torchmomentum.experiments.studies.run import load_results
from torchmomentum.experiments.studies.trivial import Trivial

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


def test_the_seeds_that_solve_adding_are_those_that_the_findings_tell():
    found = load_results(RESULTS / "findings-adding")
    solved: dict[str, int] = {}
    for run in found.runs:
        name = run.arm["model"].rpartition("@lr=")[0]
        solved[name] = solved.get(name, 0) + (run.values["chosen"] < 0.01)
    told = {
        "lstm": 7,
        "gain-lstm@gain=8": 9,
        "gain-lstm@gain=20": 10,
        "gain-lstm@gain=8@forget_bias=0.4444": 10,
        "momentum-lstm@mu=0.6@step_size=3.2@forget_bias=0.4444": 10,
        "lstm@forget_bias=21": 3,
        "momentum-lstm": 0,
        "momentum-lstm@mu=0.6@step_size=3.2": 4,
        "rmsprop-lstm": 10,
        "standardized-lstm": 10,
        "rms-lstm": 10,
        "lstm@init=paper-unit": 10,
    }
    assert {name: solved[name] for name in told} == told
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    assert "solves it with 7 of ten seeds, with a gain of 8 with 9, momentum with 0" in page


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


def test_copying_is_what_the_findings_tell():
    found = load_results(RESULTS / "findings-copying")
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    told = page.partition("- Copying: ")[2].partition("\n\n")[0]
    arms = {arm["model"].rpartition("@lr=")[0]: found.of(arm) for arm in found.arms()}
    chosen = {name: [run.values["chosen"] for run in runs] for name, runs in arms.items()}
    silent = "released-sr-lstm", "layer-norm-lstm", "lstm@init=paper-unit"
    silent += ("momentum-lstm@mu=0.6@step_size=3.2@forget_bias=0.4444",)
    for name, values in chosen.items():
        assert name in silent or f"{fmean(values):.3f}" in told, name
    better = [each for each in judged(found) if each.verdict == "better"]
    assert len(better) == 3
    assert all(f"p = {each.p:.2g}" in told for each in better)
    gain, momentum = chosen["gain-lstm@gain=8"], chosen["momentum-lstm@mu=0.6@step_size=3.2"]
    assert f"by {-paired_difference(momentum, gain).mean:.3f} there" in told
    rates = [arm["model"].rpartition("@lr=")[2] for arm in found.arms()]
    assert rates.count(str(max(found.view["tried"]))) == 1
    assert found.view["tuning_seeds"] == [1000, 1001]


def _chosen(study):
    """What each model reached, in mean over the seeds, by its name without the rate."""
    found = load_results(RESULTS / study)
    return {
        arm["model"].rpartition("@lr=")[0]: fmean(run.values["chosen"] for run in found.of(arm))
        for arm in found.arms()
    }


def test_what_to_try_first_is_told_with_what_was_measured():
    page = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    gain, momentum = "gain-lstm@gain=8", "momentum-lstm@mu=0.6@step_size=3.2"
    copying, speech = _chosen("findings-copying"), _chosen("findings-speech")
    words, mnist = _chosen("findings-words"), _chosen("findings-mnist")
    digits = _chosen("findings-digits")
    for told in (
        f"permuted digits an accuracy of {digits['rmsprop-lstm']:.2f} and "
        f"{digits['lstm@init=torch-unit']:.2f}, the plain LSTM {digits['lstm']:.2f}",
        f"copying: a cross-entropy of {copying[gain]:.3f} and {copying[momentum]:.3f}; the plain "
        f"LSTM has {copying['lstm']:.3f}",
        f"speech: an error of {speech['lstm']:.2f}; momentum {speech['momentum-lstm']:.2f}, "
        f"RMSProp {speech['rmsprop-lstm@step_size=1@beta=0.9']:.2f} and by its recipe "
        f"{speech['rmsprop-lstm']:.2f}, Adam {speech['adam-lstm']:.2f}",
        f"a perplexity of {words['standardized-awd-lstm']:.1f} and {words['rms-awd-lstm']:.1f}, "
        f"the AWD-LSTM {words['awd-lstm']:.1f}; momentum {words['momentum-awd-lstm']:.0f}, "
        f"RMSProp {words['rmsprop-awd-lstm']:.1f}",
        f"permuted MNIST: the plain LSTM has {mnist['lstm']:.3f} and momentum "
        f"{mnist['momentum-lstm']:.3f}",
    ):
        assert told in page, told


def test_digits_are_what_the_findings_tell():
    found, chosen = load_results(RESULTS / "findings-digits"), _chosen("findings-digits")
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    told = " ".join(page.partition("- Permuted digits: ")[2].partition("\n- ")[0].split())
    arms = {each.arm["model"].rpartition("@lr=")[0]: each for each in judged(found)}
    assert {each.verdict for each in arms.values()} == {"", "not separable"}
    for name, words in {
        "lstm": "the plain LSTM has {:.3f}",
        "gain-lstm@gain=8": "a gain of 8 ({:.3f})",
        "learned-gain-lstm@gain=8": "a learned one ({:.3f})",
        "gain-lstm@gain=2.5": "momentum's own gain of 2.5 ({:.3f})",
        "lstm@init=torch-unit": "unit drives ({:.3f})",
        "momentum-lstm": "at the recipe's numbers it has {:.3f}",
        "sr-lstm": "with restarts {:.3f}",
    }.items():
        assert words.format(chosen[name]) in told, name
    for name, words in {
        "rmsprop-lstm": "RMSProp's rule ({:.3f}, p = {:.2g})",
        "rms-lstm": "root mean square ({:.3f}, p = {:.2g})",
        "standardized-lstm": "a standardized input ({:.3f}, p = {:.2g})",
    }.items():
        assert words.format(chosen[name], arms[name].p) in told, name
    apart = [name for name, each in arms.items() if each.difference and each.difference.low > 0]
    gains = "gain-lstm@gain=8", "learned-gain-lstm@gain=8", "gain-lstm@gain=2.5"
    assert {*apart} == {"rmsprop-lstm", "rms-lstm", "standardized-lstm", *gains}
    gain, momentum = chosen["gain-lstm@gain=8"], chosen["momentum-lstm@mu=0.6@step_size=3.2"]
    assert f"behind the gain alone by {gain - momentum:.3f}" in told
    rates = [arm["model"].rpartition("@lr=")[2] for arm in found.arms()]
    assert str(max(found.view["tried"])) not in rates
    assert found.view["tuning_seeds"] == [1000, 1001, 1002, 1003]


def test_the_unigram_perplexity_is_that_the_findings_tell(tmp_path, data_folder):
    run = load_results(RESULTS / "findings-words").runs[0]
    options, batch = run.recipe["task_options"], run.recipe["batch_size"]
    recipe = Trivial("unigram", "words", options, batch)
    found = compute(recipe, Place(tmp_path, data=data_folder)).values["chosen"]
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    assert f"The words' frequencies alone have {found:.1f}" in page
