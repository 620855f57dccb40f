"""The mutation tool: what it changes, and that its verdicts are right on a toy project."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools.mutants.operators import mutants_of

ROOT = Path(__file__).parents[2]


def _changes(source):
    return [(m.before, m.after) for m in mutants_of(source.encode(), "file.py")]


@pytest.mark.parametrize(
    ("line", "after"),
    [
        ("x = a < b", ["x = a <= b", "x = a >= b"]),
        ("x = 0 <= a < b", ["x = 1 <= a < b", "x = 0 < a < b", "x = 0 <= a <= b"]),
        ("x = a is not None", ["x = a is None"]),
        ("x = a - b", ["x = a + b"]),
        ("x = 'a' + b", []),
        ("x = a and b", ["x = a or b"]),
        ("x = not a", ["x = a"]),
        ("x = -2", ["x = 2"]),
        ("x = 2.5", ["x = 5.0"]),
        ("x = True", ["x = False"]),
        ("x = a if b else c", ["x = a if not (b) else c"]),
        ("x = f(a, k=b, strict=True)", ["x = f(a, strict=True)"]),
        ("x = y.clamp(b)", ["x = (y)"]),
        ("x = torch.sqrt(a)", ["x = (a)"]),
        ("x = min(a)", ["x = max(a)"]),
        ("f(a)", ["pass"]),
        ("x[a] = b", ["pass"]),
        ("x += a", ["pass", "x -= a"]),
        ("raise ValueError(f'{a + 1}', 2)", ["pass"]),
        ("with f(): pass", ["if True: pass"]),
        ("with f() as g: pass", []),
        ("if a: pass", ["if not (a): pass"]),
        ("x = [a for b in c if b]", ["x = [a for b in c if not (b)]"]),
        ("x: Literal[3] = a", []),
        ("__all__ = [1]", []),
        ("'''text''' ", []),
        ("if TYPE_CHECKING: x = 1", []),
        ("def f(a: 3 = 1): pass", ["def f(a: 3 = 2): pass"]),
    ],
)
def test_what_is_changed(line, after):
    assert [new for _, new in _changes(line)] == after


def test_places_in_text_with_other_letters_and_several_lines():
    body = "# μ\n        g('μ',\n          1)\n        return 'μ' < a\n"
    source = f"class A:\n    def f(self):\n        {body}"
    found = mutants_of(source.encode(), "file.py")
    assert [(m.where, m.line, m.lines) for m in found] == [
        *(("A.f", 4, (4, 5)), ("A.f", 5, (4, 5))),
        *[("A.f", 6, (6, 6))] * 2,
    ]
    assert found[0].apply(source.encode()).decode().count("\n") == source.count("\n")
    assert "return 'μ' >= a" in found[-1].apply(source.encode()).decode()


@pytest.mark.parametrize("file", ["optim/_nag.py", "testing/_rule.py", "schedules.py"])
def test_every_mutant_is_python(file):
    source = (ROOT / "src" / "torchmomentum" / file).read_bytes()
    found = mutants_of(source, file)
    assert len(found) > 20
    for mutant in found:
        ast.parse(mutant.apply(source))
        assert mutant.apply(source) != source


TOY = """
LIMIT = 10


def grow(x):
    if x < LIMIT:
        x += 3
    return x


def wait(x):
    while x is None:
        x = 1
    return x


def unseen(x):
    return -x
"""
TESTS = """
def test_grows():
    import toy

    assert toy.grow(5) == 8


def test_waits():
    import toy

    assert toy.grow(50) == 50
    assert toy.wait(2) == 2
    assert toy.wait(None) == 1
"""
RUN = """
import json, sys
from pathlib import Path
from tools.mutants.run import BaselineError, Module, baseline, judge, sample
from tools.mutants.sandbox import Sandbox

root = Path(sys.argv[1])
sandboxes = [Sandbox(root) for _ in range(2)]
module = Module("toy", ("src/*.py", "src/none/*.py"), ("tests",))
mutants, total = sample(sandboxes[0], module, None, 0)
few, _ = sample(sandboxes[0], module, 3, 7)
assert (few, total) == (sample(sandboxes[1], module, 3, 7)[0], len(mutants))
try:
    known = baseline(sandboxes[0], module)
except BaselineError as error:
    print("refused", "test_grows" in str(error))
else:
    constant = next(m for m in mutants if m.after == "LIMIT = 11")
    assert len(known.tests(constant)) == 2  # not only the test that imported the module first
    known.limit = lambda tests: 5.0
    verdicts = judge(sandboxes, known, mutants)
    print(json.dumps({m.after: v for m, v in zip(mutants, verdicts)}))
assert (sandboxes[0].root / "src/toy.py").read_text() == (root / "src/toy.py").read_text()
for sandbox in sandboxes:
    sandbox.remove()
"""


def _run(root):
    (root / "src").mkdir()
    (root / "tests").mkdir()
    (root / "src" / "toy.py").write_text(TOY)
    (root / "tests" / "test_toy.py").write_text(TESTS)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    command = [sys.executable, "-c", RUN, str(root)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_verdicts_on_a_toy(tmp_path):
    assert json.loads(_run(tmp_path)) == {
        "LIMIT = 11": "survived",
        "if x <= LIMIT:": "survived",
        "if x >= LIMIT:": "killed",
        "pass": "killed",
        "x -= 3": "killed",
        "x += 4": "killed",
        "while x is not None:": "timeout",
        "x = 2": "killed",
        "return x": "survived",
    }


def test_failing_tests_are_not_mutated(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "TESTS", TESTS.replace("== 8", "== 9"))
    assert _run(tmp_path) == "refused True"


def test_survivors_on_record_are_judged_again(tmp_path, monkeypatch):
    """One is noticed by now, one is not, one is known as equivalent, one is no longer there."""
    pytest.importorskip("tomllib")  # of Python 3.11
    from tools.mutants import __main__ as tool

    entries = [
        {"file": "a.py", "line": n, "where": "f", "before": "x", "after": str(n)} for n in range(4)
    ]
    record = {"module": "toy", "run": 10, "killed": 6, "survived": entries, "equivalent": []}
    (tmp_path / "toy.json").write_text(json.dumps(record))
    here = [SimpleNamespace(**{**entry, "line": 90}) for entry in entries[:3]]
    other = SimpleNamespace(**{**entries[0], "after": "9"})
    asked = []

    def judged(module, sandboxes, mutants, budget):
        asked.extend(m.after for m in mutants)
        return {"survived": [vars(m) for m in mutants if m.after == "1"]}

    monkeypatch.setattr(tool, "sample", lambda *given: ([*here, other], 4))
    monkeypatch.setattr(tool, "_judged", judged)
    known = SimpleNamespace(reason=lambda m: "the same" if m.after == "2" else None)
    monkeypatch.setattr(tool, "Equivalents", lambda: known)
    options = SimpleNamespace(out=tmp_path, root=ROOT, budget=None)
    found = tool._again(SimpleNamespace(name="toy"), [None], options)
    assert asked == ["0", "1"]
    assert (found["run"], found["killed"], found["score"]) == (9, 7, 0.875)
    assert [e["after"] for e in found["survived"]] == ["1"]
    assert [(e["after"], e["reason"]) for e in found["equivalent"]] == [("2", "the same")]
    assert [e["after"] for e in found["since"]["killed"]] == ["0"]
    assert [e["after"] for e in found["since"]["gone"]] == ["3"]
