"""Speech: audio files whole or not at all, spectra, TIMIT's tree, sentences of spoken digits."""

import io
import math
import wave
import zipfile

import numpy as np
import pytest
import soundfile
import torch

from torchmomentum.experiments.data import timit_files
from torchmomentum.experiments.data.audio import log_magnitudes, read_audio
from torchmomentum.experiments.data.spoken_digits import load_spoken_digits
from torchmomentum.experiments.data.timit import load_timit
from torchmomentum.experiments.data.timit_files import CORE_TEST, DEVELOPMENT, utterances
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.registry import TASKS
from torchmomentum.experiments.studies.training import training_recipe
from torchmomentum.experiments.tasks._metrics import counted, masked_squared_error


def _tone(frequency, seconds=0.2, rate=8000):
    return np.sin(2 * math.pi * frequency * np.arange(int(seconds * rate)) / rate) / 2


def _encoded(samples, rate=8000, kind="WAV"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype="PCM_16")
    return file.getvalue()


@pytest.mark.parametrize("kind", ["WAV", "NIST"])
def test_audio_comes_back_to_16_bits(kind):
    samples = _tone(440)
    found = read_audio(_encoded(samples, kind=kind), "a.wav")
    assert found.dtype == torch.float32
    assert np.abs(found.numpy() - samples).max() <= 2 / 2**15


@pytest.mark.parametrize("kind", ["WAV", "NIST"])
def test_a_file_that_is_cut_off_is_named(kind):
    content = _encoded(_tone(440), kind=kind)
    with pytest.raises(UsageError, match=r"^a\.wav is cut off: \d+ of 1600 samples$"):
        read_audio(content[:-100], "a.wav")


def test_no_audio_and_stereo_are_named():
    with pytest.raises(UsageError, match=r"^a\.wav cannot be read as audio"):
        read_audio(b"NIST_1A but nothing else", "a.wav")
    with pytest.raises(UsageError, match=r"^a\.wav has 2 channels, expected 1$"):
        read_audio(_encoded(np.zeros((100, 2))), "a.wav")


def test_audio_is_brought_to_8_khz():
    found = read_audio(_encoded(_tone(440, rate=16000), 16000), "a.wav")
    assert len(found) == 1600
    inner = slice(100, -100)  # the filter's ends aside
    assert np.abs(found.numpy() - _tone(440))[inner].max() < 1e-3
    # what lies above the new Nyquist frequency is not folded below it
    above = read_audio(_encoded(_tone(6000, rate=16000), 16000), "a.wav")
    assert above[inner].abs().max() < 1e-3


def test_the_spectrum_is_that_of_numpy():
    samples = torch.randn(256 + 128 * 5 + 77, generator=torch.Generator().manual_seed(0))
    found = log_magnitudes(samples)
    assert found.shape == (6, 129)
    window = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(256) / 256)
    for t, frame in enumerate(found):
        part = samples.numpy()[128 * t : 128 * t + 256].astype(np.float64)
        expected = np.log(np.abs(np.fft.rfft(part * window)))
        np.testing.assert_allclose(frame.numpy(), expected, atol=1e-3)
    assert log_magnitudes(torch.zeros(255)).shape == (0, 129)
    silence = log_magnitudes(torch.zeros(256))
    torch.testing.assert_close(silence, torch.full_like(silence, math.log(1e-4)))


def _tree(folder, *, upper=True, ending=".WAV", sentences=("SI1", "SX2", "SA1")):
    speakers = [("train", "mtrn0"), *(("test", s) for s in sorted(CORE_TEST | DEVELOPMENT))]
    speakers.append(("test", "mabw0"))  # of the full test set, in neither of the two
    for number, (half, speaker) in enumerate(speakers):
        for name in sentences:
            where = folder / "timit" / "data" / half / "dr1" / speaker
            if upper:
                where = folder / "timit" / "TIMIT" / half.upper() / "DR1" / speaker.upper()
            where.mkdir(parents=True, exist_ok=True)
            samples = _tone(100 + number, 0.1, 16000)
            name = name if upper else name.lower()
            (where / f"{name}{ending}").write_bytes(_encoded(samples, 16000, "NIST"))
            (where / f"{name}.TXT").write_text("text")


COUNTS = {"train": 2, "validation": 2 * 24, "test": 2 * 50}


def test_timits_sets_have_the_papers_sizes():
    assert (len(CORE_TEST), len(DEVELOPMENT)) == (24, 50)
    assert not CORE_TEST & DEVELOPMENT
    # eight sentences of each speaker without SA; the paper: 192 for validation, 400 to test
    assert timit_files.COUNTS == {"train": 462 * 8, "validation": 24 * 8, "test": 50 * 8}


@pytest.mark.parametrize(("upper", "ending"), [(True, ".WAV"), (False, ".wav"), (True, ".WAV.wav")])
def test_timits_tree(tmp_path, monkeypatch, upper, ending):
    monkeypatch.setattr(timit_files, "COUNTS", COUNTS)
    _tree(tmp_path, upper=upper, ending=ending)
    found = utterances(tmp_path)
    assert {part: len(files) for part, files in found.items()} == COUNTS
    assert {path.parent.name.lower() for path in found["validation"]} == CORE_TEST
    assert {path.parent.name.lower() for path in found["test"]} == DEVELOPMENT
    assert not [p for files in found.values() for p in files if p.name.lower().startswith("sa")]
    sentences = load_timit(tmp_path)
    # 0.1 s at 8 kHz: 800 samples, five windows
    assert {tuple(each.shape) for each in sentences["test"]} == {(5, 129)}


def test_a_copy_that_is_not_whole_says_what_is_missing(tmp_path):
    with pytest.raises(UsageError, match=r"TIMIT is not in .*: place your copy of LDC93S1 below"):
        utterances(tmp_path)
    _tree(tmp_path)
    with pytest.raises(UsageError, match="2 of 3696 for train, 48 of 192 for validation"):
        utterances(tmp_path)


def test_a_file_of_timits_that_is_cut_off_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(timit_files, "COUNTS", COUNTS)
    _tree(tmp_path)
    path = tmp_path / "timit/TIMIT/TEST/DR1/FDHC0/SI1.WAV"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UsageError, match=r"FDHC0/SI1\.WAV is cut off: 1595 of 1600 samples"):
        load_timit(tmp_path)


def _wave(samples):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes((samples * 2**15).astype("<i2").tobytes())
    return file.getvalue()


def _digits(folder, *, leave_out=0):
    (folder / "fsdd").mkdir()
    names = [(d, s, n) for d in range(10) for s in "abcdef" for n in range(50)]
    with zipfile.ZipFile(folder / "fsdd" / "free-spoken-digit-dataset.zip", "w") as archive:
        archive.writestr("x/README.md", "text")
        for digit, speaker, number in names[leave_out:]:
            # the level tells the set, the pitch the speaker
            level = 0.1 if number < 5 else 0.2 if number < 10 else 0.4
            samples = level * _tone(250 * (1 + "abcdef".index(speaker)), 0.9)
            archive.writestr(f"x/recordings/{digit}_{speaker}_{number}.wav", _wave(samples))


def test_spoken_digits_are_joined_by_set_and_speaker(tmp_path):
    _digits(tmp_path)
    found = load_spoken_digits(tmp_path)
    again = load_spoken_digits(tmp_path)
    # 0.9 s are 7,200 samples: four recordings have 25,728, the least for 200 frames
    assert {part: len(each) for part, each in found.items()} == {
        "train": 6 * (400 // 4),
        "validation": 6 * (50 // 4),
        "test": 6 * (50 // 4),
    }
    levels = {"train": 0.4, "validation": 0.2, "test": 0.1}
    for part, sentences in found.items():
        speakers = set()
        for sentence, same in zip(sentences, again[part], strict=True):
            assert torch.equal(sentence, same)
            assert len(sentence) == (4 * 7200 - 256) // 128 + 1
            middle = sentence.median(0).values
            speakers.add(int(middle.argmax()))
            # a sine of this level in the middle of a bin, under Hann's window
            assert middle.max().exp() == pytest.approx(levels[part] / 2 * 64, rel=0.02)
        assert speakers == {8 * k for k in range(1, 7)}  # bins of 31.25 Hz


def test_spoken_digits_that_are_not_whole(tmp_path):
    with pytest.raises(UsageError, match=r"place it as .*free-spoken-digit-dataset\.zip"):
        load_spoken_digits(tmp_path)
    _digits(tmp_path, leave_out=1)
    with pytest.raises(UsageError, match="should hold 3000 recordings, has 2999"):
        load_spoken_digits(tmp_path)
    path = tmp_path / "fsdd" / "free-spoken-digit-dataset.zip"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UsageError, match="is damaged: File is not a zip file"):
        load_spoken_digits(tmp_path)


def _data(**settings):
    recipe = training_recipe({"task": "synthetic-speech", "model": "lstm", **settings}, 0)
    return TASKS.find("synthetic-speech")().load(recipe, None)


def test_the_next_frame_is_the_target():
    data = _data(batch_size=8)
    assert (data.input_size, data.output_size, data.each_step) == (129, 129, True)
    (x, lengths), target = next(iter(data.train))
    assert x.shape == target.shape == (int(lengths.max()), 8, 129)
    for b, length in enumerate(lengths.tolist()):
        assert torch.equal(x[1:length, b], target[: length - 1, b])
        assert not target[:length, b].isnan().any()
        assert target[length:, b].isnan().all()
        assert not x[length:, b].any()
    assert data.weigh(target) == lengths.sum()


def test_orders_are_the_seeds():
    def lengths(seed, epoch):
        data = _data(batch_size=8, order_seed=seed)
        data.train.epoch = epoch
        return [tuple(n.tolist()) for (_, n), _ in data.train]

    assert lengths(1, 0) == lengths(1, 0)
    assert lengths(1, 0) != lengths(1, 1)
    assert lengths(1, 0) != lengths(2, 0)


def test_only_frames_that_count_are_averaged():
    target = torch.tensor([[[1.0, 3.0], [2.0, 2.0]], [[float("nan")] * 2, [4.0, 0.0]]])
    output = torch.zeros(2, 2, 2, requires_grad=True)
    loss = masked_squared_error(output, target)
    assert loss.item() == pytest.approx((1 + 9 + 4 + 4 + 16 + 0) / 6)
    assert counted(target) == 3
    (slope,) = torch.autograd.grad(loss, output)
    assert not slope.isnan().any()
    assert not slope[1, 0].any()


def test_batches_larger_than_the_data():
    with pytest.raises(UsageError, match="batch_size must be at most the 160 training sentences"):
        _data(batch_size=161)
