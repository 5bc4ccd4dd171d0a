"""Finished parts of a study on disk."""

import pytest

from generalist.studies.kept import Kept


def test_a_part_comes_back_when_it_was_made_with_the_same(tmp_path):
    made_with = {"seeds": (0, 1), "run": "digest"}
    Kept(tmp_path).save("metaworld/door", made_with, {"success": [1.0, 0.0]})
    assert Kept(tmp_path).load("metaworld/door", made_with) == {"success": [1.0, 0.0]}


@pytest.mark.parametrize("other", [{"seeds": (0,), "run": "digest"}, {"seeds": (0, 1), "run": "another"}, None])
def test_a_part_made_with_something_else_does_not_count(tmp_path, other):
    Kept(tmp_path).save("part", {"seeds": (0, 1), "run": "digest"}, 1)
    assert Kept(tmp_path).load("part", other) is None
    assert Kept(tmp_path).load("another", {"seeds": (0, 1), "run": "digest"}) is None


def test_a_damaged_part_is_named_with_what_to_do(tmp_path):
    Kept(tmp_path).save("part", {}, [1, 2])
    path = tmp_path / "part.json"
    path.write_text(path.read_text().replace("1", "7", 1))
    with pytest.raises(ValueError, match=r"part\.json.*delete this file"):
        Kept(tmp_path).load("part", {})
