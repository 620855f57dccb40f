import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(path, capsys):
    runpy.run_path(str(path), run_name="__main__")
    printed = capsys.readouterr().out
    if path.stem == "srsgd":
        assert float(printed.split()[2].rstrip(",")) > 0.95
    else:
        first, last = (float(line.split()[-1]) for line in printed.splitlines()[:3:2])
        assert last < 0.3 * first
