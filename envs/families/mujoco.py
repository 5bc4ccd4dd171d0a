"""Gymnasium's eleven MuJoCo environments: closed-form controllers for three, a planner or learned actors for others.

State observations need no OpenGL; frames do (see `generalist.envs.headless`).
"""

from functools import cache, partial
from typing import Any

import gymnasium as gym
import numpy as np

from generalist.envs.experts import mujoco_costs as costs
from generalist.envs.experts.learned import shipped_expert, shipped_method
from generalist.envs.experts.planner import Reward, Search, Sensor, Simulation, plan_actions
from generalist.envs.headless import prepare_mujoco
from generalist.envs.mujoco_models import mujoco_module
from generalist.envs.task import ActionFunction, Task, needs_extra


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


def inverted_double_pendulum_expert(env: gym.Env) -> ActionFunction:
    """Infinite-horizon LQR at the upright state.

    Observation: cart position (1), sines (2) and cosines (2) of the pole angles, the second relative to the first,
    velocities (3), the rail's force on the cart (1). Action: force in [-1, 1].
    """
    gains = _inverted_double_pendulum_gains()

    def act(observation: np.ndarray) -> np.ndarray:
        angles = np.arctan2(observation[1:3], observation[3:5])
        state = np.concatenate([observation[:1], angles, observation[5:8]])
        return np.clip(-gains @ state, -1, 1).astype(np.float32)

    return act


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
    """Gains [1, 4]."""
    return _gains("InvertedPendulum-v5", state_costs=(1.0, 10.0, 0.1, 0.1), action_cost=0.01)


@cache
def _inverted_double_pendulum_gains() -> np.ndarray:
    """Gains [1, 6]."""
    return _gains("InvertedDoublePendulum-v5", state_costs=(1.0, 10.0, 10.0, 0.1, 0.1, 0.1), action_cost=0.1)


def _gains(id: str, state_costs: tuple[float, ...], action_cost: float) -> np.ndarray:
    """LQR gains [1, states] of the sampled system (one environment step), linearised at the upright state."""
    from scipy.linalg import solve_discrete_are

    env = make(id)
    a, b = linearise(env, states=len(state_costs), actions=1)
    env.close()
    state_cost, action_costs = np.diag(state_costs), action_cost * np.eye(1)
    cost = solve_discrete_are(a, b, state_cost, action_costs)
    return np.linalg.solve(action_costs + b.T @ cost @ b, b.T @ cost @ a)


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


def planner_expert(env: gym.Env, *, reward: Reward, search: Search, sensors: tuple[Sensor, ...] = ()) -> ActionFunction:
    """Plans in the environment's own simulator."""
    return plan_actions(gymnasium_simulation(env), reward, search, sensors)


def gymnasium_simulation(env: gym.Env) -> Simulation:
    """The simulator of an environment, for the planner."""
    base: Any = env.unwrapped
    return Simulation(
        model=base.model,
        data=base.data,
        spec=mujoco_module().MjSpec.from_file(base.fullpath),
        substeps=base.frame_skip,
        low=base.action_space.low.astype(np.float64),
        high=base.action_space.high.astype(np.float64),
        seed=base.np_random_seed,
    )


make_inverted_pendulum = partial(make, "InvertedPendulum-v5")
make_reacher = partial(make, "Reacher-v5")


def _planned(id: str, reward: Reward, *, sensors: tuple[Sensor, ...] = (), horizon: int = 1000, **search: Any) -> Task:
    return Task(
        id=id,
        make=partial(make, id),
        expert=partial(planner_expert, reward=reward, search=Search(**search), sensors=sensors),
        horizon=horizon,
        episodes=10,
        provenance="Gymnasium MuJoCo; MPPI planner",
        **_ROW,
    )


def _learned(id: str, steps: int) -> Task:
    return Task(
        id=id,
        make=partial(make, id),
        expert=partial(shipped_expert, id),
        horizon=1000,
        episodes=20,
        provenance=f"Gymnasium MuJoCo; {shipped_method(steps)}",
        **_ROW,
    )


_ROW: dict[str, Any] = {"family": "mujoco", "score": "return", "has_success": False, "extra": "mujoco"}

TASKS = (
    Task(
        id="InvertedPendulum-v5",
        make=make_inverted_pendulum,
        expert=inverted_pendulum_expert,
        horizon=1000,
        # Without noise the expert stands still and its demonstrations show no correction.
        noise=0.3,
        episodes=20,
        provenance="Gymnasium MuJoCo; LQR from a numerical linearisation",
        **_ROW,
    ),
    Task(
        id="Reacher-v5",
        make=make_reacher,
        expert=reacher_expert,
        horizon=50,
        episodes=400,
        provenance="Gymnasium MuJoCo; inverse kinematics and a PD law",
        **_ROW,
    ),
    Task(
        id="InvertedDoublePendulum-v5",
        make=partial(make, "InvertedDoublePendulum-v5"),
        expert=inverted_double_pendulum_expert,
        horizon=1000,
        # For the same reason as with one pole; at 0.2 the expert itself begins to fall.
        noise=0.15,
        episodes=20,
        provenance="Gymnasium MuJoCo; LQR from a numerical linearisation",
        **_ROW,
    ),
    _planned("HalfCheetah-v5", costs.half_cheetah, steps=16, knots=8, samples=50, noise=0.7, temperature=0.1),
    _learned("Hopper-v5", steps=130_048),
    _learned("Walker2d-v5", steps=200_704),
    _planned("Swimmer-v5", costs.swimmer, steps=80, knots=8, samples=40, every=5, noise=1.0, temperature=0.1),
    _planned("Ant-v5", costs.ant, steps=16, knots=5, samples=24, noise=0.7, temperature=0.1),
    Task(
        id="Humanoid-v5",
        make=partial(make, "Humanoid-v5"),
        expert=None,
        horizon=1000,
        episodes=10,
        note="No expert: the planner (40 samples of 20 steps) falls after 97 steps with return 516.",
        provenance="Gymnasium MuJoCo; no expert",
        **_ROW,
    ),
    _planned(
        "HumanoidStandup-v5", costs.humanoid_standup, steps=20, knots=4, samples=24, every=2, noise=0.7, temperature=0.1
    ),
    _planned(
        "Pusher-v5",
        costs.pusher,
        sensors=costs.PUSHER_SENSORS,
        horizon=100,
        steps=25,
        knots=5,
        samples=40,
        noise=0.3,
        temperature=0.1,
    ),
)
