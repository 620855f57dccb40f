"""Pictures from encoded files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any


def decode_colors(source: Path | bytes) -> Any:
    """A picture in red, green and blue, as Pillow has it.

    Args:
        source: A file, or what is in it.

    Raises:
        ValueError: It is no picture, or damaged.
    """
    from PIL import Image

    try:
        with Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from error
