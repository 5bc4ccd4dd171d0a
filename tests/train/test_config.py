"""What a training job may not be; other refusals stand beside what they protect."""

from dataclasses import replace

import pytest
from tiny import CONFIG


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
