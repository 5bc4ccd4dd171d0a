"""Atari: the list of games, the preprocessing against ALE's own, seeds and limits, scores of the literature."""

import gymnasium as gym
import numpy as np
import pytest

from generalist.envs.families import atari
from generalist.envs.families.atari_scores import ATARI_57, published

ale_py = pytest.importorskip("ale_py")
games = pytest.mark.parametrize("game", ["Pong", "AirRaid", "Carnival", "Berzerk", "Skiing"])


def play(env, seed: int, steps: int, actions: int = 0) -> list:
    observation, _ = env.reset(seed=seed)
    rng, rows = np.random.default_rng(actions), [(observation, 0.0, False, False)]
    while len(rows) <= steps and not (rows[-1][2] or rows[-1][3]):
        observation, reward, terminated, truncated, _ = env.step(rng.integers(env.action_space.n))
        rows.append((observation, reward, terminated, truncated))
    return rows


def same(one: list, other: list) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a[0], b[0]) and a[1:] == b[1:] for a, b in zip(one, other, strict=True)
    )


def test_the_games_are_those_of_ale_py():
    gym.register_envs(ale_py)
    registered = {id.removeprefix("ALE/").removesuffix("-v5") for id in gym.registry if id.startswith("ALE/")}
    assert set(atari.GAMES) == registered
    assert len(atari.GAMES) == len(registered) == 104


@games
def test_the_same_seed_is_the_same_episode_with_its_sticky_actions(game):
    env, used = atari.make(game), atari.make(game)
    play(used, 9, 30, actions=1)
    first = play(env, 5, 60)
    assert same(first, play(used, 5, 60))
    assert same(first, play(env, 5, 60))
    assert not all(same(first, play(env, seed, 60)) for seed in range(6, 10))
    assert all(env.observation_space.contains(row[0]) for row in first)


def test_the_screen_is_what_the_emulators_own_preprocessing_shows():
    """To a grey level: rounding of exact ties. Without sticky actions, whose random numbers differ."""
    vector = ale_py.AtariVectorEnv(
        game="breakout", num_envs=1, noop_max=0, stack_num=1, use_fire_reset=False, full_action_space=True,
        repeat_action_probability=0.0, reward_clipping=False,
    )  # fmt: skip
    env = atari.make("Breakout")
    env.unwrapped.ale.setFloat("repeat_action_probability", 0.0)
    theirs, ours = vector.reset(seed=1)[0], env.reset(seed=1)[0]
    rng = np.random.default_rng(0)
    for _ in range(60):
        action = int(rng.integers(18))
        theirs, reward, *_ = vector.step(np.array([action]))
        ours, gain, *_ = env.step(action)
        assert np.abs(theirs.reshape(84, 84).astype(int) - ours[..., 0]).max() <= 1
        assert reward[0] == gain


@pytest.mark.parametrize("size", [160, 210, 250, 84])
def test_area_weights_are_shares_of_pixels(size):
    screen = np.random.default_rng(size).integers(0, 256, size)
    edges = np.linspace(0, size, 85)
    total = np.concatenate([[0], np.cumsum(screen)])
    expected = np.diff(np.interp(edges, np.arange(size + 1), total)) * 84
    found = sum(weight * screen[pixel] for pixel, weight in atari.area_weights(size, 84))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_step_shows_the_maximum_of_its_last_two_frames_and_of_no_other():
    env = atari.make("Asteroids")  # draws every other thing in every other frame
    env.reset(seed=3)
    ale, others = env.unwrapped.ale, 0
    for _ in range(10):
        before, screens = ale.cloneState(include_rng=True), []
        for _ in range(atari.SKIP):
            ale.act(ale.getLegalActionSet()[3])
            screens.append(ale.getScreenGrayscale().reshape(210, 160))
        ale.restoreState(before)
        shown = env.step(3)[0]
        assert np.array_equal(shown, env._shrunk(np.maximum(screens[-1], screens[-2])))
        others += not np.array_equal(shown, env._shrunk(np.maximum(screens[-1], screens[-3])))
        others += not np.array_equal(shown, env._shrunk(screens[-1]))
    assert others > 15


def test_an_episode_is_truncated_at_the_horizon_and_not_before():
    assert atari.make("Adventure")._horizon == atari.HORIZON == 108_000 // 4
    env = atari.GreyScreen(atari.make("Adventure").env, horizon=7)
    for _ in range(2):
        rows = play(env, 1, 20)
        assert [row[3] for row in rows[1:]] == [False] * 6 + [True]
        assert not any(row[2] for row in rows)


def test_game_over_terminates_and_a_lost_life_does_not():
    env = atari.make("Berzerk")
    env.reset(seed=0)
    rng, lives = np.random.default_rng(0), []
    while True:
        *_, terminated, truncated, info = env.step(rng.integers(18))
        lives.append(info["lives"])
        if terminated:
            break
    assert not truncated
    assert len(set(lives)) > 1


def test_published_scores_are_of_the_57_games():
    assert len(ATARI_57) == 57
    assert set(ATARI_57) <= set(atari.GAMES)
    random, human = published("Alien")
    assert (random.policy, random.mean, human.policy, human.mean) == ("random", 227.8, "human", 7127.7)
    assert published("Adventure") == ()


def test_a_game_makes_no_noise(capfd):
    atari.make("Pong").reset(seed=0)
    assert "".join(capfd.readouterr()) == ""
