"""Sampling of subsequences and prompts: inside episodes, contiguous, prompts of other episodes, evenly spread."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generalist.train.config import PromptConfig
from generalist.train.windows import EpisodeTable, long_window, short_windows

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=6)


def table(lengths: list[int]) -> EpisodeTable:
    """Episodes one after the other, with a gap of steps that belong to none before each."""
    lengths = np.asarray(lengths)
    return EpisodeTable(np.cumsum(lengths + 2) - lengths, lengths)


def episode_of(episodes: EpisodeTable, step: int) -> int:
    inside = (episodes.starts <= step) & (step < episodes.starts + episodes.lengths)
    return int(np.flatnonzero(inside)[0])


def runs(steps: np.ndarray) -> list[np.ndarray]:
    """Stretches of consecutive steps."""
    return np.split(steps, np.flatnonzero(np.diff(steps) != 1) + 1)


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_short_windows_are_contiguous_and_inside_one_episode_each(lengths, context, count, seed):
    episodes = table(lengths)
    window = short_windows(episodes, np.random.default_rng(seed), context=context, count=count)
    assert sorted(set(window.segments.tolist())) == list(range(1, count + 1))
    for segment in range(1, count + 1):
        steps = window.steps[window.segments == segment]
        episode = episode_of(episodes, steps[0])
        assert steps.tolist() == list(range(steps[0], steps[0] + len(steps)))
        assert episode == episode_of(episodes, steps[-1])
        assert len(steps) == min(context, lengths[episode])
        assert window.timesteps[window.segments == segment].tolist() == list(range(len(steps)))


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 20), st.booleans(), st.sampled_from([0, 0.4, 0.9, 1]), st.integers(0, 2**32 - 1))
def test_a_long_window_is_a_stretch_after_a_prompt_of_another_episode_or_none(lengths, room, prompted, share, seed):
    episodes = table(lengths)
    prompt = PromptConfig(fraction=float(prompted), share=share)
    prompt_room = min(int(room * share), room - 1)
    window = long_window(episodes, np.random.default_rng(seed), room=room, prompt=prompt)
    assert 1 <= len(window.steps) <= room
    assert window.timesteps.tolist() == list(range(len(window.steps)))
    assert (window.segments == 1).all()
    stretches = runs(window.steps)
    assert len(stretches) == 1 + (prompted and len(lengths) > 1 and prompt_room > 0)
    owners = [episode_of(episodes, stretch[0]) for stretch in stretches]
    assert owners == [episode_of(episodes, stretch[-1]) for stretch in stretches]
    left = room
    if len(stretches) == 2:
        assert owners[0] != owners[1]
        assert len(stretches[0]) == min(prompt_room, lengths[owners[0]])
        left -= len(stretches[0])
    assert len(stretches[-1]) == min(left, lengths[owners[-1]])


def drawn(episodes: EpisodeTable, prompt: PromptConfig, count: int = 4000, room: int = 8) -> list[list[np.ndarray]]:
    rng = np.random.default_rng(0)
    return [runs(long_window(episodes, rng, room=room, prompt=prompt).steps) for _ in range(count)]


def test_a_quarter_has_a_prompt_and_half_of_the_prompts_are_ends():
    """Prompts from anywhere are the end too, once in (length - prompt + 1) times."""
    windows = drawn(table([20, 20, 20]), PromptConfig())
    prompts = [window[0] for window in windows if len(window) == 2]
    assert len(prompts) / len(windows) == pytest.approx(0.25, abs=0.02)
    episodes = table([20, 20, 20])
    ends = [step[-1] + 1 in episodes.starts + episodes.lengths for step in prompts]
    assert np.mean(ends) == pytest.approx(0.5 + 0.5 / 17, abs=0.05)
    owners = np.bincount([episode_of(episodes, step[0]) for step in prompts])
    np.testing.assert_allclose(owners / len(prompts), 1 / 3, atol=0.05)


def test_prompts_from_anywhere_start_anywhere():
    windows = drawn(table([10, 10]), PromptConfig(fraction=1.0, end=0.0))
    starts = [int(prompt[0] - 2) % 12 for prompt, _ in windows]
    np.testing.assert_allclose(np.bincount(starts, minlength=7) / len(starts), 1 / 7, atol=0.03)


def test_one_episode_alone_has_no_prompt():
    assert all(len(window) == 1 for window in drawn(table([20]), PromptConfig(fraction=1.0), 50))


def test_windows_cover_the_steps_evenly():
    """Long windows start anywhere in their episode; every timestep starts a short window equally often."""
    episodes = table([10, 30])
    starts = [window[0][0] - 12 - 2 for window in drawn(episodes, PromptConfig(fraction=0)) if window[0][0] >= 14]
    np.testing.assert_allclose(np.bincount(starts, minlength=23) / len(starts), 1 / 23, atol=0.015)
    assert len(starts) / 4000 == pytest.approx(0.75, abs=0.03)
    window = short_windows(episodes, np.random.default_rng(0), context=1, count=40_000)
    counts = np.bincount(window.steps, minlength=44) / 40_000
    assert not counts[[0, 1, 12, 13]].any()
    np.testing.assert_allclose(np.delete(counts, [0, 1, 12, 13]), 1 / 40, atol=0.005)


@pytest.mark.parametrize("lengths", [[], [3, 0]])
def test_empty_tables_are_refused(lengths):
    with pytest.raises(ValueError, match="at least one"):
        EpisodeTable(np.zeros(len(lengths), int), np.asarray(lengths, int))
