"""Packed rows equal those of a slow first fit that is written here anew, list by list."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from token_examples import DIRECT, episode

from generalist.tokenizers.sequence import TOKEN_FIELDS, Capacity, TokenBatch, TokenSequence, shapes
from generalist.train.packing import SEGMENTS, PackedRows, to_batch

NAMES = ("tokens", "vector", "discrete", "patches", "conv")
EXAMPLES = [
    episode(NAMES[number % 5], 1 + number % 4, seed=number, source=number % 5, **(DIRECT if number % 3 == 0 else {}))
    for number in range(60)
]
CAPACITY = Capacity(
    tokens=80,
    targets=40,
    patches=9,
    patch_values=192,
    vectors=5,
    vector_values=7,
    images=4,
    image_shape=(8, 16, 3),
    answers=12,
)
SLOTS = {"patch_at": "patches", "vector_at": "vectors", "image_at": "images", "answer_at": "answers"}


Row = list[TokenSequence]


class Endless:
    """The examples in an order of their own, again and again."""

    def __init__(self, seed: int = 0):
        self.order = np.random.default_rng(seed).permutation(len(EXAMPLES))
        self.read: list[int] = []

    def __getitem__(self, number: int) -> TokenSequence:
        self.read.append(number)
        return EXAMPLES[self.order[number % len(EXAMPLES)]]


def slow_first_fit(examples: list[TokenSequence], capacity: Capacity, rows: int) -> tuple[list[Row], int]:
    """The examples of each row of one batch, and how many it holds."""
    batch = [[] for _ in range(rows)]

    def fits(row: list[TokenSequence]) -> bool:
        return (
            sum(len(one.ids) for one in row) <= capacity.tokens
            and sum(int(flag) for one in row for flag in one.loss_mask) <= capacity.targets
            and all(sum(len(getattr(one, at)) for one in row) <= getattr(capacity, name) for at, name in SLOTS.items())
        )

    for number, one in enumerate(examples):
        row = next((row for row in batch if fits([*row, one])), None)
        if row is None:
            return batch, number
        row.append(one)
    raise AssertionError("more examples are needed")


def slow_row(row: list[TokenSequence], capacity: Capacity) -> dict[str, np.ndarray]:
    """Arrays of a row, value by value."""
    arrays = {name: np.zeros(shape, dtype) for name, (shape, dtype) in shapes(capacity).items()}
    for at in SLOTS:
        arrays[at][:] = capacity.tokens
    place, used = 0, dict.fromkeys(SLOTS, 0)
    for number, one in enumerate(row, start=1):
        for at, name in SLOTS.items():
            others = {"patches": ("patch_rows", "patch_cols"), "answers": ("answer_part",)}.get(name, ())
            for index, position in enumerate(getattr(one, at)):
                arrays[at][used[at]] = position + place
                value = getattr(one, name)[index]
                arrays[name][(used[at], *(slice(size) for size in value.shape))] = value
                for other in others:
                    arrays[other][used[at]] = getattr(one, other)[index]
                used[at] += 1
        for index in range(len(one)):
            for name in TOKEN_FIELDS:
                arrays[name][place + index] = getattr(one, name)[index]
            arrays["segment"][place + index] += number * SEGMENTS
        place += len(one)
    return arrays


def assert_batch(batch: TokenBatch, rows: list[list[TokenSequence]]) -> None:
    for number, row in enumerate(rows):
        for name, values in slow_row(row, CAPACITY).items():
            found = getattr(batch, name)[number]
            np.testing.assert_array_equal(found, values, name)
            assert found.dtype == values.dtype


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_rows_are_those_of_a_slow_first_fit(rows):
    examples, position = Endless(rows), 0
    made = PackedRows(examples, CAPACITY, rows)
    for _ in range(6):
        batch = to_batch([next(made)], CAPACITY)
        expected, count = slow_first_fit([examples[position + number] for number in range(200)], CAPACITY, rows)
        assert_batch(batch, expected)
        assert count >= rows
        position += count
        assert made.position == position


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(0, 500), st.integers(1, 4))
def test_a_position_is_all_that_is_needed_to_go_on(seed, start, count):
    first = PackedRows(Endless(seed), CAPACITY, 2, start)
    for _ in range(count):
        next(first)
    again = PackedRows(Endless(seed), CAPACITY, 2, first.position)
    for one, other in itertools.islice(zip(first, again, strict=True), 2):
        for name, values in to_batch([one], CAPACITY).arrays().items():
            np.testing.assert_array_equal(values, getattr(to_batch([other], CAPACITY), name), name)


def test_every_example_is_read_once():
    """The one that begins the next batch is not read again."""
    examples = Endless()
    made = PackedRows(examples, CAPACITY, 3, 7)
    for _ in range(5):
        next(made)
    assert examples.read == list(range(7, made.position + 1))


def test_parts_are_joined_in_their_order():
    made = PackedRows(Endless(), CAPACITY, 2)
    parts = [next(made) for _ in range(3)]
    whole = to_batch(parts, CAPACITY)
    for number, part in enumerate(parts):
        for name, values in to_batch([part], CAPACITY).arrays().items():
            np.testing.assert_array_equal(getattr(whole, name)[2 * number : 2 * number + 2], values, name)


def test_a_part_is_sent_without_the_padding_of_its_features():
    part = next(PackedRows(Endless(), CAPACITY, 4))
    for at, counts in part.counts.items():
        assert len(part.features[at]) == counts.sum()
    assert part.counts["patch_at"].max() <= CAPACITY.patches
    assert part.counts["answer_at"].max() <= CAPACITY.answers
    features = {"patches", "patch_rows", "patch_cols", "vectors", "images", "answers", "answer_part"}
    assert set(part.features) >= features


def test_kinds_that_no_example_has_stay_empty():
    made = PackedRows([EXAMPLES[5]] * 100, CAPACITY, 2)
    batch = to_batch([next(made)], CAPACITY)
    assert (batch.patch_at == CAPACITY.tokens).all()
    assert (batch.answer_at == CAPACITY.tokens).all()
    assert not batch.images.any()


@pytest.mark.parametrize(
    "change",
    [{"tokens": 4, "targets": 4}, {"targets": 1}, {"patches": 1}, {"vectors": 1}, {"images": 1}, {"answers": 1}],
)
def test_an_example_that_fits_no_row_is_an_error(change):
    small = Capacity(**(vars(CAPACITY) | change))
    made = PackedRows([episode(name, 3, **how) for how in ({}, DIRECT) for name in NAMES] * 10, small, 2)
    with pytest.raises(ValueError, match=r"an example of \[.*\] does not fit a row of \["):
        list(itertools.islice(made, 9))


def test_segments_of_examples_never_meet():
    """An example may have a segment for each two of its tokens."""
    one = EXAMPLES[5].arrays()
    many = {name: np.repeat(one[name][:1], 20_000) for name in TOKEN_FIELDS}
    example = TokenSequence(**(one | many | {"segment": 1 + np.arange(20_000) // 2}))
    capacity = Capacity(tokens=60_000, targets=60_000)
    packed = next(PackedRows([example] * 4, capacity, 1))
    assert len(np.unique(packed.tokens["segment"])) == 3 * 10_000
