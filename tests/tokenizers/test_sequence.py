import numpy as np
import pytest

from generalist.tokenizers.sequence import FEATURES, TOKEN_FIELDS, Capacity, TokenSequence, empty, shapes, stack

CAPACITY = Capacity(
    tokens=7,
    targets=3,
    patches=2,
    patch_values=12,
    vectors=1,
    vector_values=5,
    images=1,
    image_shape=(4, 4, 3),
    answers=4,
)


def test_fields_of_the_class_are_the_ones_with_a_shape():
    assert set(shapes(CAPACITY)) == set(empty(CAPACITY).arrays())
    assert set(TOKEN_FIELDS) < set(TokenSequence.__dataclass_fields__)


def test_every_array_is_of_positions_or_of_features():
    """Each once, and a capacity knows how many features of each kind there may be."""
    of_features = [name for at, arrays in FEATURES.items() for name in (at, *arrays)]
    assert sorted([*TOKEN_FIELDS, *of_features]) == sorted(shapes(CAPACITY))
    for at, arrays in FEATURES.items():
        assert {shapes(CAPACITY)[name][0][0] for name in (at, *arrays)} == {CAPACITY.features[at]}
    assert CAPACITY.features == {"patch_at": 2, "vector_at": 1, "image_at": 1, "answer_at": 4}


def test_empty_is_all_padding():
    nothing = empty(CAPACITY, pad_id=9)
    assert len(nothing) == 7
    assert (nothing.ids == 9).all()
    assert not nothing.segment.any()
    assert not nothing.loss_mask.any()
    for at in FEATURES:
        assert (getattr(nothing, at) == 7).all()
    for name, (shape, dtype) in shapes(CAPACITY).items():
        assert (getattr(nothing, name).shape, getattr(nothing, name).dtype) == (shape, dtype)


def test_stack_adds_a_batch_axis():
    batch = stack([empty(CAPACITY, pad_id=1), empty(CAPACITY, pad_id=2)])
    np.testing.assert_array_equal(batch.ids[:, 0], [1, 2])
    assert batch.images.shape == (2, 1, 4, 4, 3)


def test_a_capacity_without_targets_is_refused():
    with pytest.raises(ValueError, match="0 < targets <= tokens"):
        Capacity(tokens=4, targets=5)
