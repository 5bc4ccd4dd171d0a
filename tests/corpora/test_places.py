import numpy as np

from generalist.corpora.places import Place, regions


def test_neighbours_are_in_one_region():
    rng = np.random.default_rng(0)
    towns = rng.uniform(0, 100, (300, 2))
    places = [Place("32632", x + dx, y + dy) for x, y in towns for dx, dy in ((0, 0), (0.01, 0), (0, 0.01))]
    found = np.asarray(regions(places)).reshape(300, 3)
    assert (found == found[:, :1]).all(axis=1).mean() > 0.98  # but for those that a border divides
    assert len(set(found.ravel())) >= 100


def test_references_are_apart_and_what_has_no_place_is_alone():
    found = regions([Place("1", 0, 0), None, Place("2", 0, 0), Place("1", 0, 0), None])
    assert found == (0, 1, 2, 0, 3)


def test_all_in_one_point_are_one_region():
    assert regions([Place("", 7, 7)] * 5) == (0,) * 5
    assert regions([]) == ()
