"""What clients send as observations: members of the space come through, all else is refused with its path."""

import numpy as np
import pytest
from gymnasium import spaces

from generalist.play.server.observations import member_of

SPACE = spaces.Dict(
    {
        "arm": spaces.Box(-1, 1, (2,), np.float64),
        "grid": spaces.Box(0, 255, (2, 2, 3), np.uint8),
        "gear": spaces.Discrete(3, start=1),
        "lights": spaces.MultiBinary(2),
        "menu": spaces.MultiDiscrete([2, 5]),
        "said": spaces.Text(20),
    }
)
RIGHT = {
    "arm": [0.5, 3.0],  # beyond its bounds, as environments are too
    "grid": np.full((2, 2, 3), 255, np.int64),
    "gear": 3,
    "lights": [0, 1],
    "menu": np.array([1, 4.0]),
    "said": "go",
}


def test_what_is_sent_gets_the_dtypes_of_the_space():
    found = member_of(SPACE, RIGHT, "observation")

    assert {name: np.asarray(found[name]).dtype for name in ("arm", "grid", "gear", "lights", "menu")} == {
        "arm": np.float64,
        "grid": np.uint8,
        "gear": np.int64,
        "lights": np.int8,
        "menu": np.int64,
    }
    assert found["said"] == "go"
    np.testing.assert_array_equal(found["arm"], [0.5, 3.0])


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("arm", [0.5], "shape"),
        ("arm", [[0.5, 1]], "shape"),
        ("arm", [0.5, [1]], "differ in length"),
        ("arm", ["a", "b"], "numbers"),
        ("arm", None, "numbers"),
        ("arm", [np.nan, 0], "not finite"),
        ("arm", [np.inf, 0], "not finite"),
        ("grid", np.full((2, 2, 3), 256), "from 0 to 255"),
        ("grid", np.full((2, 2, 3), 0.5), "whole numbers"),
        ("gear", 0, "from 1 to 3"),
        ("gear", 4, "from 1 to 3"),
        ("gear", 1.5, "whole numbers"),
        ("lights", [0, 2], "from 0 to 1"),
        ("menu", [2, 0], "whole numbers"),
        ("said", 7, "must be a text"),
    ],
    ids=str,
)
def test_what_is_none_of_the_space_is_refused_with_its_path(part, value, said):
    with pytest.raises(ValueError, match=f"observation/{part}.*{said}"):
        member_of(SPACE, {**RIGHT, part: value}, "observation")


def test_a_missing_part_is_named():
    with pytest.raises(ValueError, match="said"):
        member_of(SPACE, {name: value for name, value in RIGHT.items() if name != "said"}, "observation")
