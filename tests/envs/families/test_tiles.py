import gymnasium as gym
import minigrid  # noqa: F401
import numpy as np
import pytest
from minigrid.wrappers import RGBImgPartialObsWrapper

from generalist.envs.families.babyai import TILE, make
from generalist.envs.families.tiles import TileTable


@pytest.mark.parametrize("level", ["GoToLocalS5N2", "UnlockPickup", "PickupDist"])
def test_the_same_pixels_as_minigrids_own_wrapper(level):
    """Random play beside MiniGrid's renderer: doors, keys, boxes, carried objects, walls out of sight."""
    ours = make(level)
    theirs = RGBImgPartialObsWrapper(gym.make(f"BabyAI-{level}-v0", disable_env_checker=True), tile_size=TILE)
    rng = np.random.default_rng(0)
    for seed in range(4):
        mine, _ = ours.reset(seed=seed)
        reference, _ = theirs.reset(seed=seed)
        for _ in range(25):
            assert np.array_equal(mine["image"], reference["image"])
            assert mine["mission"] == reference["mission"]
            action = rng.choice([0, 1, 2, 2, 2, 3, 4, 5])
            mine, *_, over, late, _ = ours.step(action)
            reference, *_ = theirs.step(action)
            if over or late:
                break


def test_pictures_have_the_tile_size_asked_for_and_are_not_shared():
    table = TileTable(4)
    view = np.ones((7, 7, 3), np.uint8) * np.array([1, 0, 0], np.uint8)
    picture = table.picture(view)
    assert picture.shape == (28, 28, 3)
    assert picture.dtype == np.uint8
    picture[:] = 0
    assert table.picture(view).any()
