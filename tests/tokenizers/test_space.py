import numpy as np
import pytest
from gymnasium import spaces

from generalist.tokenizers.space import assemble, is_mission, is_text, leaves, pick

NESTED = spaces.Dict(
    b=spaces.Tuple((spaces.Discrete(2), spaces.Dict({"x/y": spaces.Text(3), "a~": spaces.MultiBinary(2)}))),
    a=spaces.Box(0, 1, ()),
)


def test_order_is_lexicographic_by_key_path():
    found = leaves(NESTED, "observation")
    assert [leaf.path for leaf in found] == [
        "observation/a",
        "observation/b/0",
        "observation/b/1/a~0",
        "observation/b/1/x~1y",
    ]
    assert found[2].keys == ("b", 1, "a~")


def test_a_leaf_is_its_own_root():
    (only,) = leaves(spaces.Discrete(3), "action")
    assert (only.path, only.keys) == ("action", ())


def test_pick_and_assemble_are_inverse():
    value = {"a": 1.0, "b": (2, {"x/y": "t", "a~": [3]})}
    by_keys = {leaf.keys: pick(value, leaf) for leaf in leaves(NESTED, "o")}
    assert assemble(NESTED, by_keys.get) == value


def test_a_missing_key_is_named():
    leaf = leaves(spaces.Dict(arm=spaces.Dict(x=spaces.Discrete(2))), "observation")[0]
    with pytest.raises(ValueError, match=r"observation/arm/x: the value has no 'x', it has \['y'\]"):
        pick({"arm": {"y": 1}}, leaf)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Graph(spaces.Discrete(2), spaces.Discrete(2)),
        spaces.Sequence(spaces.Discrete(2)),
        spaces.OneOf((spaces.Discrete(2), spaces.Discrete(3))),
    ],
)
def test_others_are_refused_by_name(space):
    with pytest.raises(ValueError, match=f"observation/deep/0: a space of type {type(space).__name__} cannot"):
        leaves(spaces.Dict(deep=spaces.Tuple((space,))), "observation")


def test_keys_that_read_the_same_are_refused():
    twins = spaces.Dict({1: spaces.Discrete(2)})
    twins.spaces["1"] = spaces.Discrete(2)
    with pytest.raises(ValueError, match="two keys of this Dict read the same"):
        leaves(twins, "observation")


def test_minigrids_mission_is_text():
    mission = pytest.importorskip("minigrid.core.mission").MissionSpace(lambda: "get the key")
    assert is_text(mission)
    assert is_mission(mission)
    assert not is_text(spaces.Box(0, 1, (2,), np.float32))
