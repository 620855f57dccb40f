"""The page in headless Chromium, at a desk in light and on a phone in dark."""

import shutil
import threading
from pathlib import Path

import pytest

from torchmomentum.experiments.registry import TABLES
from torchmomentum.experiments.report.html.page import page
from torchmomentum.experiments.report.html.runs import Run
from torchmomentum.experiments.report.html.server import Live, Server
from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.result import Result
from torchmomentum.experiments.studies.run import load_results

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("there is no Chromium", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
RESULTS = Path(__file__).parents[4] / "results"
SCREENS = [(1200, "light"), (390, "dark")]
STUDIES = {"pdigits": 2, "figure7": 4}  # with their charts

# every text's contrast with what is behind it, as WCAG 2 defines it
CONTRASTS = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = rgb(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return rgb(getComputedStyle(document.documentElement).backgroundColor);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || element.closest("script, noscript, .skip") || !element.getClientRects().length)
      continue;
    const svg = element.closest("svg");
    const style = getComputedStyle(element);
    const color = rgb(svg ? style.fill : style.color);
    if (svg && element.closest(".heatmaplayer")) continue; // on a cell: see HEAT
    const [high, low] = [light(color), light(behind(element))].sort((a, b) => b - a);
    found.push([text.slice(0, 30), (high + 0.05) / (low + 0.05)]);
  }
  return found;
}"""
ACTIVE = "[document.activeElement.tagName, document.activeElement.classList[0] ?? '']"
HEAT = """() => {
  const style = getComputedStyle(document.documentElement);
  return ["--text", "--heat-low", "--heat-high"].map((name) => style.getPropertyValue(name).trim());
}"""


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for name in STUDIES:
        found = page([(name, load_results(RESULTS / name))])
        (folder / f"{name}.html").write_text(found, encoding="utf-8")
    return folder


def _opened(browser, url, width, scheme):
    """A page, and lists of what it asked for and what went wrong."""
    opened = browser.new_page(
        viewport={"width": width, "height": 800}, color_scheme=scheme, service_workers="block"
    )
    asked, wrong = [], []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("console", lambda message: wrong.append(message.text))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto(url)
    return opened, asked, wrong


def _draw_all(opened):
    for chart in opened.locator(".chart").all():
        chart.scroll_into_view_if_needed()
        chart.locator(".main-svg").first.wait_for()


@pytest.fixture(scope="module", params=[(n, *s) for n in STUDIES for s in SCREENS], ids=str)
def visit(request, browser, files):
    name, width, scheme = request.param
    url = (files / f"{name}.html").as_uri()
    opened, asked, wrong = _opened(browser, url, width, scheme)
    _draw_all(opened)
    yield opened, name, width
    opened.close()
    assert asked == [url]  # the file itself, and nothing else
    assert wrong == []


def _luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return sum(v * w for v, w in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def test_a_page_is_whole(visit):
    opened, name, width = visit
    assert opened.locator(".chart").count() == STUDIES[name]
    assert opened.evaluate("document.documentElement.scrollWidth") == width
    boxes = opened.evaluate(
        "[...document.querySelectorAll('.chart .main-svg')].map(s => s.clientWidth)"
    )
    assert min(boxes) > 200
    assert max(boxes) < width
    small = opened.evaluate(
        "[...document.querySelectorAll('#content *')].filter(e => e.childNodes.length && "
        "!e.closest('svg') && parseFloat(getComputedStyle(e).fontSize) < 12).length"
    )
    assert small == 0


def test_every_text_can_be_read(visit):
    opened, _, _ = visit
    opened.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    found = opened.evaluate(CONTRASTS)
    assert len(found) > 100
    assert [each for each in found if each[1] < 4.5] == []
    text, *cells = map(_luminance, opened.evaluate(HEAT))
    for cell in cells:
        assert (max(text, cell) + 0.05) / (min(text, cell) + 0.05) >= 4.5


def test_light_and_dark_have_their_own_colours(visit):
    opened, _, width = visit
    text = "e => getComputedStyle(e.querySelector('.xtick text')).fill"
    chart = opened.locator(".chart").first
    body = "getComputedStyle(document.body).backgroundColor"
    before = chart.evaluate(text), opened.evaluate(body)
    assert (before[1] == "rgb(255, 255, 255)") == (width == 1200)
    opened.emulate_media(color_scheme="dark" if width == 1200 else "light")
    opened.wait_for_function(
        f"before => ({text})(document.querySelector('.chart')) !== before", arg=before[0]
    )
    assert opened.evaluate(body) != before[1]
    opened.emulate_media(color_scheme="light" if width == 1200 else "dark")
    opened.wait_for_function(
        f"before => ({text})(document.querySelector('.chart')) === before", arg=before[0]
    )


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_the_legend_shows_and_hides_lines(browser, files, width, scheme):
    opened, _, wrong = _opened(browser, (files / "pdigits.html").as_uri(), width, scheme)
    _draw_all(opened)

    def shown():
        """The names of the lines that are seen, in each chart."""
        return opened.evaluate(
            "[...document.querySelectorAll('.chart')].map(c => [...new Set(c._fullData"
            ".filter(t => t.visible === true).map(t => t.name))])"
        )

    names = ["lstm", "momentum-lstm", "adam-lstm", "rmsprop-lstm", "sr-lstm"]
    lines = "document.querySelectorAll('.chart .scatterlayer .trace').length"
    assert shown() == [names, names]
    assert opened.evaluate(lines) == 2 * 2 * len(names)
    button = opened.get_by_role("button", name="adam-lstm", exact=True)
    button.click()
    rest = [name for name in names if name != "adam-lstm"]
    assert button.get_attribute("aria-pressed") == "false"
    assert shown() == [rest, rest]
    assert opened.evaluate(lines) == 2 * 2 * len(rest)
    button.focus()
    opened.keyboard.press("Enter")  # by the keyboard as well
    assert shown() == [names, names]
    button.dblclick()
    assert shown() == [["adam-lstm"], ["adam-lstm"]]
    button.dblclick()
    assert shown() == [names, names]
    opened.close()
    assert wrong == []


def test_the_keyboard_reaches_what_can_be_used(browser, files):
    opened, _, _ = _opened(browser, (files / "pdigits.html").as_uri(), 390, "light")
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.className") == "skip"
    assert opened.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    _draw_all(opened)
    reached = set()
    for _ in range(40):
        opened.keyboard.press("Tab")
        reached.add(tuple(opened.evaluate(ACTIVE)))
    assert {
        ("BUTTON", ""),
        ("SUMMARY", ""),
        ("DIV", "scroll"),
        ("BUTTON", "modebar-btn"),
    } <= reached
    opened.close()


def test_a_chart_is_a_picture_with_words(visit):
    opened, name, _ = visit
    told = opened.locator("svg[role=img]").evaluate_all("all => all.map(e => e.ariaLabel)")
    assert len(told) == STUDIES[name]
    assert all(len(words) > 20 for words in told)
    # a picture has no parts that can be reached
    inside = "all => all.filter(e => e.querySelector('button, a, [tabindex]')).length"
    assert opened.locator("[role=img]").evaluate_all(inside) == 0


def test_names_are_no_markup_in_a_chart(browser, tmp_path):
    name = "a<b>c</b>&lt;<a href='https://example.com'>d</a>"
    runs = [Result(recipe={}, values={"chosen": 1.0}, arm={"model": m}) for m in (name, "other")]
    results = load_results(RESULTS / "pdigits")
    results.runs, results.axes, results.table = runs, {"model": [name, "other"]}, "named"
    with TABLES.lend({"named": lambda _: Table(["model"], [[name]], "")}):
        (tmp_path / "page.html").write_text(page([("x", results)]), encoding="utf-8")
    opened, _, wrong = _opened(browser, (tmp_path / "page.html").as_uri(), 1200, "light")
    _draw_all(opened)
    assert opened.locator(".ytick text").all_text_contents() == [name, "other"]
    assert opened.locator(".chart a").count() == 0
    opened.close()
    assert wrong == []


def _runs(epochs):
    recipe = {"task": "digits", "model": "lstm", "init_seed": 0, "epochs": 9}
    curves = {"epoch": list(range(1, epochs + 1))}
    curves |= {key: [1 / e for e in curves["epoch"]] for key in ("test_metric", "train_loss")}
    return [Run("under way", Result(recipe=recipe, curves=curves), "now")]


def test_a_watched_page_follows_and_stays_where_it_is(browser):
    state = {"epochs": 3}
    studies = [("pdigits", load_results(RESULTS / "pdigits"))]

    def make(version):
        return page(studies, _runs(state["epochs"]), version=version)

    with Server(Live(make, lambda: str(state["epochs"])), 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        home = f"http://127.0.0.1:{server.server_port}/"
        opened, asked, wrong = _opened(browser, home, 1200, "light")
        _draw_all(opened)
        details = opened.locator("details[data-key=pdigits-0-common]")
        details.evaluate("e => e.open = true")
        opened.get_by_role("button", name="adam-lstm", exact=True).click()
        opened.evaluate("scrollTo({top: 900, behavior: 'instant'})")
        before = opened.evaluate("scrollY")
        state["epochs"] = 5
        opened.get_by_text("epoch 5 of 9").wait_for(state="attached", timeout=30000)
        assert opened.evaluate("scrollY") == before == 900
        assert details.evaluate("e => e.open")
        button = opened.get_by_role("button", name="adam-lstm", exact=True)
        assert button.get_attribute("aria-pressed") == "false"
        assert "Changed at" in opened.locator("#live").inner_text()
        _draw_all(opened)
        assert opened.evaluate("document.querySelector('.chart')._fullData[0].x.length") == 5
        opened.close()
        server.shutdown()
    assert set(asked) == {home, f"{home}state"}
    assert wrong == []
