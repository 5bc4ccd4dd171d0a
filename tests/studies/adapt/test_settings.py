"""What a study of adaptation is asked for."""

import pytest

from generalist.studies.adapt.settings import KEPT, SCRATCH, Cell, Settings
from generalist.train.adaptation import AdaptConfig
from generalist.train.config import TrainableConfig

SETTINGS = Settings(
    numbers=(5, 1),
    ways=("lora",),
    steps=(20, 10),
    adaptation=AdaptConfig(trainable=TrainableConfig(rank=3), timesteps=64),
)


def test_every_way_and_scratch_are_tried_with_every_budget_at_every_number():
    cells = list(SETTINGS.sweep())
    assert len(cells) == len({cell.name for cell in cells}) == 2 * 2 * 2
    assert {cell.way for cell in cells} == {"lora", SCRATCH}
    assert {cell.seed for cell in cells} == {0}
    assert SETTINGS.numbers == (1, 5)


def test_a_cell_says_how_it_is_adapted():
    found = SETTINGS.of(Cell(way="lora", number=5, seed=2, steps=10))
    assert (found.episodes, found.episodes_seed, found.seed, found.steps) == (5, 2, 2, 10)
    assert (found.trainable, found.timesteps) == (TrainableConfig(how="lora", rank=3), 64)
    assert not found.from_scratch
    scratch = SETTINGS.of(Cell(way=SCRATCH, number=5, seed=2, steps=10))
    assert (scratch.from_scratch, scratch.trainable.how, scratch.timesteps) == (True, "full", 64)
    kept = SETTINGS.of(Cell(way=KEPT, number=5, seed=0, steps=10))
    assert (kept.keep, kept.trainable.how) == (0.5, "full")
    assert not found.keep


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ways": ("ful",)}, r"ways: there is no 'ful': .*full"),
        ({"ways": ()}, r"at least one way"),
        ({"plain": ("linaer",)}, r"plain: there is no 'linaer': .*linear"),
        ({"ways": ("full", "lora", "full")}, r"ways: name each once, got full lora full"),
        ({"plain": ("mlp", "mlp")}, r"plain: name each once, got mlp mlp"),
        ({"numbers": (5, 5)}, r"numbers must be different positive numbers"),
        ({"numbers": ()}, r"numbers must be different positive numbers"),
        ({"steps": (0, 5)}, r"steps must be different positive numbers"),
        ({"episodes": 0}, r"episodes must be at least 1"),
        ({"keep": 1.0}, r"keep is a share"),
        ({"keep": 0.0}, r"keep is a share .* other ways without it"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Settings(**change)
