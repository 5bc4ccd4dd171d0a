"""A layout in a notebook: every leaf has its row, with as many tokens as it takes."""

import gymnasium as gym
import numpy as np
import pytest
from page_words import Words
from token_examples import OPTIONS, layout

from generalist.tokenizers.layout import Layout


@pytest.mark.parametrize("name", list(OPTIONS))
def test_every_leaf_has_its_row(name):
    found = layout(name)
    words = Words(found._repr_html_()).text
    for part, start, stop in (*found.observation_spans, *found.action_spans):
        assert part.leaf.path in words
        assert f"{part.leaf.path} {part.leaf.space} {stop - start} " in words
    assert all(leaf.path in words for leaf in found.text_leaves)
    assert f"at most {found.max_tokens} tokens" in words
    assert f"past_actions='{found.options.past_actions}'" in words


def test_what_a_key_says_is_escaped():
    space = gym.spaces.Dict({"<script>": gym.spaces.Box(-1, 1, (2,), np.float32)})
    shown = Layout.from_spaces(space, gym.spaces.Discrete(2))._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
