"""The documents say what the committed results say, and their examples run."""

import re
from pathlib import Path

import pytest
from torchmomentum.experiments.bench.report import TABLES, markdown
from torchmomentum.experiments.images.figures import FIGURES
from torchmomentum.experiments.images.report import markdown as trained
from torchmomentum.experiments.reproduce.report import markdown as reproduced

from torchmomentum.experiments.cli.reproduce import REPRODUCTIONS
from torchmomentum.experiments.files import read_json
from torchmomentum.experiments.report import markdown_table

ROOT = Path(__file__).parents[1]


def _marked(document: str, mark: str) -> str:
    text = (ROOT / document).read_text(encoding="utf-8")
    found = re.search(f"<!-- {mark}:begin -->\n(.*?)<!-- {mark}:end -->", text, re.DOTALL)
    assert found, f"{document} has no marks for {mark}"
    return found.group(1)


@pytest.mark.parametrize(
    ("document", "name"),
    [("README.md", "pdigits"), ("docs/results.md", "pdigits"), ("docs/results.md", "adding")],
)
def test_tables_are_those_of_the_recorded_results(document, name):
    results = read_json(ROOT / "results" / name / "results.json")
    assert _marked(document, name) == markdown_table(results)


@pytest.mark.parametrize("kind", list(TABLES))
def test_benchmark_tables_are_those_of_the_recorded_results(kind):
    results = read_json(ROOT / "results" / "benchmarks" / f"{kind}.json")
    assert _marked("docs/results.md", kind) == markdown(results)


SLIDES = [name for name in REPRODUCTIONS if name.startswith("slides-")]


@pytest.mark.parametrize("name", [*SLIDES, "slides-logistic-mnist", "slides-bnn-mnist"])
def test_reproduced_tables_are_those_of_the_recorded_results(name):
    results = read_json(ROOT / "results" / name / "results.json")
    assert _marked("docs/slides.md", name) == reproduced(results)


@pytest.mark.parametrize("name", FIGURES)
def test_image_tables_are_those_of_the_recorded_results(name):
    results = read_json(ROOT / "results" / name / "results.json")
    assert _marked("docs/images.md", name) == trained(results)


def test_the_readmes_examples_run():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
