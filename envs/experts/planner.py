"""A sampling planner: model predictive path integral control (Williams et al. 2017) through `mujoco.rollout`.

It acts with the simulator's own model and state, so it is an expert to imitate and no agent. The plan is a spline
through a few knots; each time it is improved, noisy copies are simulated and averaged, weighted by how well they did.
The noise is seeded by the reset's seed, so an episode is a function of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from generalist.envs.mujoco_models import mujoco_module
from generalist.envs.task import ActionFunction


@dataclass(frozen=True, kw_only=True)
class Search:
    """How to plan.

    Args:
        steps: steps of the environment that a plan looks ahead.
        knots: points of the piecewise linear plan, evenly spaced over these steps.
        samples: simulated plans per improvement; one of them is the plan as it was.
        noise: standard deviation of the knots' noise, in units of half the action range. Half of the samples have a
            third of it.
        temperature: of the weights exp(return / temperature), the returns scaled to standard deviation 1.
        every: steps that are executed before the plan is improved again.
        rounds: improvements each time.
        first_rounds: improvements before the first step.
        coarse: the planner's simulator takes this many times longer steps; it must divide the environment's.
    """

    steps: int
    knots: int
    samples: int
    noise: float = 0.5
    temperature: float = 0.3
    every: int = 1
    rounds: int = 1
    first_rounds: int = 5
    coarse: int = 1


@dataclass(frozen=True)
class Sensor:
    """A sensor that the planner's model has besides its own: names of `mujoco.mjtSensor` and `mujoco.mjtObj`."""

    name: str
    kind: str
    of: str
    target: str


@dataclass(frozen=True)
class Rollouts:
    """Simulated plans after each step of the environment: N samples, T steps.

    Sensors are one step of the simulator older than the state, as in MuJoCo's own step.
    """

    model: Any
    step_time: float  # seconds
    qpos: np.ndarray  # [N, T, positions]
    qvel: np.ndarray  # [N, T, velocities]
    actions: np.ndarray  # [N, T, actions]
    sensors: np.ndarray  # [N, T, sensor values]

    def sensor(self, name: str) -> np.ndarray:
        """Values [N, T, dimensions] of a sensor of the model."""
        sensor = self.model.sensor(name)
        start = int(sensor.adr[0])
        return self.sensors[..., start : start + int(sensor.dim[0])]


Reward = Callable[[Rollouts], np.ndarray]
"""Rewards [N, T]; a sample's return is their mean."""


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """What is planned in: the simulated model and data, the model's description, and the environment's step."""

    model: Any
    data: Any
    spec: Any
    substeps: int
    low: np.ndarray
    high: np.ndarray
    seed: int


def plan_actions(simulation: Simulation, reward: Reward, search: Search, sensors: tuple[Sensor, ...]) -> ActionFunction:
    """A function that ignores its observation and gives the planned action for the simulation's current state."""
    planner = _Planner(simulation, reward, search, sensors)
    return lambda observation: planner.action()


class Simulator:
    """Runs plans from the simulation's current state, which it leaves as it is."""

    def __init__(self, simulation: Simulation, sensors: tuple[Sensor, ...] = (), coarse: int = 1):
        if simulation.substeps % coarse:
            raise ValueError(f"coarse={coarse} must divide the {simulation.substeps} steps of the simulator")
        self._mujoco = mujoco_module()
        self._simulation, self._substeps = simulation, simulation.substeps // coarse
        self._model: Any = planning_model(simulation, sensors)
        self._model.opt.timestep *= coarse
        self._data: Any = self._mujoco.MjData(self._model)
        self._rollout: Any = self._mujoco.rollout.Rollout(nthread=0)
        self._full = self._mujoco.mjtState.mjSTATE_FULLPHYSICS.value
        self._state = np.empty(self._mujoco.mj_stateSize(self._model, self._full))

    def run(self, actions: np.ndarray) -> Rollouts:
        """Simulate actions [N, T, actions]."""
        data, model, substeps = self._simulation.data, self._model, self._substeps
        self._mujoco.mj_getState(self._simulation.model, data, self._state, self._full)
        states, sensors = self._rollout.rollout(
            model,
            self._data,
            self._state,
            np.repeat(actions, substeps, axis=1),
            initial_warmstart=np.array(data.qacc_warmstart),
        )
        states, sensors = states[:, substeps - 1 :: substeps], sensors[:, substeps - 1 :: substeps]
        velocities = 1 + model.nq  # after the time and the positions
        qpos, qvel = states[..., 1:velocities], states[..., velocities : velocities + model.nv]
        return Rollouts(model, model.opt.timestep * substeps, qpos, qvel, actions, sensors)


class _Planner:
    """The plan of one episode: knots [K, actions], and how many steps of it have been executed."""

    def __init__(self, simulation: Simulation, reward: Reward, search: Search, sensors: tuple[Sensor, ...]):
        self._simulator = Simulator(simulation, sensors, search.coarse)
        self._reward, self._search = reward, search
        self._low, self._high = simulation.low, simulation.high
        self._rng = np.random.default_rng([simulation.seed, PLANNER_STREAM])
        times = np.linspace(0, search.steps - 1, search.knots)
        self._weights = interpolation(np.arange(search.steps), times)
        self._shift = interpolation(times + search.every, times)
        self._knots = np.tile((self._low + self._high) / 2, (search.knots, 1))
        self._executed = 0
        for _ in range(search.first_rounds - search.rounds):
            self._improve()

    def action(self) -> np.ndarray:
        """The action of this step, after improving the plan where its turn has come."""
        if self._executed == self._search.every:
            self._knots, self._executed = self._shift @ self._knots, 0
        if self._executed == 0:
            for _ in range(self._search.rounds):
                self._improve()
        action = self._weights[self._executed] @ self._knots
        self._executed += 1
        return action.astype(np.float32)

    def _improve(self) -> None:
        search, low, high = self._search, self._low, self._high
        noise = self._rng.standard_normal((search.samples, *self._knots.shape)) * search.noise * (high - low) / 2
        noise[::2] /= 3
        noise[0] = 0
        knots = np.clip(self._knots + noise, low, high)
        returns = self._reward(self._simulator.run(self._weights @ knots)).mean(axis=1)
        self._knots = np.tensordot(sample_weights(returns, search.temperature), knots, axes=1)


def sample_weights(returns: np.ndarray, temperature: float) -> np.ndarray:
    """Weights [N] of samples by their returns [N], summing to 1. A return that is not finite weighs nothing.

    Raises:
        ValueError: no return is finite.
    """
    finite = np.isfinite(returns)
    if not finite.any():
        raise ValueError("every simulated plan has a return that is not finite: the simulation diverges")
    best, spread = returns[finite].max(), returns[finite].std()
    exponents = np.where(finite, (np.where(finite, returns, best) - best) / (temperature * spread + 1e-12), -np.inf)
    weights = np.exp(exponents)
    return weights / weights.sum()


PLANNER_STREAM = 2
"""Separates the planner's random numbers from other uses of an episode's seed."""


def interpolation(times: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Matrix [times, knots] of piecewise linear interpolation, constant outside of the knots."""
    return np.stack([np.interp(times, knots, column) for column in np.eye(len(knots))], axis=1)


def planning_model(simulation: Simulation, sensors: tuple[Sensor, ...]) -> Any:
    """The simulated model with more sensors: compiled from its description, then every number taken from the live one.

    What a task has written into its model (targets, drawn physics) is so in the plan, too.
    """
    mujoco, spec = mujoco_module(), simulation.spec
    for sensor in sensors:
        spec.add_sensor(
            name=sensor.name,
            type=getattr(mujoco.mjtSensor, f"mjSENS_{sensor.kind}"),
            objtype=getattr(mujoco.mjtObj, f"mjOBJ_{sensor.of}"),
            objname=sensor.target,
        )
    model = spec.compile()
    for name in dir(model):
        if not name.startswith(("_", "sensor_", "name", "tex_")):
            value, live = getattr(model, name), getattr(simulation.model, name)
            if isinstance(value, np.ndarray):
                np.copyto(value, live)
    model.stat.meaninertia = simulation.model.stat.meaninertia
    return model
