import numpy as np
import pytest

from generalist.tokenizers.sequence import TOKEN_FIELDS, Capacity, TokenSequence, empty, shapes, stack

CAPACITY = Capacity(
    tokens=7, targets=3, patches=2, patch_values=12, vectors=1, vector_values=5, images=1, image_shape=(4, 4, 3)
)


def test_fields_of_the_class_are_the_ones_with_a_shape():
    assert set(shapes(CAPACITY)) == set(empty(CAPACITY).arrays())
    assert set(TOKEN_FIELDS) < set(TokenSequence.__dataclass_fields__)


def test_empty_is_all_padding():
    nothing = empty(CAPACITY, pad_id=9)
    assert len(nothing) == 7
    assert (nothing.ids == 9).all()
    assert not nothing.segment.any()
    assert not nothing.loss_mask.any()
    for at in (nothing.patch_at, nothing.vector_at, nothing.image_at):
        assert (at == 7).all()
    for name, (shape, dtype) in shapes(CAPACITY).items():
        assert (getattr(nothing, name).shape, getattr(nothing, name).dtype) == (shape, dtype)


def test_stack_adds_a_batch_axis():
    batch = stack([empty(CAPACITY, pad_id=1), empty(CAPACITY, pad_id=2)])
    np.testing.assert_array_equal(batch.ids[:, 0], [1, 2])
    assert batch.images.shape == (2, 1, 4, 4, 3)


def test_a_capacity_without_targets_is_refused():
    with pytest.raises(ValueError, match="0 < targets <= tokens"):
        Capacity(tokens=4, targets=5)
