"""The page: what users named cannot become markup, and what is damaged is a line."""

import base64
import hashlib
import itertools
import json
import re
from html import escape
from html.parser import HTMLParser
from pathlib import Path

from tests.experiments.report.test_tables import _comparison, _results, _run
from torchmomentum.experiments.report.html.page import page
from torchmomentum.experiments.report.html.runs import DONE, FAILED, UNDER_WAY, Run
from torchmomentum.experiments.report.html.scripts import policy
from torchmomentum.experiments.result import Result
from torchmomentum.experiments.studies.run import load_results

RESULTS = Path(__file__).parents[4] / "results"
EVIL = "</script><script>alert('x')</script>\"&"


class _Reader(HTMLParser):
    """Tags, the texts of scripts, and the text that is seen."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.seen, self._inside = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data):
        if self._inside and self._inside[-1] == "script":
            self.scripts[-1] += data
        elif self._inside and self._inside[-1] != "style":
            self.seen.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def data(self):
        """The texts of the scripts that are data."""
        both = zip(self.scripts, self.all("script"), strict=True)
        return [text for text, attributes in both if attributes]

    def code(self):
        """The texts of the others, which run."""
        return [text for text in self.scripts if text not in self.data()]

    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.seen))


def _read(*studies, **more):
    return _Reader(page([("file", each) for each in studies], **more))


def test_names_are_text_wherever_they_stand():
    runs = [_run(m, s, [0.1 * s + 0.2, 0.5]) for m in ("a", EVIL) for s in range(2)]
    runs[3].failed, runs[3].values = EVIL, {}
    for run in runs:
        run.recipe["model"] = EVIL if run.arm["model"] == EVIL else "a"
    results = _results(runs, {"model": ["a", EVIL]}, title=EVIL, study=EVIL)
    results.provenance = {**results.provenance, "command": EVIL}
    found = _read(results, damaged=[EVIL])
    plain = _read(_comparison())
    assert found.text().count(EVIL) > 8
    assert len(found.all("script")) == len(plain.all("script"))
    figures = [json.loads(text) for text in found.data()]
    assert {t["name"] for f in figures for t in f["data"]} >= {"a", escape(EVIL, quote=False)}
    assert not [text for text in found.data() if "<" in text]


def test_the_policy_lets_the_two_scripts_run_and_nothing_else():
    found = _read(_comparison())
    digests = [hashlib.sha256(text.encode()).digest() for text in found.code()]
    hashes = {base64.b64encode(each).decode() for each in digests}
    assert len(hashes) == 2
    told = next(m["content"] for m in found.all("meta") if "http-equiv" in m)
    assert told == policy(live=False)
    parts = dict(part.split(" ", 1) for part in told.split("; "))
    assert set(parts["script-src"].split()) == {f"'sha256-{each}'" for each in hashes}
    assert parts["default-src"] == parts["connect-src"] == "'none'"
    assert "connect-src 'self'" in policy(live=True)
    assert not [a for _, a in found.tags if "src" in a]
    assert [a["href"] for a in found.all("link")] == ["data:,"]


def test_the_structure_that_screen_readers_use():
    found = _read(_comparison(), load_results(RESULTS / "figure7"))
    headings = [int(tag[1]) for tag, _ in found.tags if re.fullmatch("h[1-6]", tag)]
    assert headings.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(headings))
    names = [tag for tag, _ in found.tags]
    for tag in ("main", "header", "nav", "footer"):
        assert names.count(tag) == 1
    assert names.count("caption") == names.count("table") > 3
    assert all("scope" in a for a in found.all("th"))
    images = [a for a in found.all("div") if a.get("role") == "img"]
    assert len(images) == names.count("figure") == 6
    assert all(a["aria-label"] for a in images)
    assert found.all("html")[0]["lang"] == "en"
    ids = [a["id"] for _, a in found.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in found.all("a")} <= set(ids)
    for name in ("aria-labelledby", "aria-describedby"):
        assert {a[name] for _, a in found.tags if name in a} <= set(ids)


def test_studies_of_one_name_have_legends_of_their_own():
    keys = [a["data-study"] for a in _read(_comparison(), _comparison()).all("section")]
    assert keys == ["digits-0", "digits-1"]


def test_studies_of_one_title_are_told_apart_by_their_folders():
    one, other = _comparison(), _comparison()
    one.title = other.title = "digits"
    found = page([("runs/a/results.json", one), ("runs/b/results.json", other)])
    assert "Digits (runs/a)</a>" in found
    assert "Digits (runs/b)</h2>" in found
    assert "runs/a" not in page([("runs/a/results.json", one)])


def test_the_verdict_stands_before_any_number():
    text = _read(_comparison()).text()
    places = [
        text.index(f" {w} ") for w in ("Verdict", "Charts", "Table", "Settings", "Provenance")
    ]
    assert places == sorted(places)


def test_equal_results_give_equal_pages():
    assert page([("x", _comparison())]) == page([("x", _comparison())])


def test_what_cannot_be_shown_is_a_line_beside_what_can():
    damaged = _comparison(table="grid")
    text = _read(_comparison(), damaged, damaged=["x.json is not valid JSON"]).text()
    assert "file cannot be shown as grid: KeyError" in text
    assert "x.json is not valid JSON" in text
    assert "b is not separable from a." in text


def test_numbers_that_json_has_not_are_gaps():
    results = _comparison()
    results.runs[0].curves["train_loss"] = [float("inf"), float("nan")]
    found = _read(results)
    assert "null" in found.data()[1]
    assert not [text for text in found.data() if re.search("NaN|Infinity", text)]


def _recipe(model, seed, **more):
    return {
        "kind": "Training",
        "task": "digits",
        "model": model,
        "epochs": 4,
        "order_seed": seed,
        "init_seed": seed,
        **more,
    }


def _under_way():
    curves = {"epoch": [1, 2], "test_metric": [0.1, 0.2], "train_loss": [2.0, 1.0]}
    whole = {key: [*column, *column] for key, column in curves.items()} | {"epoch": [1, 2, 3, 4]}
    return [
        Run(DONE, Result(recipe=_recipe("lstm", 0), curves=whole), "then"),
        Run(UNDER_WAY, Result(recipe=_recipe("lstm", 1), curves=curves), "now"),
        Run(UNDER_WAY, Result(recipe=_recipe("gru", 0, optimizer_options={"lr": 0.1})), "now"),
        Run(
            FAILED,
            Result(
                recipe=_recipe("gru", 1, optimizer_options={"lr": 0.2}),
                curves=curves,
                failed="training diverged",
            ),
            "then",
        ),
    ]


def test_runs_by_their_states():
    found = _read(runs=_under_way())
    text = found.text()
    assert "2 runs under way, 1 run failed and 1 run done." in text
    assert "lstm digits 1 under way epoch 2 of 4 0.2000 now" in text
    assert "gru, lr 0.2 digits 1 failed training diverged 0.2000 then" in text
    assert "gru, lr 0.1 digits 0 under way epoch 0 of 4 - now" in text
    bars = {(a["max"], a["value"]) for a in found.all("progress")}
    assert bars == {("4", "2"), ("4", "0"), ("4", "4")}
    figure = json.loads(found.data()[0])
    names = [trace["name"] for trace in figure["data"]]
    assert names == ["lstm", "lstm", "gru, lr 0.2, failed"]
    assert figure["data"][1]["x"] == [1, 2]


def test_many_runs_that_are_done_are_folded():
    runs = [Run(DONE, Result(recipe=_recipe("lstm", seed)), "then") for seed in range(13)]
    assert "Runs that are done (13)" in _read(runs=runs).text()
    assert "Runs that are done (" not in _read(runs=runs[:12]).text()


def _at(found, words):
    return found.text().rindex(words)


def test_verdicts_come_before_runs_that_are_all_done():
    study = _comparison()
    done = [Run(DONE, Result(recipe=_recipe("lstm", 0)), "then")]
    lead = "b is not separable from a."
    found = _read(study, runs=done)
    assert _at(found, lead) < _at(found, "1 run done.")
    found = _read(study, runs=[*done, *_under_way()])
    assert _at(found, "runs under way") < _at(found, lead)
