"""Gymnasium's MuJoCo environments that a closed-form controller solves.

State observations need no OpenGL; frames do (see `generalist.envs.headless`).
"""

from functools import cache, partial
from typing import Any

import gymnasium as gym
import numpy as np

from generalist.envs.headless import prepare_mujoco
from generalist.envs.task import ActionFunction, needs_extra


def make(id: str, render_mode: str | None = None) -> gym.Env:
    """The environment of a Gymnasium id, truncated at its registered limit."""
    if render_mode is not None:
        prepare_mujoco()
    with needs_extra("mujoco"):
        import mujoco  # noqa: F401
    return gym.make(id, render_mode=render_mode, disable_env_checker=True)


def inverted_pendulum_expert(env: gym.Env) -> ActionFunction:
    """Infinite-horizon LQR at the upright state, from a linearisation through MuJoCo.

    Observation (cart position, pole angle, and their velocities): the state itself. Action: force in [-3, 3].
    """
    gains = _inverted_pendulum_gains()
    return lambda observation: np.clip(-gains @ observation, -3, 3).astype(np.float32)


def reacher_expert(env: gym.Env) -> ActionFunction:
    """Two-link inverse kinematics and a proportional-derivative law.

    Observation: cos and sin of both joint angles (4), target (2), joint velocities (2), fingertip minus target (2).
    The reward is minus distance minus squared torque (torques in [-1, 1]).
    """

    def act(observation: np.ndarray) -> np.ndarray:
        angles = np.arctan2(observation[2:4], observation[:2])
        errors = [_wrapped(solution - angles) for solution in _reacher_angles(observation[4:6])]
        error = min(errors, key=np.linalg.norm)
        return np.clip(REACHER_GAIN * error - REACHER_DAMPING * observation[6:8], -1, 1).astype(np.float32)

    return act


REACHER_GAIN = 0.25
REACHER_DAMPING = 0.047
LINKS = (0.1, 0.11)
"""Metres: the upper arm, and the forearm to the middle of the fingertip (reacher.xml)."""


def _reacher_angles(target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both pairs of joint angles (shoulder, elbow) that bring the fingertip to `target`, or as near as it gets."""
    upper, fore = LINKS
    cosine = (target @ target - upper**2 - fore**2) / (2 * upper * fore)
    elbow = np.arccos(np.clip(cosine, -1, 1))
    direction = np.arctan2(target[1], target[0])
    inner = np.arctan2(fore * np.sin(elbow), upper + fore * np.cos(elbow))
    return np.array([direction - inner, elbow]), np.array([direction + inner, -elbow])


def _wrapped(angle: np.ndarray) -> np.ndarray:
    return (angle + np.pi) % (2 * np.pi) - np.pi


@cache
def _inverted_pendulum_gains() -> np.ndarray:
    """LQR gains [1, 4] of the sampled system (one environment step), linearised at the upright state."""
    from scipy.linalg import solve_discrete_are

    env = make("InvertedPendulum-v5")
    a, b = linearise(env, states=4, actions=1)
    env.close()
    state_cost, action_cost = np.diag([1.0, 10.0, 0.1, 0.1]), 0.01 * np.eye(1)
    cost = solve_discrete_are(a, b, state_cost, action_cost)
    return np.linalg.solve(action_cost + b.T @ cost @ b, b.T @ cost @ a)


def linearise(env: gym.Env, states: int, actions: int, step: float = 1e-4) -> tuple[np.ndarray, np.ndarray]:
    """Matrices a [states, states] and b [states, actions] of x' = a x + b u for one environment step at x = u = 0.

    Central differences through the simulator: MuJoCo's own `mjd_transitionFD` does not support the RK4 integrator.
    """
    base: Any = env.unwrapped
    half = states // 2

    def after(point: np.ndarray) -> np.ndarray:
        base.reset()  # clears the solver's warm start
        base.set_state(point[:half], point[half:states])
        base.do_simulation(point[states:], base.frame_skip)
        return np.concatenate([base.data.qpos, base.data.qvel])

    columns = [(after(step * axis) - after(-step * axis)) / (2 * step) for axis in np.eye(states + actions)]
    jacobian = np.stack(columns, axis=1)
    return jacobian[:, :states], jacobian[:, states:]


make_inverted_pendulum = partial(make, "InvertedPendulum-v5")
make_reacher = partial(make, "Reacher-v5")
