"""What a training job may not be; other refusals stand beside what they protect."""

from dataclasses import replace

import pytest
from tiny import CONFIG

from generalist.train.config import SourceConfig


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"held_out": -0.1}, r"held_out must lie in \[0, 0.5\], got -0.1; 0 trains on every episode"),
        ({"held_out": 0.6}, "got 0.6"),
        ({"evaluate_every": 0}, "evaluate_every must be positive"),
        ({"held_out_batches": 0}, "held_out_batches must be positive"),
    ],
)
def test_settings_of_what_is_held_out_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"episodes": 3, "episodes_seed": -1}, "episodes_seed of source Taxi-v3 must be 0 or more, got -1"),
        ({"episodes_seed": 2}, "episodes_seed of source Taxi-v3 must be together with episodes, .* got 2"),
    ],
)
def test_a_draw_of_episodes_is_of_a_number_of_them(changes, message):
    with pytest.raises(ValueError, match=message):
        SourceConfig(task="Taxi-v3", **changes)
