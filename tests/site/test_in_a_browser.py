"""The site in headless Chromium, at a desk and on a phone: no request leaves the machine."""

import contextlib
import functools
import http.server
import shutil
import threading

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("there is no Chromium", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
PAGES = ["", "idea/", "rules/", "paper/", "findings/", "mathematics/", "reference/", "features/"]


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def _failed(kept, request):
    if "ERR_ABORTED" not in (request.failure or ""):  # of a page that was left
        kept.append(request.url)


@contextlib.contextmanager
def _served(site):
    handler = functools.partial(_Handler, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def visits(site):
    """What each page did at each width and scheme: requests, failures, width, colour."""
    found = {}
    with _served(site) as home, playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        for width, scheme in ((1200, "light"), (390, "dark")):
            page = browser.new_page(
                viewport={"width": width, "height": 800},
                color_scheme=scheme,
                service_workers="block",
            )
            requests, failures = [], []
            page.on("request", lambda request, kept=requests: kept.append(request.url))
            page.on("requestfailed", functools.partial(_failed, failures))
            page.on("pageerror", lambda error, kept=failures: kept.append(str(error)))
            for name in PAGES:
                answer = page.goto(home + name, wait_until="networkidle")
                found[width, name] = {
                    "status": answer.status,
                    "width": page.evaluate("document.documentElement.scrollWidth"),
                    "background": page.evaluate("getComputedStyle(document.body).backgroundColor"),
                    "math": page.evaluate(
                        "[...document.querySelectorAll('math')].filter(m => m.getClientRects()"
                        ".length && m.getBoundingClientRect().height > 4).length"
                    ),
                    "broken": page.evaluate(
                        "[...document.images].filter(i => !i.naturalWidth).map(i => i.src)"
                    ),
                }
            found[width, "requests"], found[width, "failures"] = requests, failures
            found[width, "home"] = home
        page.goto(home)
        page.locator("label.md-header__button[for=__search]").click()
        page.locator("input.md-search__input").press_sequentially("momentumize", delay=30)
        page.wait_for_selector(".md-search-result__item", timeout=15000)
        found["search"] = page.locator(".md-search-result__item").first.inner_text()
        browser.close()
    return found


@pytest.mark.parametrize("width", [1200, 390])
def test_no_request_leaves_the_machine(visits, width):
    assert len(visits[width, "requests"]) > len(PAGES)
    here = (visits[width, "home"], "data:")
    assert all(url.startswith(here) for url in visits[width, "requests"])
    assert not visits[width, "failures"]


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_its_window(visits, width, name):
    seen = visits[width, name]
    assert seen["status"] == 200
    assert seen["width"] <= width
    assert not seen["broken"]


def test_mathematics_has_a_size(visits):
    assert visits[390, "mathematics/"]["math"] > 20


def test_light_and_dark(visits):
    assert visits[1200, ""]["background"] != visits[390, ""]["background"]


def test_the_search_finds(visits):
    assert "momentumize" in visits["search"]
