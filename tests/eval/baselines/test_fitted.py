"""The fitted baselines learn what they can and nothing else."""

import numpy as np
import pytest
from gymnasium import spaces

from generalist.eval.baselines import fitted
from generalist.eval.baselines.constant import RandomPolicy
from generalist.eval.baselines.fitted import fit_linear, fit_nearest_neighbour
from generalist.play.rollout import rollout

FITS = [fit_linear, fit_nearest_neighbour]


@pytest.mark.parametrize("fit", FITS)
def test_a_linear_rule_is_learned_for_numbers_and_classes_at_once(fit):
    observed = spaces.Box(-np.inf, np.inf, (3,), np.float64)
    acted = spaces.Dict(
        push=spaces.Box(-1, 1, (2,), np.float32), gear=spaces.Discrete(3, start=5), lamp=spaces.MultiBinary(1)
    )
    x = np.random.default_rng(0).normal(size=(4000, 3)) * [1, 10, 0.1]

    def rule(x):
        push = np.clip(np.stack([0.3 * x[:, 0], 0.02 * x[:, 1]], 1), -1, 1).astype(np.float32)
        return {"push": push, "gear": 5 + np.digitize(x[:, 0], [-0.5, 0.5]), "lamp": (x[:, 1:2] > 0).astype(np.int8)}

    policy = fit(observed, acted, x, rule(x))
    new = np.random.default_rng(1).normal(size=(50, 3)) * [1, 10, 0.1]
    actions = policy.act(list(new), list(range(50)))
    assert all(acted.contains(action) for action in actions)
    told = rule(new)
    assert np.abs(np.stack([a["push"] for a in actions]) - told["push"]).mean() < 0.05
    assert np.mean([a["gear"] for a in actions] == told["gear"]) > 0.85
    assert np.mean(np.stack([a["lamp"] for a in actions]) == told["lamp"]) > 0.9


@pytest.mark.parametrize("fit", FITS)
def test_images_and_texts(fit):
    rng = np.random.default_rng(0)
    observed = spaces.Dict(image=spaces.Box(0, 255, (16, 16, 3), np.uint8), mission=spaces.Text(9))
    tiles = rng.integers(0, 255, (4, 4, 4, 3), np.uint8)
    grid = rng.integers(0, 4, (600, 4, 4))
    grid[:, 2:] = 0
    images = tiles[grid].transpose(0, 1, 3, 2, 4, 5).reshape(600, 16, 16, 3)
    missions = np.array(rng.choice(["red", "blue"], 600), object)
    actions = np.where(missions == "red", 4, grid[:, 0, 1])
    shown = {"image": images[:500], "mission": missions[:500]}
    policy = fit(observed, spaces.Discrete(5), shown, actions[:500])
    new = [{"image": images[i], "mission": missions[i]} for i in range(500, 600)]
    assert np.mean(policy.act(new, list(range(100))) == actions[500:]) > (0.95 if fit is fit_linear else 0.6)


def test_a_neighbour_is_exactly_the_nearest_narrow_and_wide():
    rng = np.random.default_rng(0)
    for width in (3, 60, 600):
        x = rng.normal(size=(300, width))
        actions = np.arange(300)
        policy = fit_nearest_neighbour(
            spaces.Box(-np.inf, np.inf, (width,), np.float64), spaces.Discrete(300), x, actions
        )
        new = rng.normal(size=(20, width))
        scaled, scaled_new = (x - x.mean(0)) / x.std(0), (new - x.mean(0)) / x.std(0)
        expected = np.linalg.norm(scaled_new[:, None] - scaled[None], axis=-1).argmin(axis=1)
        assert policy.act(list(new), list(range(20))) == list(expected)


def test_an_image_that_was_shown_is_its_own_neighbour():
    """Nothing lies between them, and the images are long: what rounding does to a bound must not hide it."""
    rng = np.random.default_rng(0)
    tiles = rng.integers(0, 2, (40, 8, 8, 3), np.uint8) * 255
    grids = tiles[rng.integers(0, 40, (2_000, 7, 7))]  # [N, 7, 7, 8, 8, 3]
    images = grids.transpose(0, 1, 3, 2, 4, 5).reshape(2_000, 56, 56, 3)
    space = spaces.Box(0, 255, (56, 56, 3), np.uint8)
    policy = fit_nearest_neighbour(space, spaces.Discrete(2_000), images, np.arange(2_000))
    asked = list(range(0, 2_000, 20))
    assert policy.act([images[index] for index in asked], asked) == asked


def test_repeated_features_count_as_often_as_they_are_there():
    x = np.array([[0, 0, 0, 3], [1, 1, 1, 0]], np.float64)
    wide = spaces.Box(-np.inf, np.inf, (4,), np.float64)
    raw = np.repeat(x, 1, axis=0)
    distinct, repeats = fitted._distinct_features(raw.astype(np.float32))
    assert distinct.tolist() == [0, 3]
    assert repeats.tolist() == [3, 1]
    policy = fit_nearest_neighbour(wide, spaces.Discrete(2), x, np.array([0, 1]))
    # Standardised, the first three are one each from their middle and the last as well: the three outvote it.
    assert policy.act([np.array([1.0, 1, 1, 3])], [0]) == [1]


def test_one_class_only_and_one_step_only():
    space = spaces.Box(-1, 1, (2,), np.float32)
    for fit in FITS:
        policy = fit(space, spaces.Discrete(4), np.zeros((3, 2), np.float32), np.array([2, 2, 2]))
        assert policy.act([np.ones(2, np.float32)], [0]) == [2]
        policy = fit(space, spaces.Box(-1, 1, (1,), np.float32), np.zeros((1, 2)), np.array([[0.5]], np.float32))
        np.testing.assert_allclose(policy.act([np.ones(2, np.float32)], [0]), [[0.5]])


def test_a_fit_uses_at_most_so_many_steps_and_draws_them_by_its_seed(monkeypatch):
    space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    x = np.random.default_rng(0).normal(size=(500, 2))
    arguments = space, spaces.Discrete(500), x, np.arange(500)
    monkeypatch.setattr(fitted, "FIT_STEPS", 100)
    policy = fit_nearest_neighbour(*arguments)
    assert policy.steps == 100
    found = {int(policy.act([row], [0])[0]) for row in x}
    assert len(found) == 100
    assert found != {int(fit_nearest_neighbour(*arguments, seed=1).act([row], [0])[0]) for row in x}
    monkeypatch.setattr(fitted, "FIT_VALUES", 60)
    assert fit_nearest_neighbour(*arguments).steps == 30


@pytest.mark.parametrize("fit", FITS)
def test_a_fitted_policy_plays(corridor, fit):
    seen, acted = [], []
    rollout(corridor, RandomPolicy(), range(10), slots=4, on_step=lambda _, o, a, __: (seen.append(o), acted.append(1)))
    env = corridor.make()
    policy = fit(env.observation_space, env.action_space, np.array(seen), np.array(acted))
    assert all(result.success for result in rollout(corridor, policy, range(5), slots=3))


def test_numbers_of_nearly_equal_images_are_fitted_exactly():
    """Frames that differ in brightness alone: in float32 the Gram matrix would lose the ridge, with a warning."""
    rng = np.random.default_rng(0)
    brightness = rng.uniform(0.2, 0.9, (1200, 1, 1, 1))
    images = (rng.integers(100, 250, (64, 64, 3)) * brightness + rng.integers(0, 3, (1200, 64, 64, 3))).astype(np.uint8)
    actions = rng.normal(size=(1200, 1)).astype(np.float32)
    policy = fit_linear(spaces.Box(0, 255, (64, 64, 3), np.uint8), spaces.Box(-9, 9, (1,)), images, actions)
    found = np.stack(policy.act(list(images), list(range(1200))))
    x = images.reshape(1200, -1).astype(np.float32) / 255
    x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float64)
    gram = x @ x.T
    exact = gram @ np.linalg.solve(gram + np.eye(1200), actions - actions.mean()) + actions.mean()
    assert np.abs(found - exact).max() < 0.01


def test_whole_episodes_are_drawn_up_to_a_number_of_steps():
    lengths = np.array([4, 3, 9, 2, 5])
    for most in (1, 6, 10, 23):
        chosen = fitted.whole_episodes(lengths, most, seed=0)
        assert (np.diff(chosen) > 0).all()
        assert lengths[chosen].sum() <= most or len(chosen) == 1
        left = np.setdiff1d(np.arange(5), chosen)
        assert not len(left) or lengths[chosen].sum() + lengths[left].max() > most
    assert len({tuple(fitted.whole_episodes(lengths, 6, seed=seed)) for seed in range(9)}) > 1
