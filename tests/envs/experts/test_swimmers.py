"""Gaits are functions of the body's state that know no left or right."""

from types import SimpleNamespace

import numpy as np
import pytest

from generalist.envs.families.dm_control_table import EXPERTS

MIRRORED_FISH = np.array([-1, -1, -1, -1, 1, -1, 1])
"""Of tail1, twist, tail2 and both fins' roll and pitch; the fins also change places."""


def swimmer(angles, rates, turning: float, target):
    """An environment in which a swimmer has these joints, and the target lies there from its nose."""
    qpos, qvel = np.r_[0, 0, 0, angles], np.r_[0, 0, turning, rates]
    data, model = SimpleNamespace(qpos=qpos, qvel=qvel), SimpleNamespace(nu=len(angles))
    return environment(SimpleNamespace(data=data, model=model, nose_to_target=lambda: np.array(target)))


def fish(angles, rates, target, frame):
    """An environment in which a fish has these joints and this frame (rows: the world's axes)."""
    data = SimpleNamespace(qpos=np.r_[np.zeros(7), angles], qvel=np.r_[np.zeros(6), rates])
    places = {"target": frame @ target, "mouth": np.zeros(3)}
    named = SimpleNamespace(data=SimpleNamespace(xmat={"torso": frame.ravel()}, geom_xpos=places))
    return environment(SimpleNamespace(data=data, named=named))


def environment(physics):
    return SimpleNamespace(unwrapped=SimpleNamespace(physics=physics))


def random_frame(rng) -> np.ndarray:
    frame = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    return frame * np.sign(np.linalg.det(frame))


@pytest.mark.parametrize("links", [6, 15])
@pytest.mark.parametrize("seed", range(3))
def test_a_mirrored_swimmer_does_the_mirrored_stroke(links, seed):
    rng = np.random.default_rng(seed)
    expert = EXPERTS["swimmer", f"swimmer{links}"].policy
    angles, rates, turning, target = rng.normal(size=links - 1), rng.normal(size=links - 1), 0.3, rng.normal(size=2)
    action = expert(swimmer(0.3 * angles, rates, turning, target))(None)
    mirrored = expert(swimmer(-0.3 * angles, -rates, -turning, target * [-1, 1]))(None)
    assert action.shape == (links - 1,)
    assert np.abs(action).max() <= 1
    assert np.allclose(mirrored, -action, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_a_mirrored_fish_does_the_mirrored_stroke(seed):
    rng = np.random.default_rng(seed)
    expert = EXPERTS["fish", "swim"].policy
    angles, rates, frame = 0.3 * rng.normal(size=7), rng.normal(size=7), random_frame(rng)
    target = 0.2 * rng.normal(size=3)
    across = np.diag([-1, 1, 1])
    swap = [0, 1, 2, 5, 6, 3, 4]
    action = expert(fish(angles, rates, target, frame))(None)
    other = [MIRRORED_FISH * values[swap] for values in (angles, rates)]
    mirrored = expert(fish(*other, across @ target, across @ frame @ across))(None)
    assert np.allclose(mirrored[[0, 1, 2, 4, 3]], action * [-1, -1, 1, 1, 1], atol=1e-6)


def test_a_swimmer_on_its_target_rests():
    still = np.zeros(5)
    expert = EXPERTS["swimmer", "swimmer6"].policy
    assert np.abs(expert(swimmer(still, still, 0.0, [0.0, -0.05]))(None)).max() < 1e-6
    assert np.abs(expert(swimmer(still, still, 0.0, [0.0, -1.0]))(None)).max() > 0.5


def test_a_fish_paddles_back_from_what_it_has_passed():
    expert = EXPERTS["fish", "swim"].policy
    spread = np.array([0, 0, 0, 0.3, 0, -0.3, 0])
    ahead, behind = (expert(fish(spread, np.zeros(7), [0, y, 0], np.eye(3)))(None) for y in (0.03, -0.03))
    assert ahead[3] == ahead[4] > 0
    assert behind[3] == behind[4] < 0
