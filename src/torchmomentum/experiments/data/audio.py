"""Recordings, read whole or not at all, as log-magnitudes of their spectra over time."""

from __future__ import annotations

import io
import math
import re
import wave

import torch
from torch import Tensor

from torchmomentum.experiments.errors import UsageError

RATE = 8000  # samples a second
WINDOW, HOP = 256, 128
BINS = WINDOW // 2 + 1
_SPHERE_HEADER = 1024
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
        except (wave.Error, EOFError):
            return None
    return None


def read_audio(content: bytes, name: str) -> Tensor:
    """A recording of one channel at 8 kHz, in [-1, 1].

    Args:
        content: The file: WAV, NIST SPHERE, or what else libsndfile reads.
        name: What it is called in messages.

    Raises:
        UsageError: It is no audio, has several channels, or is shorter than its header says.
    """
    import soundfile  # type: ignore[import-untyped]
    from scipy.signal import resample_poly

    try:
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float32")
    except soundfile.LibsndfileError as error:
        raise UsageError(f"{name} cannot be read as audio: {error}") from error
    promised = _promised(content)
    if promised is not None and len(samples) < promised:
        raise UsageError(f"{name} is cut off: {len(samples)} of {promised} samples")
    if samples.ndim > 1:
        raise UsageError(f"{name} has {samples.shape[1]} channels, expected 1")
    if rate != RATE:
        common = math.gcd(rate, RATE)
        samples = resample_poly(samples, RATE // common, rate // common)
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
