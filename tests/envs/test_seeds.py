import pytest
from hypothesis import given
from hypothesis import strategies as st

from generalist.envs import seeds

episodes = st.integers(0, 2**29 - 1)


@given(st.integers(0, 2**70), episodes)
def test_the_three_blocks_are_disjoint_and_below_2_31(seed, episode):
    blocks = [
        (seeds.DEMONSTRATION_BLOCK, seeds.demonstration_seed(seed, episode)),
        (seeds.EVALUATION_BLOCK, seeds.evaluation_seed(episode)),
        (seeds.SELECTION_BLOCK, seeds.selection_seed(episode)),
    ]
    assert [stop for (_, stop), _ in blocks] == [2**30, 2**30 + 2**29, 2**31]
    assert [start for (start, _), _ in blocks] == [0, 2**30, 2**30 + 2**29]
    for (start, stop), value in blocks:
        assert start <= value < stop


@given(st.integers(0, 2**40), episodes, episodes)
def test_episodes_of_one_collection_never_repeat(seed, one, other):
    same = seeds.demonstration_seed(seed, one) == seeds.demonstration_seed(seed, other)
    assert same == (one == other)


def test_collections_of_different_seeds_differ():
    collections = [{seeds.demonstration_seed(seed, episode) for episode in range(3000)} for seed in range(20)]
    assert len(set().union(*collections)) == 20 * 3000


def test_the_mapping_is_fixed_for_ever():
    assert seeds.demonstration_seed(0, 0) == 821328062
    assert seeds.evaluation_seed(7) == 2**30 + 7


@pytest.mark.parametrize(
    "call",
    [
        lambda: seeds.demonstration_seed(-1, 0),
        lambda: seeds.demonstration_seed(0, 2**30),
        lambda: seeds.evaluation_seed(2**29),
        lambda: seeds.selection_seed(-1),
    ],
)
def test_what_leaves_its_block_is_refused(call):
    with pytest.raises(ValueError, match="must be"):
        call()
