"""Speech and text to be fuzzed."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from tools.stress.subjects import Spot, Subject, writer
from torchmomentum.experiments.data import spoken_digits, text, text_files, timit_files
from torchmomentum.experiments.data.audio import BINS
from torchmomentum.experiments.data.text_files import PTB, SHAKESPEARE, read_known, read_own
from torchmomentum.experiments.data.timit import load_timit
from torchmomentum.experiments.data.windows import even_windows, in_columns


def _audio(
    kind: str = "WAV", subtype: str = "PCM_16", rate: int = 8000, count: int = 1000
) -> bytes:
    out = io.BytesIO()
    samples = np.random.default_rng(0).uniform(-1, 1, count)
    soundfile.write(out, samples, rate, format=kind, subtype=subtype)
    return out.getvalue()


def _wave(
    channels: int = 1, rate: int = 8000, bits: int = 16, promised: int = 1000, code: int = 1
) -> bytes:
    data = np.full(500, 0x7FC0 if code == 3 else 1, "<i2").tobytes()
    form = struct.pack("<HHIIHH", code, channels, rate, rate * 2 % 2**32, 2, bits)
    chunks = b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", promised) + data
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks


def _sphere(**fields: str) -> bytes:
    content = _audio("NIST", rate=16000)
    lines = content[:1024].decode().splitlines(keepends=True)
    changed = [
        f"{k} -i {v}\n" if (k := line.split(" ")[0]) in fields and (v := fields[k]) else line
        for line in lines
    ]
    return "".join(changed)[:1024].ljust(1024).encode() + content[1024:]


def _recordings() -> list[bytes]:
    rates = (0, 1, 3999, 44101, 191_999, 2**31, 2**32 - 1)
    return [
        *[_wave(channels=n) for n in (0, 2, 255, 65535)],
        *[_wave(rate=rate) for rate in rates],
        *[_wave(bits=bits) for bits in (0, 1, 7, 33, 65535)],
        *[_wave(promised=n) for n in (0, 1, 999, 2**31, 2**32 - 1)],
        _wave(code=3, bits=32),
        *[
            _audio(kind, sub)
            for kind, sub in (("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("AIFF", "PCM_16"))
        ],
        *[_audio("WAV", sub) for sub in ("IMA_ADPCM", "GSM610", "ULAW", "DOUBLE")],
        _audio(count=0),
        _audio(rate=16000, count=0),
        *[_sphere(sample_count=n) for n in ("0", "-1", "9" * 9, "9" * 30)],
        *[_sphere(channel_count=n) for n in ("0", "2", "-1", "9" * 9)],
        *[_sphere(sample_rate=n) for n in ("0", "1", "-1", "191999", "9" * 12)],
    ]


def _spectra(tensors: Sequence[Tensor]) -> str:
    for each in tensors:
        if each.shape[1:] != (BINS,) or len(each) < 2 or not each.isfinite().all():
            return f"a spectrum of shape {tuple(each.shape)}"
    return "" if tensors else "nothing was loaded"


def timit(folder: Path) -> Subject:
    """TIMIT, of four sentences."""
    contents = {
        "train/dr1/mtrn0/si1.wav": _audio("NIST", rate=16000),
        "train/dr1/mtrn0/si2.wav": _audio("WAV"),
        "test/dr1/fdhc0/si1.wav": _audio("WAV", "FLOAT"),
        "test/dr1/fadg0/si1.wav": _audio("WAV", "PCM_24", rate=16000),
    }
    hostile = [(name, each) for name in list(contents)[:2] for each in _recordings()]
    return Subject(
        {k: Spot(v, writer(folder / "timit" / k)) for k, v in contents.items()},
        lambda: [each for part in load_timit(folder).values() for each in part],
        _spectra,
        hostile,
        [(timit_files, "COUNTS", {"train": 2, "validation": 1, "test": 1})],
    )


def digits(folder: Path) -> Subject:
    """Free Spoken Digits, of six recordings: the zip file and a recording."""
    names = [f"x/recordings/{digit}_a_{number}.wav" for digit in (1, 2) for number in (0, 5, 10)]

    def archive(changed: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as file:
            for name, content in (dict.fromkeys(names, _audio()) | changed).items():
                file.writestr(zipfile.ZipInfo(name), content, method)
        return out.getvalue()

    path = folder / "fsdd" / "free-spoken-digit-dataset.zip"
    long = f"x/recordings/1_a_{'9' * 5000}.wav"
    return Subject(
        {
            "zip": Spot(archive({}), writer(path)),
            "recording": Spot(_audio(), writer(path, lambda each: archive({names[1]: each}))),
        },
        lambda: [
            each for part in spoken_digits.load_spoken_digits(folder).values() for each in part
        ],
        _spectra,
        [
            ("zip", archive({names[0]: bytes(1 << 28)})),
            ("zip", archive({}, zipfile.ZIP_LZMA)),
            ("zip", archive({}, zipfile.ZIP_BZIP2)),
            ("zip", archive({long: _audio()})),
            ("zip", archive({f"../../recordings/3_{'b' * 300}_7.wav": _audio()})),
            *[("recording", each) for each in _recordings()],
        ],
        [(spoken_digits, "_COUNT", 6), (spoken_digits, "FRAMES", 3)],
    )


def _words(tensors: Sequence[Tensor]) -> str:
    size = int(tensors[0])
    for each in tensors[1:]:
        if each.dtype != torch.long or each.dim() != 1 or not len(each):
            return f"words of {each.dtype}, shape {tuple(each.shape)}"
        if not 0 <= each.min() <= each.max() < size:
            return "a word's number is out of range"
    return ""


def _used(found: text.Text) -> Sequence[Tensor]:
    """A text as the tasks use it."""
    for part in found[1:]:
        if len(part) >= 4:
            even_windows(in_columns(part, 2), 5)
    return torch.tensor(len(found.words)), *found[1:]


_TEXT = "To be, or not to be: that is the <unk> .\nWhether 'tis nobler, Élan!\n" * 30
_TEXTS = [
    b"", b"\0" * 1000, b"\xff\xfe" * 100, b"\n" * 5000, b"a" * 1_000_000, b"a'" * 200_000,
    b"a \n" * 19, b"_\n" * 100, "\ufeffa b\n".encode() * 40, b"\xed\xa0\x80\n" * 40,
    b"\x1c\x0c\x85" * 99, "\u2028a\u0130".encode() * 40,
]  # fmt: skip


def ptb(folder: Path) -> Subject:
    """The Penn Treebank's three files."""
    content = _TEXT.encode()
    digest = hashlib.sha256(content).hexdigest()
    files = {k: file._replace(size=1 << 21, sha256=digest) for k, file in PTB.items()}
    return Subject(
        {k: Spot(content, writer(folder / "ptb" / file.name)) for k, file in files.items()},
        lambda: _used(text.load_ptb(folder)),
        _words,
        [(name, each) for name in files for each in _TEXTS],
        [
            (text, "PTB", files),
            (text_files, "PTB", files),
            (text_files, "verify_size", lambda *_: None),
        ],
        [(text_files, "verify_sha256")],
    )


def words(folder: Path) -> Subject:
    """Shakespeare."""
    content = _TEXT.encode()
    file = SHAKESPEARE._replace(size=1 << 21, sha256=hashlib.sha256(content).hexdigest())
    return Subject(
        {"text": Spot(content, writer(folder / "text" / file.name))},
        lambda: _used(text.text_of(read_known(folder, file, offline=True), 20, file.name)),
        _words,
        [("text", each) for each in _TEXTS],
        [(text_files, "verify_size", lambda *_: None)],
        [(text_files, "verify_sha256")],
    )


def own_text(folder: Path) -> Subject:
    """A user's own text."""
    path = folder / "mine.txt"
    return Subject(
        {"text": Spot(_TEXT.encode(), writer(path))},
        lambda: _used(text.text_of(read_own(path), 20, str(path))),
        _words,
        [("text", each) for each in _TEXTS],
    )
