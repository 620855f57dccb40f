"""Files that somebody made on purpose, and what makes valid ones beside them."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import zipfile
import zlib
from typing import Any

import numpy as np
from PIL import Image

BOMB = gzip.compress(bytes(1 << 24), mtime=0) * 128  # two gigabytes in two megabytes


class Call:
    """What runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, ("touch executed",)


def gzipped(content: bytes) -> bytes:
    """Content packed by gzip, the same each time."""
    return gzip.compress(content, 1, mtime=0)


def pickles() -> list[bytes]:
    """Pickles that run something, ask for memory, or crash an unpickler."""
    huge = (2**62).to_bytes(8, "little")
    reconstruct = b"cnumpy._core.multiarray\n_reconstruct\n"
    return [
        pickle.dumps({b"data": Call(), b"labels": [1, 2]}, 2),
        pickle.dumps({b"data": Call(), b"labels": [1, 2]}, 4),
        b"\x80\x04Nr\xff\xff\xff\x7f.",  # a memo of 2**31 places
        b"\x80\x05\x96" + huge + b".",  # a bytearray of that length
        b"\x80\x04\x95" + huge + b".",
        b"\x80\x04\x8e" + huge + b"x.",
        b"\x80\x02}" + b")" + b"\x85" * 300_000 + b"K\x01s.",  # a key that takes a deep stack
        b"\x80\x02" + b"}" * 3_000_000 + b".",
        b"\x80\x02cnumpy\nndarray\n\x8a\x05\x00\x00\x00\x00\x10\x85R.",
        b"\x80\x02"
        + reconstruct
        + b"cnumpy\nndarray\n\x8a\x05\x00\x00\x00\x00\x10\x85U\x01b\x87R.",
        b"\x80\x02cbuiltins\neval\nU\x011\x85R.",
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.",
        b"\x80\x02(cos\nsystem\nU\x0etouch executedo.",
        b"(S'touch executed'\nios\nsystem\n.",
        b".",
    ]


def tarred(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """A tar file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as file:
        for info, content in members:
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """The header of a member of a tar file."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def _sparse(name: str) -> bytes:
    """A header of a file of a terabyte without content, and its end."""
    block = bytearray(member(name, tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"\x80" + (2**40).to_bytes(11, "big")
    block[386:398] = b"%011o\0" % 0
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(10240)


def tars(named: str, content: bytes) -> list[bytes]:
    """Tar files that lead elsewhere, hold no file, or lie about its size.

    Args:
        named: The member that is asked for.
        content: What it should hold.
    """
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)
    return [
        tarred([(member("../escaped"), b"x"), (member("/tmp/escaped-of-fuzz"), b"x")]),
        *[tarred([(member(named, kind, "/etc/passwd"), b"")]) for kind in kinds],
        _sparse(named),
        tarred([(member(named), content)])[:512] + b"\0" * 100,
        b"",
        bytes(10240),
    ]


def encoded(number: int, kind: str = "JPEG", mode: str = "RGB", side: int = 32) -> bytes:
    """An encoded picture of noise."""
    out = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(out, kind)
    return out.getvalue()


def npy(array: Any) -> bytes:
    """An array in NumPy's format."""
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asarray(array), allow_pickle=True)
    return out.getvalue()


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file, the same each time."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def _chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def _png_of_size(width: int, height: int) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = _chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + _chunk(b"IEND", b"")


def odd_images() -> list[bytes]:
    """Pictures in other formats, one of them a program, and of impossible or huge sizes."""
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n(executed) (w) file closefile\n"
    others = [encoded(1, kind) for kind in ("GIF", "BMP", "TIFF", "PPM", "WEBP")]
    sizes = ((65500, 65500), (2**31 - 1, 2**31 - 1), (0, 5), (9000, 9000))
    return [program, *others, *[_png_of_size(*each) for each in sizes]]
