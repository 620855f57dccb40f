"""Text by words, and the windows that a language model is trained on."""

from collections import Counter

import pytest
import torch

from torchmomentum.experiments.data.folder import data_folder
from torchmomentum.experiments.data.text import END, UNKNOWN, made_text, text_of
from torchmomentum.experiments.data.text_files import PTB, find, read_known, read_own
from torchmomentum.experiments.data.windows import Windows, even_windows, in_columns
from torchmomentum.experiments.errors import UsageError


def _words(text, part):
    return [text.words[i] for i in part]


def test_words_beyond_the_vocabulary_are_unknown_and_lines_end():
    lines = ["Don't stop, Stop! 12 miles."] * 18 + ["", "stop here", "Élan stop"]
    text = text_of("\n".join(lines), 4, "this")
    assert text.words[:2] == [END, UNKNOWN]
    assert set(text.words[2:]) <= {"don't", "stop", ",", "!", "12", "miles", "."}
    assert _words(text, text.validation) == ["stop", UNKNOWN, END]
    assert _words(text, text.test) == [UNKNOWN, "stop", END]
    all_known = text_of("\n".join(lines), 50, "this")
    assert _words(all_known, all_known.train[:9]) == [
        *("don't", "stop", ",", "stop", "!", "12", "miles", "."), END
    ]  # fmt: skip
    assert len(text.train) == 18 * 9


def test_a_text_may_say_what_is_unknown():
    text = text_of("the <unk> sat\n" * 20, 5, "this")
    assert _words(text, text.test) == ["the", UNKNOWN, "sat", END]
    assert text.words == [END, UNKNOWN, "the", "sat"]


def test_a_text_that_is_too_short_or_none_is_named(tmp_path):
    with pytest.raises(UsageError, match="this must have at least 20 lines, got 19"):
        text_of("a\n" * 19, 5, "this")
    with pytest.raises(UsageError, match=r"file must be a text file: file=TEXT\.txt, got None"):
        read_own(None)
    (tmp_path / "picture").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="picture is not a text in UTF-8"):
        read_own(str(tmp_path / "picture"))


def test_made_words_depend_on_the_one_before():
    text = made_text([4000, 10, 10], vocabulary=10)
    pairs = Counter(zip(text.train[:-1].tolist(), text.train[1:].tolist(), strict=True))
    single = Counter(text.train.tolist())

    def entropy(counts):
        p = torch.tensor([float(n) for n in counts.values()]) / sum(counts.values())
        return -(p * p.log()).sum().item()

    assert entropy(pairs) - entropy(single) < 0.8 * entropy(single)  # given the word before


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_windows_cover_each_column_once_in_order(epoch):
    rows = in_columns(torch.arange(1003), 4)  # three words are left over
    windows = Windows(rows, 20, seed=3)
    windows.epoch = epoch
    found = list(windows)
    assert len(found) == len(windows)
    inputs = torch.cat([x for (x, _), _ in found])
    targets = torch.cat([y for _, y in found])
    assert torch.equal(inputs, rows[:-1])
    assert torch.equal(targets, rows[1:])
    assert torch.equal(rows[:, 1], torch.arange(250, 500))
    assert [bool(begins) for (_, begins), _ in found] == [True] + [False] * (len(found) - 1)
    windows.start = 3
    for (a, _), (b, _) in zip([x for x, _ in windows], [x for x, _ in found[3:]], strict=True):
        assert torch.equal(a, b)


def test_window_lengths_are_those_of_awd_lstm():
    windows = Windows(in_columns(torch.arange(400_000), 2), 70, seed=0)
    lengths = torch.tensor([float(len(y)) for _, y in windows][:-1])
    short = lengths < 52.5
    assert abs(short.float().mean() - 0.05) < 0.012  # four standard deviations
    for found, mean in ((lengths[~short], 69.5), (lengths[short], 34.5)):  # cut to whole numbers
        assert abs(found.mean() - mean) < 4 * 5 / len(found) ** 0.5
    assert abs(lengths[~short].std() - 5) < 0.4
    windows.epoch = 1
    assert [len(y) for _, y in windows] != lengths.int().tolist()


def test_too_few_words_are_named():
    with pytest.raises(UsageError, match="20 columns need at least 40 words, got 39"):
        in_columns(torch.arange(39), 20)


def test_even_windows():
    found = even_windows(in_columns(torch.arange(50), 2), 10)
    assert [len(y) for _, y in found] == [10, 10, 4]
    assert [bool(begins) for (_, begins), _ in found] == [True, False, False]


def test_the_treebank_is_a_users_own_copy_and_a_damaged_one_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"place .*text/ptb.train.txt \(sha256 fcea919f"):
        find(tmp_path, PTB["train"], offline=False)
    (tmp_path / "ptb.valid.txt").write_bytes(b"x" * PTB["validation"].size)
    with pytest.raises(UsageError, match=r"ptb\.valid\.txt is damaged"):
        read_known(tmp_path, PTB["validation"], offline=False)


@pytest.mark.parametrize(
    ("part", "words", "lines"), [("validation", 70390, 3370), ("test", 78669, 3761)]
)
def test_the_treebanks_parts_have_the_known_number_of_words(part, words, lines):
    folder = data_folder(None)
    if not any((folder / p / PTB[part].name).is_file() for p in ("text", "ptb", "penn", "")):
        pytest.skip("the Penn Treebank is not here")
    text = read_known(folder, PTB[part], offline=True)
    assert (len(text.split()), len(text.splitlines())) == (words, lines)
