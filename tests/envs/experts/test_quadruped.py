"""When the quadruped trots, waits or turns over, and that its diagonal legs go together."""

from types import SimpleNamespace

import numpy as np
import pytest

from generalist.envs.experts.quadruped import POSTURE_STEPS, SETTLE_STEPS, TURN_OVER, Trot, quadruped_expert, trotting

TROT = Trot(rate=2, swing=1, lift=0.9, extend=0.5, extended=0.2, lead=-0.4)
HIGH = np.tile(np.float32([1, 1.1, 0.8]), 4)
LOW = np.tile(np.float32([-1, -1, -0.8]), 4)


def quadruped(upright: float, speed: float, contacts: int = 4):
    data = SimpleNamespace(qvel=np.full(22, speed), time=0.3, ncon=contacts)
    physics = SimpleNamespace(data=data, upright=upright)
    physics.torso_upright = lambda: physics.upright
    return SimpleNamespace(unwrapped=SimpleNamespace(physics=physics, action_space=SimpleNamespace(low=LOW, high=HIGH)))


@pytest.mark.parametrize("time", [0.0, 0.17, 0.4])
def test_diagonal_legs_go_together_and_the_others_half_a_stride_later(time):
    legs, later = trotting(TROT, time).reshape(4, 3), trotting(TROT, time + 0.25).reshape(4, 3)
    assert np.allclose(legs[0], legs[2] * [-1, 1, 1])
    assert np.allclose(legs[0], later[1] * [-1, 1, 1])
    assert np.allclose(legs[1], legs[3] * [-1, 1, 1])
    assert np.allclose(trotting(TROT, time + 0.5), trotting(TROT, time))


def test_it_trots_when_upright_and_waits_while_it_falls():
    upright, falling = (quadruped_expert(quadruped(tilt, 2.0), trot=TROT)(None) for tilt in (0.9, -0.5))
    assert np.allclose(upright, np.clip(trotting(TROT, 0.3), LOW, HIGH))
    assert not falling.any()
    assert not quadruped_expert(quadruped(-0.5, 0.0, contacts=0), trot=TROT)(None).any()


def test_lying_still_it_turns_over_to_the_end_and_then_waits():
    env = quadruped(-1.0, 0.0)
    act = quadruped_expert(env, trot=TROT)
    actions = [act(None)]
    env.unwrapped.physics.data.qvel[:] = 5.0
    actions += [act(None) for _ in range(len(TURN_OVER) * POSTURE_STEPS + SETTLE_STEPS + 5)]
    for posture, share in enumerate(TURN_OVER):
        expected = np.where(share.ravel() > 0, HIGH, -LOW) * share.ravel()
        for action in actions[posture * POSTURE_STEPS : (posture + 1) * POSTURE_STEPS]:
            assert np.allclose(action, expected)
    assert not np.any(actions[len(TURN_OVER) * POSTURE_STEPS + SETTLE_STEPS :])


def test_turned_over_it_trots():
    env = quadruped(-1.0, 0.0)
    act = quadruped_expert(env, trot=TROT)
    steps = len(TURN_OVER) * POSTURE_STEPS + SETTLE_STEPS
    for _ in range(steps):
        act(None)
    env.unwrapped.physics.upright = 0.9
    assert np.allclose(act(None), np.clip(trotting(TROT, 0.3), LOW, HIGH))
