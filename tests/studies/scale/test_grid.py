"""Runs of a study: sizes by the rule, tokens to updates, schedules of their own length, and what is refused."""

from dataclasses import replace

import pytest

from generalist.configs.quickstart import config
from generalist.studies.scale.grid import Grid, parse_tokens, points_of, sized, tokens_text

TRAIN = config().train
AGENT = TRAIN.agent


def test_a_size_multiplies_width_heads_feedforward_and_the_vector_embedder():
    half, wide = sized(AGENT, "0.5"), sized(AGENT, "96x3")
    assert (half.width, half.heads, half.head_size, half.feedforward, half.vector_hidden) == (32, 2, 16, 256, 64)
    assert (wide.width, wide.heads, wide.head_size, wide.feedforward, wide.layers) == (96, 6, 16, 768, 3)
    assert half.layers == AGENT.layers
    assert sized(AGENT, "1") == AGENT


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ("0.3", r"size 0.3 makes 1.2 heads of this config's 4; .* a multiple of 0.25 \(widths .* multiples of 16\)"),
        ("100x2", r"size 100x2 makes 6.25 heads"),
        ("big", "a size is a multiplier, as 0.5, or WIDTHxLAYERS, as 96x3; got 'big'"),
        ("64x", "got '64x'"),
        ("-1", "size -1 must be positive"),
        ("64x0", "size 64x0 must be positive"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(size, said):
    with pytest.raises(ValueError, match=said):
        sized(AGENT, size)


def test_a_feedforward_must_stay_even():
    with pytest.raises(ValueError, match="makes feedforward 33 of 66; it must be an even number"):
        sized(replace(AGENT, feedforward=66), "0.5")


def test_tokens_become_updates_and_every_run_decays_over_its_own():
    points, beyond = points_of(Grid(tokens=(1_000_000, 200_000, 4_000_000)), TRAIN, tokens_per_update=2000.0)
    assert len(points) == 12
    assert [point.tokens for point in points] == sorted(point.tokens for point in points)
    for point in points:
        job = point.config
        assert job.steps == point.tokens / 2000 == job.evaluate_every
        assert job.optimizer.decay_steps == 0
        assert job.optimizer.warmup_steps == min(120, job.steps // 10)
        assert job.optimizer.learning_rate == pytest.approx(3e-3 * 64 / job.agent.width)
        assert job.held_out_batches == 64
    assert len({point.name for point in points}) == 12
    assert (beyond.config.agent.width, beyond.config.agent.layers) == (192, 2)  # half as wide again as the largest
    assert beyond.tokens == 8_000_000


def test_tokens_are_shares_of_the_configs_own_by_default():
    points, _ = points_of(Grid(), TRAIN, tokens_per_update=2000.0)
    assert sorted({point.config.steps for point in points}) == [375, 750, 1500, 3000]


def test_seeds_follow_the_configs():
    points, _ = points_of(Grid(seeds=2), replace(TRAIN, seed=5), tokens_per_update=2000.0)
    assert len(points) == 32
    assert {point.config.seed for point in points} == {5, 6}


def test_the_rate_and_the_run_outside_are_as_asked():
    points, beyond = points_of(Grid(rate_power=0.0, beyond=("3", "16M")), TRAIN, tokens_per_update=2000.0)
    assert {point.config.optimizer.learning_rate for point in points} == {3e-3}
    assert (beyond.config.agent.width, beyond.tokens) == (192, 16_000_000)


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ({"sizes": ("1", "2"), "tokens": (1000, 2000)}, "4 runs cannot determine the law's 5 parameters"),
        ({"sizes": ("1", "2"), "tokens": (1000, 2000, 4000)}, "2 different sizes"),
        ({"sizes": ("1", "2", "64x2")}, "--sizes: 1 and 64x2 are the same; give each once"),
        ({"tokens": (100_000, 200_000, 200_010)}, "--tokens: 200k and 200k are the same"),
        ({"tokens": (1_000_000, 100_000_000, 100_400_000)}, "--tokens: 100M and 100M are the same"),
        ({"sizes": ("1", "2", "1/0")}, "a size is a multiplier"),
        ({"beyond": ("1", "400k"), "tokens": (100_000, 200_000, 400_000)}, "--beyond 1 400k lies within the grid"),
    ],
)
def test_grids_that_cannot_be_fitted_are_refused(grid, said):
    with pytest.raises(ValueError, match=said):
        points_of(Grid(**grid), TRAIN, tokens_per_update=2000.0)


def test_nothing_held_out_is_refused():
    with pytest.raises(ValueError, match="held_out is 0; give --train"):
        points_of(Grid(), replace(TRAIN, held_out=0.0), tokens_per_update=2000.0)


def test_the_run_outside_needs_a_size_and_tokens():
    with pytest.raises(ValueError, match="--beyond takes a size and tokens"):
        Grid(beyond=("3",))


def test_a_power_is_a_number():
    with pytest.raises(ValueError, match="--rate-power must be a finite number, got nan"):
        Grid(rate_power=float("nan"))


def test_the_run_outside_may_be_as_wide_and_read_more():
    tokens = (100_000, 200_000, 400_000)
    _, beyond = points_of(Grid(beyond=("2", "500k"), tokens=tokens), TRAIN, tokens_per_update=2000.0)
    assert beyond.tokens == 500_000


def test_numbers_of_tokens():
    assert [parse_tokens(text) for text in ("500000", "5e5", "500k", "0.5M", "2G")] == [500_000] * 4 + [2 * 10**9]
    assert [tokens_text(count) for count in (999, 453_125, 3_625_000, 2e9, 1e6)] == [
        "999",
        "453k",
        "3.62M",
        "2G",
        "1M",
    ]
    for wrong in ("many", "M", "0", "-3k"):
        with pytest.raises(ValueError, match="token"):
            parse_tokens(wrong)
