"""The page's two scripts and its style, and the policy under which a browser runs them."""

from __future__ import annotations

import base64
import functools
import hashlib
from pathlib import Path

HERE = Path(__file__).parent


def text(name: str) -> str:
    """A file that lies beside this one."""
    return (HERE / name).read_text(encoding="utf-8")


@functools.cache
def scripts() -> tuple[str, str]:
    """Plotly's code and the page's own."""
    from plotly.offline import get_plotlyjs

    code: str = get_plotlyjs()
    return code.replace("</script", "<\\/script"), text("page.js")  # it would end the page's own


@functools.cache
def policy(*, live: bool) -> str:
    """What the page may do: run its own two scripts, and nothing over the network.

    Args:
        live: It may ask the server that it came from.
    """
    hashes = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts())
    parts = {
        "default-src": "'none'",
        "script-src": " ".join(f"'sha256-{each}'" for each in hashes),
        "style-src": "'unsafe-inline'",  # plotly writes the styles of its charts
        "img-src": "data: blob:",  # a chart that is saved as a picture
        "connect-src": "'self'" if live else "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())
