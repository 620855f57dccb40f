"""Recordings that are damaged, or that ask for more than they hold."""

import io
import math
import struct
import zipfile

import numpy as np
import pytest
import soundfile

from torchmomentum.experiments.data import spoken_digits
from torchmomentum.experiments.data.audio import read_audio
from torchmomentum.experiments.data.timit import _sentence
from torchmomentum.experiments.errors import UsageError


def _wave(channels=1, rate=8000, bits=16, promised=1000, code=1, data=b"\1\0" * 500):
    form = struct.pack("<HHIIHH", code, channels, rate, rate * 2 % 2**32, bits // 8, bits)
    chunks = b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", promised) + data
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks


def _floats(*values):
    data = np.array(values * 250, "<f4").tobytes()
    return _wave(code=3, bits=32, promised=len(data), data=data)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (_wave(channels=0), r"cannot be read as audio: Channel count is zero\."),
        (_wave(channels=2), "has 2 channels, expected 1"),
        (_wave(rate=3999), "cannot be read as audio: 3999 samples a second"),
        (_wave(rate=192_001), "cannot be read as audio: 192001 samples a second"),
        (
            _wave(rate=44_101),
            "cannot be read as audio: 44101 samples a second",
        ),  # a filter of a million taps
        (_wave(promised=2**31 - 1), "is cut off: 500 of 1073741823"),
        (_floats(0.5, math.nan), "is damaged: samples beyond 16 times full scale"),
        (_floats(0.5, math.inf), "is damaged: samples beyond 16 times full scale"),
        (_floats(0.5, 17.0), "is damaged: samples beyond 16 times full scale"),
    ],
)
def test_headers_of_recordings(content, words, capfd):
    with pytest.raises(UsageError, match=rf"^a\.wav {words}"):
        read_audio(content, "a.wav")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("kind", "subtype", "words"),
    [
        ("FLAC", "PCM_16", "it is neither WAV nor SPHERE"),
        ("MP3", "MPEG_LAYER_III", "it is neither WAV nor SPHERE"),
        ("WAV", "IMA_ADPCM", "it is WAV of IMA_ADPCM"),
    ],
)
def test_recordings_are_not_compressed(kind, subtype, words):
    file = io.BytesIO()
    soundfile.write(file, np.zeros(1000), 8000, format=kind, subtype=subtype)
    with pytest.raises(UsageError, match=f"^a cannot be read as audio: {words}$"):
        read_audio(file.getvalue(), "a")


def test_cut_headers_of_recordings():
    for length in range(200):
        with pytest.raises(UsageError):
            read_audio(_wave()[:length], "a.wav")


def test_room_is_made_for_no_more_samples_than_bytes(monkeypatch):
    monkeypatch.setattr(soundfile.SoundFile, "frames", property(lambda self: 2**50))
    with pytest.raises(UsageError, match=f"{2**50} samples in 1044 bytes"):
        read_audio(_wave(), "a.wav")


def test_recordings_that_are_read():
    for rate in (4000, 11_025, 22_050, 44_100, 48_000, 192_000):
        assert len(read_audio(_wave(rate=rate), "a.wav")) == -(-500 * 8000 // rate)
    assert read_audio(_floats(0.5, -1.5), "a.wav").abs().max() == 1.5


def test_a_seek_before_the_beginning_is_not_printed(capfd):
    file = io.BytesIO()
    soundfile.write(file, np.zeros(1000), 16000, format="NIST", subtype="PCM_16")
    with pytest.raises(UsageError, match="cannot be read as audio"):
        read_audio(file.getvalue().replace(b"   1024\n", b"   -1\n"), "a.wav")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (_wave(), "a set has no sentence of 200 frames"),
        (bytes((1 << 17) + 1), r"1_a_7\.wav has 131073 bytes, at most 131072"),
    ],
)
def test_sets_and_recordings_of_spoken_digits(tmp_path, monkeypatch, content, words):
    monkeypatch.setattr(spoken_digits, "_COUNT", 1)
    path = tmp_path / "free-spoken-digit-dataset.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/recordings/1_a_7.wav", content)
    with pytest.raises(UsageError, match=rf"dataset\.zip is damaged: .*{words}"):
        spoken_digits.load_spoken_digits(tmp_path)


def test_a_sentence_has_two_frames(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(_wave(promised=766, data=b"\1\0" * 383))  # 384 samples are two
    with pytest.raises(UsageError, match=r"a\.wav is damaged: it is shorter than two frames"):
        _sentence(path)
