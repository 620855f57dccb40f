"""Pictures from encoded files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from torchmomentum.experiments.data.damage import one_line, read_file

_AT_MOST = 1 << 28  # bytes of a file


def decode_colors(source: Path | bytes, pixels: int | None = None) -> Any:
    """A picture in red, green and blue, as Pillow has it.

    Args:
        source: A JPEG or PNG file, or what is in it. Pillow's other formats are not asked for: one
            runs a program.
        pixels: That it may have; None for what Pillow allows without a warning.

    Raises:
        ValueError: It is no such picture, damaged, or larger.
    """
    from PIL import Image, JpegImagePlugin, PngImagePlugin

    largest = Image.MAX_IMAGE_PIXELS if pixels is None else pixels
    try:
        content = read_file(source, _AT_MOST) if isinstance(source, Path) else source
        is_png = content.startswith(b"\x89PNG")
        kind = PngImagePlugin.PngImageFile if is_png else JpegImagePlugin.JpegImageFile
        with kind(io.BytesIO(content)) as image:  # Image.open warns of a large one, and makes it
            if largest is not None and image.width * image.height > largest:
                raise ValueError(f"it has {image.width} x {image.height} pixels")
            return image.convert("RGB")
    except MemoryError:
        raise
    except Exception as error:  # no list of what decoders raise over hostile content is complete
        raise ValueError(one_line(error)) from error
