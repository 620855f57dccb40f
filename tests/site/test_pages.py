"""What the built pages hold: links that lead somewhere, mathematics, signatures, nothing remote."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

FETCHED = {("link", "href"), *((tag, "src") for tag in ("script", "img", "iframe", "source"))}


class _Page(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.links, self.fetched, self.anchors, self.tags = [], [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        for name, value in attrs:
            if (tag, name) in FETCHED and value and values.get("rel") != "canonical":
                self.fetched.append(value)


def _pages(site):
    return {path: _Page(path) for path in sorted(site.rglob("*.html"))}


def _target(page, link):
    place, anchor = urldefrag(link)
    path = page if not place else Path(unquote(place))
    path = path if path.is_absolute() else (page.parent / path).resolve()
    return (path / "index.html" if path.is_dir() else path), anchor


def test_every_link_leads_somewhere(site):
    pages, checked = _pages(site), 0
    for path, page in pages.items():
        if path.name == "404.html":
            continue
        for link in page.links:
            if urlsplit(link).scheme:
                continue
            target, anchor = _target(path, link)
            assert target.exists(), f"{path.relative_to(site)}: {link}"
            if anchor and target in pages and not anchor.startswith("__"):
                assert unquote(anchor) in pages[target].anchors, f"{path.relative_to(site)}: {link}"
            checked += 1
    assert checked > 500


def test_nothing_is_fetched_from_elsewhere(site):
    for path, page in _pages(site).items():
        remote = [value for value in page.fetched if urlsplit(value).netloc]
        assert not remote, f"{path.relative_to(site)}: {remote}"
    for sheet in site.rglob("*.css"):
        found = re.findall(r"url\([\"']?(https?:[^)]*)", sheet.read_text(encoding="utf-8"))
        assert not found, sheet


def test_mathematics_and_roles_are_rendered(site):
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert 'class="arithmatex"' not in text, path
        assert not re.search(r":(class|func|meth|attr|math|mod):", text), path
        assert ".. math::" not in text, path
    reference = _Page(site / "reference" / "index.html")
    assert reference.tags.count("math") > 100


def test_the_reference_shows_what_a_layer_takes(site):
    text = (site / "reference" / "index.html").read_text(encoding="utf-8")
    plain = re.sub(r"<[^>]+>", "", text)
    for name in ("MomentumLSTM", "SRSGD", "momentumize", "linear_scan"):
        start = plain.index(f"{name}(")
        assert "mu" in plain[start : start + 900] or name != "MomentumLSTM"
    for signature in ("restart_every", "step_size", "initial_state(", "forward("):
        assert signature in plain


def test_recorded_figures_are_on_their_pages(site):
    paper = _Page(site / "paper" / "index.html")
    assert "../figures/figure2/gradients.svg" in paper.fetched
    assert (site / "figures" / "figure2" / "gradients.svg").exists()
