"""What episodes return from a step on, its statistics, and the target of play."""

import dataclasses
import json

import numpy as np
import pytest
from arrays import columns_of
from token_examples import SPACES, VOCABULARY, stacked, steps

from generalist.tokenizers.layout import RETURN, Layout, LayoutOptions
from generalist.tokenizers.sequence import Kind
from generalist.train.config import PromptConfig, SourceConfig, TrainConfig
from generalist.train.data import TaskSource
from generalist.train.returns import returns_to_go, with_returns
from generalist.train.shown import ShownSteps
from generalist.train.sources import layout_from_json, layout_to_json
from generalist.train.statistics import inherited
from generalist.train.step_tokens import column_tokens
from generalist.train.windows import EpisodeTable

LENGTHS = np.array([4, 1, 5])
REWARDS = np.array([1, -2, 3, 4, 7, 0, 0.5, 0, 0, 2.5], np.float32)
TO_GO = [6, 5, 7, 4, 7, 3, 3, 2.5, 2.5, 2.5]
OPTIONS = LayoutOptions(returns="to_go", past_actions="hidden", target_quantile=0.5)


def columns(name: str):
    observations, actions = steps(name, 10)
    return columns_of(*SPACES[name], stacked(observations), stacked(actions), LENGTHS, rewards=REWARDS)


def layout(name: str, options: LayoutOptions = OPTIONS) -> Layout:
    return Layout.from_spaces(*SPACES[name], vocabulary=VOCABULARY, options=options)


def test_returns_to_go_are_sums_to_the_end_of_the_episode():
    found = columns("discrete")
    assert returns_to_go(found, np.arange(10)).tolist() == TO_GO
    assert returns_to_go(found, np.array([9, 2, 2, 4])).tolist() == [2.5, 7, 7, 7]


def test_statistics_and_target_are_those_of_the_chosen_episodes():
    made = with_returns(layout("discrete"), columns("discrete"), np.array([0, 2]))
    there = np.array(TO_GO)[[0, 1, 2, 3, 5, 6, 7, 8, 9]]
    (mean,), (std,) = made.statistics[RETURN]
    assert (mean, std) == (pytest.approx(there.mean()), pytest.approx(there.std()))
    assert made.target_return == 4.5  # the median of 6 and 3
    best = layout("discrete", dataclasses.replace(OPTIONS, target_quantile=1.0))
    assert with_returns(best, columns("discrete"), np.arange(3)).target_return == 7.0
    hidden = layout("discrete", LayoutOptions())
    assert with_returns(hidden, columns("discrete"), np.arange(3)) is hidden


@pytest.mark.parametrize("value", ["7", True, 1e999, [7.0]])
def test_a_stored_target_that_is_no_number_is_refused(value):
    made = with_returns(layout("discrete"), columns("discrete"), np.arange(3))
    config = TrainConfig(sources=(SourceConfig(task="x", layout=OPTIONS),), vocabulary=VOCABULARY)
    stored = layout_to_json(made) | {"target_return": value}
    with pytest.raises(ValueError, match="target_return of a layout must be a finite number, got"):
        layout_from_json(stored, config, OPTIONS)


@pytest.mark.parametrize("name", ["discrete", "vector", "conv"])
@pytest.mark.parametrize("context", [1, None])
def test_examples_show_the_normalised_return_before_the_observation(name, context):
    found = columns(name)
    options = dataclasses.replace(OPTIONS, context=context, images="conv", image_shape=(8, 16, 3))
    made = with_returns(layout(name, options), found, np.arange(3))
    source = TaskSource(
        index=0,
        layout=made,
        steps=ShownSteps(found),
        table=EpisodeTable(np.cumsum(LENGTHS) - LENGTHS, LENGTHS),
        step_tokens=column_tokens(made, found),
        sequence_length=48,
        prompt=PromptConfig(),
        seed=0,
    )
    assert made.return_field is not None
    for number in range(4):
        window, sequence = source.window(number), source[number]
        expected = made.return_field.encode(np.array(TO_GO)[window.steps][:, None])
        told = [
            np.flatnonzero((sequence.kind == Kind.VECTOR) & _of(sequence, window, at))[0] for at in range(len(expected))
        ]
        rows = {int(at): row for at, row in zip(sequence.vector_at, sequence.vectors, strict=True)}
        assert [rows[at][0] for at in told] == expected[:, 0].tolist()
        assert (sequence.kind[np.array(told) + 1] != Kind.TEXT).all()


def _of(sequence, window, number: int) -> np.ndarray:
    return (sequence.segment == window.segments[number]) & (sequence.timestep == window.timesteps[number])


def test_a_layout_says_whether_it_wants_returns():
    one = {"timesteps": [0], "segments": [1], "source": 0}
    with pytest.raises(ValueError, match='returns is "to_go", and none are given'):
        layout("discrete").encode(np.zeros(1, int), None, **one)
    with pytest.raises(ValueError, match='returns is "hidden", and some are given'):
        layout("discrete", LayoutOptions()).encode(np.zeros(1, int), None, returns=np.zeros(1), **one)
    with pytest.raises(ValueError, match="return"):
        Layout.from_spaces(*SPACES["discrete"], statistics={RETURN: ([0.0], [1.0])})


def test_a_run_keeps_the_target_and_a_run_without_has_the_same_json_as_ever():
    config = TrainConfig(sources=(SourceConfig(task="x", layout=OPTIONS),), vocabulary=VOCABULARY)
    made = with_returns(layout("discrete"), columns("discrete"), np.arange(3))
    again = layout_from_json(json.loads(json.dumps(layout_to_json(made))), config, OPTIONS)
    assert (again.target_return, again.statistics) == (made.target_return, made.statistics)
    assert "target_return" not in layout_to_json(layout("discrete", LayoutOptions()))


def test_a_task_that_was_trained_keeps_its_own_target():
    before = with_returns(layout("discrete"), columns("discrete"), np.array([0]))
    after = with_returns(layout("discrete"), columns("discrete"), np.array([2]))
    kept = inherited(after, "x", None, {"x": before})
    assert (kept.target_return, kept.statistics[RETURN]) == (before.target_return, before.statistics[RETURN])
    assert inherited(after, "y", None, {"x": before}).target_return == after.target_return
