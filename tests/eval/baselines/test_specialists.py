"""Networks of one task learn what a linear policy cannot, keep what they learn apart, and are fixed by their seed."""

import gymnasium as gym
import jax
import numpy as np
import pytest
from flax import nnx
from gymnasium import spaces

from generalist.envs.task import Task
from generalist.eval.baselines import networks, specialists
from generalist.eval.baselines.fitted import fit_linear
from generalist.eval.baselines.specialists import fit_gru, fit_mlp, streams
from generalist.play.rollout import rollout

SQUARE = spaces.Box(-1, 1, (2,), np.float32)
CUE = spaces.Box(-1, 1, (1,), np.float32)
NUMBERS = spaces.Box(-9, 9, (1,), np.float32)
LENGTH = 4


@pytest.fixture(autouse=True)
def few_updates(monkeypatch):
    monkeypatch.setattr(specialists, "UPDATES", 300)


def corners(count: int, seed: int = 0):
    """Points of a square, and whether they lie in its upper right or lower left: what no line divides."""
    x = np.random.default_rng(seed).uniform(-1, 1, (count, 2)).astype(np.float32)
    return x, (x[:, 0] * x[:, 1] > 0).astype(np.int64)


class Recall(gym.Env):
    """A cue of -1 or 1 is shown, then nothing; at the last step the reward is 1 for the action that the cue names."""

    observation_space, action_space = CUE, spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.cue, self.steps = int(self.np_random.integers(2)), 0
        return np.array([2 * self.cue - 1], np.float32), {}

    def step(self, action):
        self.steps += 1
        done = self.steps == LENGTH
        return np.zeros(1, np.float32), float(done and action == self.cue), done, False, {}


RECALL = Task(
    id="test/Recall", family="test", make=Recall, expert=None, horizon=LENGTH, score="return", has_success=False
)


def recalled(episodes: int):
    """Demonstrations of `Recall`: the action that the cue names, at every step."""
    cues = np.random.default_rng(0).integers(2, size=episodes)
    shown = np.zeros((episodes, LENGTH, 1), np.float32)
    shown[:, 0, 0] = 2 * cues - 1
    return shown.reshape(-1, 1), np.repeat(cues, LENGTH), [LENGTH] * episodes


def test_an_mlp_divides_what_no_line_does():
    given = SQUARE, spaces.Discrete(2), *corners(2000)
    x, told = corners(400, seed=1)
    right = {fit: np.mean(fit(*given).act(list(x), list(range(400))) == told) for fit in (fit_linear, fit_mlp)}
    assert right[fit_linear] < 0.65
    assert right[fit_mlp] > 0.93


def test_an_mlp_bends_numbers_and_names_only_classes_that_were_shown():
    acted = spaces.Dict(push=spaces.Box(-3, 3, (1,), np.float32), gear=spaces.Discrete(9, start=5))
    x, sign = corners(2000)
    policy = fit_mlp(SQUARE, acted, x, {"push": 3 * np.abs(x[:, :1]), "gear": np.where(sign, 6, 12)})
    new, sign = corners(200, seed=1)
    actions = policy.act(list(new), list(range(200)))
    assert all(acted.contains(action) for action in actions)
    assert np.abs(np.stack([a["push"] for a in actions])[:, 0] - 3 * np.abs(new[:, 0])).mean() < 0.15
    assert {int(a["gear"]) for a in actions} == {6, 12}
    assert policy.parameters == 3 * 256 + 257 * 256 + 257 * 3


def test_a_gru_remembers_what_an_mlp_cannot_see():
    *steps, lengths = recalled(200)
    given = CUE, spaces.Discrete(2), *steps
    gru, mlp = fit_gru(*given, lengths=lengths), fit_mlp(*given)
    scores = {
        name: np.mean([one.episode_return for one in rollout(RECALL, policy, range(40), slots=7)])
        for name, policy in (("gru", gru), ("mlp", mlp))
    }
    assert scores["gru"] == 1
    assert scores["mlp"] < 0.8


def test_slots_do_not_disturb_each_other_and_forget_at_reset():
    *steps, lengths = recalled(200)
    policy = fit_gru(CUE, spaces.Discrete(2), *steps, lengths=lengths)
    nothing, left, right = (np.array([cue], np.float32) for cue in (0, -1, 1))
    for index in (0, 1, 2):
        policy.reset(index)
    assert policy.act([left, right, right], [0, 1, 2]) == [0, 1, 1]
    assert policy.act([nothing, nothing], [2, 0]) == [1, 0]
    policy.reset(1)
    assert policy.act([left], [1]) == [0]
    assert policy.act([nothing, nothing, nothing], [0, 1, 2]) == [0, 0, 1]
    policy.reset(2)
    policy.reset(9)
    policy.act([nothing, nothing], [9, 2])
    assert policy.states[2].tobytes() == policy.states[9].tobytes(), "nothing is left of the episode before"
    alone, together = (rollout(RECALL, policy, range(9), slots=slots) for slots in (1, 4))
    assert [one.episode_return for one in alone] == [one.episode_return for one in together]


def test_equal_seeds_give_equal_policies():
    x, y = corners(300)
    numbers = [fit_mlp(SQUARE, NUMBERS, x, y[:, None], seed=seed).predict(x).numbers for seed in (0, 0, 1)]
    *steps, lengths = recalled(200)
    grus = [fit_gru(CUE, spaces.Discrete(2), *steps, lengths=lengths, seed=seed) for seed in (0, 0, 1)]
    states = [gru.predict(np.zeros((5, networks.STATE), np.float32), steps[0][:5])[0] for gru in grus]
    for first, again, other in (numbers, states):
        assert first.tobytes() == again.tobytes()
        assert not np.allclose(first, other)


def test_of_wide_observations_principal_components_are_read(monkeypatch):
    """As many as there may be features; what distinguishes the steps is still seen."""
    monkeypatch.setattr(specialists, "MAX_FEATURES", 16)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 40, (300, 12, 12, 3), np.uint8)
    actions = rng.integers(2, size=300)
    images[actions == 1, :6] += 150
    policy = fit_mlp(spaces.Box(0, 255, (12, 12, 3), np.uint8), spaces.Discrete(2), images[:250], actions[:250])
    assert policy.act(list(images[250:]), list(range(50))) == actions[250:].tolist()
    assert policy.features == 432
    assert policy.parameters == 17 * 256 + 257 * 256 + 257 * 2


def test_one_step_and_one_class_suffice():
    acted = spaces.Dict(push=NUMBERS, gear=spaces.Discrete(4))
    one = fit_mlp(SQUARE, acted, np.zeros((1, 2), np.float32), {"push": np.array([[0.5]]), "gear": np.array([2])})
    [action] = one.act([np.zeros(2, np.float32)], [0])
    np.testing.assert_allclose(action["push"], [0.5], atol=0.05)
    assert action["gear"] == 2
    rows, first = streams(np.array([1]), seed=0)
    assert not rows.any()
    assert first.all()


def test_lengths_that_are_not_those_of_the_steps_are_refused():
    x, y = corners(10)
    with pytest.raises(ValueError, match="sum up to the 10 steps, got 9"):
        fit_gru(SQUARE, spaces.Discrete(2), x, y, lengths=[4, 5])


def test_streams_show_whole_episodes_in_order_and_mark_where_they_begin():
    rows, first = streams(np.array([3, 1, 5]), seed=0)
    assert rows.shape == first.shape == (300, specialists.WINDOW, specialists.STREAMS)
    rows, first = rows.reshape(-1, specialists.STREAMS), first.reshape(-1, specialists.STREAMS)
    assert first[0].all()
    begins = first[1:]
    assert (np.isin(rows[1:], [0, 3, 4]) == begins).all()
    assert (rows[1:][~begins] == rows[:-1][~begins] + 1).all()
    assert np.isin(rows[:-1][begins], [2, 3, 8]).all(), "an episode is left at its end alone"
    assert np.ptp(np.bincount(rows[:9000:].ravel(), minlength=9)) < 0.05 * rows.size / 9
    assert len({tuple(column) for column in rows[:40].T}) > 10, "streams differ"


@pytest.mark.parametrize("kind", ["mlp", "gru"])
def test_what_is_played_is_what_was_trained(kind):
    """NumPy's networks are the modules'."""
    rng = np.random.default_rng(0)
    x, state = (rng.normal(size=(4, width)).astype(np.float32) for width in (5, networks.STATE))
    network = {"mlp": networks.Mlp, "gru": networks.Gru}[kind](5, 7, rngs=nnx.Rngs(0))
    parameters = jax.device_get(nnx.to_pure_dict(nnx.state(network)))
    if kind == "mlp":
        np.testing.assert_allclose(networks.said_by_mlp(parameters, x), network(x), atol=1e-5)
        return
    for played, trained in zip(networks.said_by_gru(parameters, state, x), network(state, x), strict=True):
        np.testing.assert_allclose(played, trained, atol=1e-5)
    windowed, outputs = network.window(state, x[None], np.zeros((1, 4), bool))
    np.testing.assert_allclose(windowed, network(state, x)[0], atol=1e-5)
    np.testing.assert_allclose(outputs[0], network(state, x)[1], atol=1e-5)
    _, outputs = network.window(state, np.stack([x, x]), np.array([[False] * 4, [False, True, True, False]]))
    np.testing.assert_allclose(outputs[1, 1:3], network(np.zeros_like(state), x)[1][1:3], atol=1e-5)
    assert not np.allclose(outputs[1, 0], network(np.zeros_like(state), x)[1][0], atol=1e-2)
