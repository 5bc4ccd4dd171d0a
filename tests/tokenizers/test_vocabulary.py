import pytest

from generalist.tokenizers.vocabulary import Vocabulary


@pytest.mark.parametrize("sizes", [{}, {"text_size": 32_000}, {"text_size": 2, "bins": 2, "discrete_size": 3}])
def test_ranges_are_disjoint_and_cover_everything(sizes):
    table = Vocabulary(**sizes)
    ids = [
        i for start, stop in (table.text, table.continuous, table.discrete, table.specials) for i in range(start, stop)
    ]
    assert ids == list(range(table.size))
    specials = {table.separator, table.feature, table.pad, table.end, table.blank}
    specials |= {table.speaker(name) for name in ("system", "user", "assistant")}
    assert specials == set(range(*table.specials))


def test_text_and_continuous_ranges_are_the_papers():
    table = Vocabulary(text_size=32_000)
    assert table.text == (0, 32_000)
    assert table.continuous == (32_000, 33_024)


def test_too_small_is_refused():
    with pytest.raises(ValueError, match="bins must be at least 2"):
        Vocabulary(bins=1)


def test_an_unknown_speaker_is_refused():
    with pytest.raises(ValueError, match="a speaker is one of system, user, assistant, got 'me'"):
        Vocabulary().speaker("me")
