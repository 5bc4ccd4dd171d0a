"""Sizes of a timestep against those that are encoded, where actions have no place and texts are not always shown."""

import numpy as np
import pytest
from gymnasium import spaces

from generalist.tokenizers.layout import Layout, LayoutOptions

SPACE = spaces.Dict(a=spaces.Text(4), b=spaces.Text(6), v=spaces.Box(-1, 1, (3,)))
ACTION = spaces.Dict(d=spaces.Discrete(3), g=spaces.Box(-1, 1, (4,)))


def made(**options) -> Layout:
    return Layout.from_spaces(SPACE, ACTION, options=LayoutOptions(past_actions="hidden", **options))


def lengths(layout: Layout) -> list[int]:
    """Tokens of a timestep with the longest texts, and of one that shows none."""
    k = layout.options.chunk
    given = {"a": ["abcd"] * 2, "b": ["abcdef"] * 2, "v": np.zeros((2, 3))}
    done = {"d": np.zeros(2 * k, int), "g": np.zeros((2 * k, 4))}
    sequence = layout.encode(given, done, timesteps=[0, 1], segments=[1, 1], source=0, shown=np.array([True, False]))
    return np.bincount(sequence.timestep, minlength=2).tolist()


@pytest.mark.parametrize("chunk", [1, 3])
@pytest.mark.parametrize("separator", [True, False])
def test_direct_actions_take_no_place(chunk, separator):
    direct, written = (made(actions=how, chunk=chunk, separator=separator) for how in ("direct", "sequential"))
    assert direct.direct
    assert not written.direct
    assert direct.tokens_of_action == written.tokens_of_action == 5
    assert direct.action_tokens == written.action_tokens == 5 * chunk
    assert [(one.written_tokens, one.answer_count) for one in (direct, written)] == [(0, 5 * chunk), (5 * chunk, 0)]
    assert [one.target_count for one in (direct, written)] == [10, 10 + 5 * chunk]
    assert direct.max_tokens == 11 + 3 + separator
    assert written.max_tokens == direct.max_tokens + 5 * chunk - 1
    assert lengths(direct) == [direct.max_tokens, direct.body_tokens]
    assert lengths(written) == [written.max_tokens, written.body_tokens]


def test_what_is_read_at_once_is_less_without_texts():
    layout = made(actions="direct")
    assert (layout.acting_tokens, layout.acting_tokens_without_text) == (16, 4)
    assert layout.least_window == 16
    plain = Layout.from_spaces(SPACE["v"], ACTION)
    assert plain.acting_tokens == plain.acting_tokens_without_text == 8  # the last action and a separator beside three
