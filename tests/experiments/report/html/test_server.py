"""The server answers two addresses of this machine, and opens no file that a request names."""

import contextlib
import http.client
import json
import socket
import threading

import pytest

from torchmomentum.experiments.report.html.scripts import policy
from torchmomentum.experiments.report.html.server import HOST, Live, Server


@pytest.fixture
def served(monkeypatch):
    """A server of a page without files; any file that it opens is an error."""
    state = {"version": "one", "made": 0}

    def make(version):
        state["made"] += 1
        return f"page {version}"

    with Server(Live(make, lambda: state["version"]), 0) as server:
        policy(live=True)  # reads the page's own scripts, once
        monkeypatch.setattr("io.open", lambda *_: pytest.fail("a file was opened"))
        monkeypatch.setattr("builtins.open", lambda *_: pytest.fail("a file was opened"))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        state["port"] = server.server_port
        yield state
        server.shutdown()


def _ask(served, path="/", method="GET", **headers):
    with contextlib.closing(http.client.HTTPConnection(HOST, served["port"], timeout=10)) as asked:
        asked.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            asked.putheader(name, value)
        asked.endheaders()
        answer = asked.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def _raw(served, request):
    with contextlib.closing(socket.create_connection((HOST, served["port"]), 10)) as asked:
        asked.sendall(request)
        asked.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: asked.recv(4096), b""))


def test_the_page_and_its_version(served):
    status, headers, body = _ask(served)
    assert (status, body) == (200, b"page one")
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Security-Policy"] == f"{policy(live=True)}; frame-ancestors 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers
    assert headers["Server"].strip() == "torchmomentum"
    status, headers, body = _ask(served, "/state")
    assert (status, json.loads(body)) == (200, {"version": "one"})


def test_the_page_is_made_anew_only_when_its_files_changed(served):
    for _ in range(3):
        assert _ask(served)[2] == b"page one"
    assert served["made"] == 1
    served["version"] = "two"
    assert json.loads(_ask(served, "/state")[2]) == {"version": "two"}
    assert served["made"] == 1
    assert _ask(served)[2] == b"page two"


def test_head_has_no_body(served):
    status, headers, body = _ask(served, method="HEAD")
    assert (status, headers["Content-Length"], body) == (200, "8", b"")


@pytest.mark.parametrize(
    "path",
    [
        *("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd"),
        *("/etc/passwd", "//etc/passwd", "/./", "/state/", "/state/../state", "/?x", "/state?x"),
        *(
            "http://127.0.0.1/",
            "file:///etc/passwd",
            "*",
            "\\..\\x",
            "/index.html",
            "/results.json",
        ),
    ],
)
def test_every_other_path_is_not_found(served, path):
    status, headers, body = _ask(served, path)
    assert (status, body) == (404, b"404 Not Found\n")
    assert "Content-Security-Policy" in headers
    assert served["made"] == 0


def test_odd_requests_are_refused(served):
    host = b"Host: localhost\r\n\r\n"
    for line, status in (
        (b"GET /\0 HTTP/1.1\r\n", b"404"),
        (b"GET /\xff\xfe HTTP/1.1\r\n", b"404"),
        (b"GET /" + b"a" * 60000 + b" HTTP/1.1\r\n", b"404"),
        (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n", b"414"),
        (b"GET / HTTP/9.9\r\n", b"505"),
        (b"GET\r\n", b"400"),
    ):
        assert status in _raw(served, line + host), line[:20]
    assert served["made"] == 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "ODD"])
def test_other_methods_are_not_allowed(served, method):
    status, headers, _ = _ask(served, method=method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert served["made"] == 0


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *(
            (host, 200)
            for host in ("localhost", "LOCALHOST:80", "127.0.0.1:8765", "[::1]:1", "[::1]")
        ),
        *((host, 403) for host in ("evil.example", "evil.example:8765", "localhost.evil.example")),
        *((host, 403) for host in ("127.0.0.1.evil.example", "", ":80", "127.0.0.1:80:80", "::1")),
        *((host, 403) for host in ("localhost@evil.example", "10.0.0.1", "0.0.0.0")),
    ],
)
def test_only_this_machine_by_its_own_name(served, host, status):
    for path in ("/", "/state"):
        assert _ask(served, path, Host=host)[0] == status


def test_no_host_and_two_hosts_are_refused(served):
    assert b" 403 " in _raw(served, b"GET / HTTP/1.1\r\n\r\n")
    two = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
    assert b" 403 " in _raw(served, two)


def test_it_listens_on_loopback_alone(served):
    assert HOST == "127.0.0.1"
    with Server(Live(lambda _: "", lambda: ""), 0) as server:
        assert server.socket.getsockname()[0] == "127.0.0.1"
