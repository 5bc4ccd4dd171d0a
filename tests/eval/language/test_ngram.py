"""N-gram models: proper distributions, against a slow reference, and better with more context."""

import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generalist.eval.language.ngram import END, MIN_DISCOUNT, START, NGram

TEXTS = ["the cat sat on the mat", "the dog sat", "a cat, a dog and the mät", "", "the"]


def slow_probability(texts: list[str], order: int, context: list[int], symbol: int) -> float:
    """Interpolated Kneser-Ney, written down with dictionaries and a recursion."""
    rows = [[START] * (order - 1) + list(text.encode()) + [END] for text in texts]
    raw = {
        length: Counter(
            tuple(row[i - length + 1 : i + 1]) for row in rows for i in range(order - 1, len(row)) if row[i] != START
        )
        for length in range(1, order + 1)
    }

    def count(length: int) -> dict[tuple[int, ...], int]:
        if length == order:
            return raw[length]
        before = Counter(gram[1:] for gram in raw[length + 1])
        return {gram: n if gram[0] == START else before[gram] for gram, n in raw[length].items()}

    def probability(length: int) -> float:
        if length == 0:
            return 1 / 257
        counts, ending = count(length), tuple(context[len(context) - length + 1 :])
        once, twice = (sum(n == k for n in counts.values()) for k in (1, 2))
        discount = max(once / (once + 2 * twice) if twice else 0.5, MIN_DISCOUNT)
        following = {gram: n for gram, n in counts.items() if gram[:-1] == ending}
        if not following:
            return probability(length - 1)
        total = sum(following.values())
        here = max(following.get((*ending, symbol), 0) - discount, 0)
        return (here + discount * len(following) * probability(length - 1)) / total

    return probability(order)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_are_those_of_a_slow_reference(order):
    model = NGram.fit(TEXTS, order)
    for before in (b"", b"t", b"the ", b"a cat sat", b"xq"):
        context = [START] * 4 + list(before)
        expected = [slow_probability(TEXTS, order, context, symbol) for symbol in (*b"thecq ", END)]
        np.testing.assert_allclose(model.distribution(before)[[*b"thecq ", END]], expected, rtol=1e-12)


@given(st.binary(max_size=12), st.sampled_from([1, 2, 3, 4, 5]))
def test_what_may_follow_any_context_sums_to_one_and_nothing_is_impossible(before, order):
    found = NGram.fit(TEXTS, order).distribution(before)
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert found.min() > 0


def test_nothing_is_impossible_where_nothing_was_seen_just_once():
    found = NGram.fit(["aabb" * 50] * 2, 1).distribution(b"")
    assert found[ord("z")] > 0
    assert found.sum() == pytest.approx(1)


def test_the_nats_of_a_text_are_those_of_its_bytes_and_its_end_whatever_stands_beside_it():
    model = NGram.fit(TEXTS, 5)
    steps = [-math.log(model.distribution(b"the mat"[:n])[symbol]) for n, symbol in enumerate([*b"the mat", END])]
    end_alone = -math.log(model.distribution(b"")[END])
    np.testing.assert_allclose(model.nats(["zz", "the mat", ""]), [model.nats(["zz"])[0], sum(steps), end_alone])
    np.testing.assert_allclose(model.nats(["the mat", ""], whole=[False, False]), [sum(steps[:-1]), 0], atol=1e-12)


def test_no_end_is_learnt_from_texts_that_go_on():
    whole, open_ended = NGram.fit(TEXTS, 3), NGram.fit(TEXTS, 3, whole=[False] * len(TEXTS))
    assert open_ended.distribution(b"the")[END] < whole.distribution(b"the")[END] / 5


def test_context_helps():
    draw = random.Random(0)
    words = ["north", "south", "door", "window", "table", "and", "behind", "of"]
    texts = [" ".join(draw.choices(words, k=40)) for _ in range(60)]
    sizes = sum(len(text) for text in texts[50:])
    one, three, five = (NGram.fit(texts[:50], n).nats(texts[50:]).sum() / sizes / math.log(2) for n in (1, 3, 5))
    assert one > three + 2
    assert three > five + 0.1
    assert five > 3 / 6.5, "less than the choice of a word costs is not to be had"


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(ValueError, match="1 to 5, got 6"):
        NGram.fit(TEXTS, 6)
    with pytest.raises(ValueError, match="got 1 texts without a byte"):
        NGram.fit([""], 2, whole=[False])
