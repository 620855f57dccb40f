"""``torchmomentum watch``."""

from __future__ import annotations

import argparse
from pathlib import Path

from torchmomentum.experiments.cli.options import Commands, need_extra
from torchmomentum.experiments.errors import UsageError

_PORT = 8765


def add(commands: Commands) -> None:
    """Adds the command to the parser."""
    watch = commands.add_parser(
        "watch", help="serve the report of runs under way to a browser here"
    )
    watch.add_argument(
        "paths", metavar="PATH", type=Path, nargs="+", help="a folder of results or of runs"
    )
    watch.add_argument(
        "--port",
        type=int,
        default=_PORT,
        metavar="N",
        help="on 127.0.0.1; 0 for a free one (default %(default)s)",
    )


def run(options: argparse.Namespace) -> None:
    """Serves the report until it is interrupted; it writes nothing."""
    need_extra("plotly", "jinja2", "tensorboard")
    if not 0 <= options.port < 2**16:
        raise UsageError(f"port must be in [0, 65535], got {options.port}")
    from torchmomentum.experiments.report.html.page import page
    from torchmomentum.experiments.report.html.server import HOST, Live, Server
    from torchmomentum.experiments.studies.recorded import find, version

    paths: list[Path] = options.paths
    missing = next((path for path in paths if not path.exists()), None)
    if missing is not None:
        raise UsageError(f"{missing} does not exist")

    def make(now: str) -> str:
        found = find(paths, strict=False)
        return page(found.studies, found.runs, found.damaged, version=now)

    try:
        server = Server(Live(make, lambda: version(paths)), options.port)
    except OSError as error:
        raise UsageError(
            f"port {options.port} of {HOST}: {error.strerror}; give another --port"
        ) from error
    with server:
        print(f"http://{HOST}:{server.server_port}/ follows its files; Ctrl-C ends it", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            raise KeyboardInterrupt("no longer served") from None
