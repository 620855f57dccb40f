"""Serves one page from this machine to this machine: two addresses, read-only.

No part of a request is ever used as the name of a file.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from torchmomentum.experiments.report.html.scripts import policy

HOST = "127.0.0.1"
_NAMES = ("127.0.0.1", "localhost", "[::1]")  # by which a browser here asks for it
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Live:
    """A page that is made anew once its files have changed.

    Args:
        make: Makes the page for a version of its files.
        version: A word that changes when they do.
    """

    def __init__(self, make: Callable[[str], str], version: Callable[[], str]) -> None:
        self._make, self.version = make, version
        self._lock = threading.Lock()
        self._held: tuple[str, bytes] | None = None

    def page(self) -> bytes:
        """The page as its files are now."""
        with self._lock:
            version = self.version()
            if self._held is None or self._held[0] != version:
                self._held = version, self._make(version).encode()
            return self._held[1]


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "torchmomentum", ""
    timeout = 10  # seconds that a silent caller may hold a thread

    def _answer(self, status: HTTPStatus, kind: str, body: bytes, **more: str) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Content-Security-Policy": f"{policy(live=True)}; frame-ancestors 'none'",
            **_HEADERS,
            **more,
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: HTTPStatus, **more: str) -> None:
        self.close_connection = True  # what else was sent is not read
        self._answer(status, "text/plain", f"{status.value} {status.phrase}\n".encode(), **more)

    def _is_ours(self) -> bool:
        """Whether it was asked for by this machine's name, not by one that now leads here."""
        name, _, port = (self.headers.get("Host") or "").lower().rpartition(":")
        if not port.isdigit():
            name = f"{name}:{port}" if name else port
        return name in _NAMES and len(self.headers.get_all("Host", [])) == 1

    def do_GET(self) -> None:
        """Answers with the page or its version."""
        if not self._is_ours():
            self._refuse(HTTPStatus.FORBIDDEN)
        elif self.path == "/":
            self._answer(HTTPStatus.OK, "text/html", self.server.live.page())
        elif self.path == "/state":
            state = json.dumps({"version": self.server.live.version()})
            self._answer(HTTPStatus.OK, "application/json", state.encode())
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET

    def __getattr__(self, name: str) -> Any:
        """Every other method is refused, whatever it is called."""
        if name.startswith("do_"):
            return lambda: self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, Allow="GET, HEAD")
        raise AttributeError(name)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


class Server(ThreadingHTTPServer):
    """Serves a page on loopback.

    Args:
        live: The page.
        port: 0 for any that is free.
    """

    daemon_threads = True

    def __init__(self, live: Live, port: int) -> None:
        self.live = live
        super().__init__((HOST, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away is no error."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)
