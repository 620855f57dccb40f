"""Recordings, read whole or not at all, as log-magnitudes of their spectra over time."""

from __future__ import annotations

import io
import math
import re
import wave
from typing import Any

import torch
from torch import Tensor

from torchmomentum.experiments.data.damage import damaged, told
from torchmomentum.experiments.errors import UsageError

RATE = 8000  # samples a second
WINDOW, HOP = 256, 128
BINS = WINDOW // 2 + 1
_SPHERE_HEADER = 1024
_NO_AUDIO = "cannot be read as audio"
_BEGINNINGS = (b"RIFF", b"NIST_1A")  # libsndfile would try decoders that print what they miss
# of a byte or more a sample, so that a file's size bounds what it holds
_FORMATS = ("WAV", "WAVEX", "NIST")
_SUBTYPES = ("PCM_U8", "PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
_RATES = 4000, 192_000
_STEPS = 1000  # of a ratio of rates, which the filter's length goes by
_LOUDEST = 16.0  # floats may overshoot a little
_LEAST = 1e-4  # about what rounding to 16 bits leaves in a bin: silence has a logarithm too


def _promised(content: bytes) -> int | None:
    """How many samples a file's header promises; None where that is not known."""
    if content.startswith(b"NIST_1A"):
        found = re.search(rb"sample_count -i (\d+)", content[:_SPHERE_HEADER])
        return int(found.group(1)) if found else None
    if content.startswith(b"RIFF"):
        try:
            with wave.open(io.BytesIO(content)) as file:
                frames: int = file.getnframes()
                return frames
        except Exception:  # noqa: BLE001 - libsndfile decides what is a WAV file
            return None
    return None


def _ratio(rate: int) -> tuple[int, int]:
    """Our rate over another, in lowest terms."""
    common = math.gcd(rate, RATE)
    return RATE // common, rate // common


class _Content(io.BytesIO):
    """A file for libsndfile, which sees where it is after a seek; an error would be printed."""

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:  # before the beginning
            return self.tell()


def _decoded(content: bytes, name: str) -> tuple[Any, int]:
    """The samples ``(n,)`` and their rate, of one channel."""
    import soundfile  # type: ignore[import-untyped]

    if not content.startswith(_BEGINNINGS):
        raise damaged(name, "it is neither WAV nor SPHERE", _NO_AUDIO)
    try:
        opened = soundfile.SoundFile(_Content(content))
    except soundfile.LibsndfileError as error:  # whose words name an object in memory
        raise damaged(name, error.error_string, _NO_AUDIO) from error
    with told(name, _NO_AUDIO), opened as file:
        if file.format not in _FORMATS or file.subtype not in _SUBTYPES:
            raise ValueError(f"it is {file.format} of {file.subtype}")
        if file.channels != 1:
            raise UsageError(f"{name} has {file.channels} channels, expected 1")
        if not _RATES[0] <= file.samplerate <= _RATES[1] or max(_ratio(file.samplerate)) > _STEPS:
            raise ValueError(f"{file.samplerate} samples a second")
        if file.frames > len(content):  # a sample has a byte at least
            raise ValueError(f"{file.frames} samples in {len(content)} bytes")
        return file.read(dtype="float32"), file.samplerate


def read_audio(content: bytes, name: str) -> Tensor:
    """A recording of one channel at 8 kHz, in [-1, 1].

    Args:
        content: The file, WAV or NIST SPHERE, neither compressed.
        name: What it is called in messages.

    Raises:
        UsageError: It is no such audio, has several channels, is shorter than its header says, or
            has samples that are no numbers.
    """
    from scipy.signal import resample_poly

    samples, rate = _decoded(content, name)
    promised = _promised(content)
    if promised is not None and len(samples) < promised:
        raise UsageError(f"{name} is cut off: {len(samples)} of {promised} samples")
    if not len(samples):
        raise damaged(name, "it holds no samples")
    if not (abs(samples) <= _LOUDEST).all():  # nor is a NaN
        raise damaged(name, f"samples beyond {_LOUDEST:g} times full scale")
    if rate != RATE:
        samples = resample_poly(samples, *_ratio(rate))
    return torch.as_tensor(samples, dtype=torch.float32)


def log_magnitudes(samples: Tensor) -> Tensor:
    r"""The logarithm of the magnitudes of the short-time Fourier transform.

    Hann's window of 256 samples, a hop of 128 (16 ms): the MomentumRNN paper, Appendix A.2.

    Args:
        samples: ``(n,)`` at 8 kHz.

    Returns:
        ``(T, 129)``, :math:`T = \lfloor (n - 256) / 128 \rfloor + 1`; none for a recording that is
        shorter than a window.
    """
    if len(samples) < WINDOW:
        return samples.new_zeros(0, BINS)
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(samples, WINDOW, HOP, window=window, center=False, return_complex=True)
    return spectrum.abs().clamp_min(_LEAST).log().t().contiguous()
