"""The matrix script: what it reads, and what counts as passed."""

import sys

import pytest

from tools import matrix

XML = """<testsuites><testsuite>
<testcase classname="tests.a" name="good"/>
<testcase classname="tests.a" name="bad"><failure/></testcase>
<testcase classname="tests.b" name="broken[1]"><error/></testcase>
<testcase classname="tests.b" name="broken[2]"><failure/></testcase>
<testcase classname="tests.b" name="left out"><skipped/></testcase>
</testsuite></testsuites>"""


def test_results_are_counted(tmp_path):
    (tmp_path / "found.xml").write_text(XML)
    counts, failed = matrix.read_results(tmp_path / "found.xml")
    assert counts == {"passed": 1, "failed": 3, "skipped": 1}
    assert failed == ["tests.a::bad", "tests.b::broken[1]", "tests.b::broken[2]"]
    shown = matrix.show([matrix.Outcome("3.10", "2.8.0", 1.0, counts, failed)])
    assert "FAILED" in shown
    assert "3.10 2.8.0: tests.b::broken, 2 failed" in shown


@pytest.mark.parametrize(
    ("outcome", "passed"),
    [
        (matrix.Outcome("3.10", "2.8.0", counts={"passed": 1}), True),
        (matrix.Outcome("3.10", "2.8.0", counts={"passed": 0}), False),
        (matrix.Outcome("3.10", "2.8.0", counts={"passed": 1}, failed=["a"]), False),
        (matrix.Outcome("3.10", "2.8.0", counts={"passed": 1}, problem="no pip"), False),
    ],
)
def test_what_counts_as_passed(outcome, passed):
    assert outcome.passed == passed


def test_interpreters_are_found():
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert matrix.find_python(here) is not None
    assert matrix.find_python(sys.executable) == sys.executable
    assert matrix.find_python("2.99") is None


def test_a_missing_python_fails_the_run(monkeypatch, capsys, tmp_path):
    arguments = ["matrix.py", "--only", "2.99:newest", "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    assert matrix.main() == 1
    assert "no such Python here" in capsys.readouterr().out
