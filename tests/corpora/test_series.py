import gzip

import numpy as np
import pytest

from generalist.corpora.open import open_corpus as open_any
from generalist.corpora.series import KNOWN, open_corpus, read


def written(path, values, header="day,close"):
    path.write_text("\n".join([header, *(f"{at},{value}" for at, value in enumerate(values))]))
    return path


@pytest.mark.parametrize("name", KNOWN)
def test_nothing_that_is_asked_for_lies_in_training(name):
    train, test = open_any(f"series:{name}"), open_any(f"series:{name}", "test")
    assert train.measure == "series"
    last = train.starts[-1] + train.context + train.horizon
    assert last == train.cut == test.cut  # training ends where the test split begins
    asked = [start + test.context for start in test.starts]
    assert asked[0] == test.cut
    assert np.diff(asked).tolist() == [test.horizon] * (len(asked) - 1)  # each number once
    assert 0 <= len(test.values) - (asked[-1] + test.horizon) < test.horizon
    assert len(test) >= 5


def test_the_series_are_those_that_their_packages_hold():
    sizes = {name: len(open_corpus(name, "train").values) for name in KNOWN}
    assert sizes == {"elnino": 732, "sunspots": 309, "co2": 2284, "sp500": 5031, "wti": 8611}
    assert open_corpus("elnino", "train").values[:3].tolist() == [23.11, 24.20, 25.37]  # January 1950 and on
    assert open_corpus("sp500", "train").values[0] == 1228.099976
    assert "missing" in open_corpus("co2", "train").note


def test_a_window_is_what_the_series_has_there(tmp_path):
    path = written(tmp_path / "a.csv", range(500))
    train, test = open_corpus(str(path), "train"), open_corpus(f"{path}@7", "test")
    known, future = train[3]
    assert known.values.tolist() == list(range(3, 67))
    assert future.values.tolist() == list(range(67, 83))
    assert (known.centre, known.scale) == (future.centre, future.scale) == (34.5, np.std(np.arange(64)))
    assert test.period == 7
    assert test.window(1)[1].tolist() == list(range(416, 432))
    assert test.history(1).tolist() == list(range(416))


def test_missing_numbers_lie_on_a_line(tmp_path):
    path = written(tmp_path / "a.csv", [*range(100), "", ".", "nan", 103, *range(104, 400)])
    corpus = open_corpus(str(path), "train")
    np.testing.assert_allclose(corpus.values, np.arange(400))
    assert corpus.note.startswith("3 numbers of the series are missing")


def test_a_packed_file_and_a_chosen_column(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n3,4\n"))
    assert read(path, None).tolist() == [2, 4]
    assert read(path, "a").tolist() == [1, 3]
    with pytest.raises(ValueError, match="has the columns a, b, not c"):
        read(path, "c")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n1,two\n", r"a\.csv:3: 'two' is no number"),
        ("a,b\n1,inf\n", r"a\.csv:2: 'inf' is not finite"),
        ("a,b\n1,\n", "has no numbers"),
        ("", "has no numbers"),
        ("a\n" + "1\n" * 50, "has 50 numbers; windows of 64 and 16 of both splits need 101"),
    ],
)
def test_files_that_are_no_series(tmp_path, text, said):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=said):
        open_corpus(str(tmp_path / "a.csv"), "train")


def test_names_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="known are elnino, sunspots, co2, sp500, wti"):
        open_corpus("nino", "train")
    with pytest.raises(ValueError, match="how many numbers a season has, got 'x'"):
        open_corpus(f"{written(tmp_path / 'a.csv', range(500))}@x", "train")
    with pytest.raises(ValueError, match="train and test, not heldout"):
        open_corpus("elnino", "heldout")
