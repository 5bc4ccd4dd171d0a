"""The DeepMind control suite: every task from its state and from pixels, and 26 of them with randomised physics.

    dm_control/<domain>-<task>          state, a Dict of float32 boxes (a single number has shape (1,))
    dm_control_pixels/<domain>-<task>   the same task, {"image": uint8[64, 64, 3]} from the suite's first camera
    dm_control_small/..., _large/...    state; the physics drawn anew at each reset (`dm_control_variants`)

The suite is wrapped directly. MuJoCo renders through EGL where there is no display (`generalist.envs.headless`);
states are computed without it, but for quadruped-escape, whose terrain is uploaded to the renderer at each reset.
Experts see the simulator, whatever the observation is.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.envs.families.dm_control_table import EXPERTS, SUITE, VARIED, WITHOUT_EXPERT
from generalist.envs.families.dm_control_variants import Scale, varied_model
from generalist.envs.headless import prepare_mujoco
from generalist.envs.task import Task, needs_extra

HORIZON = 1000
"""Steps: the suite's own time limit for every task but the two lqr, which have none."""

IMAGE_SIZE = 64
LQR_FORCE = 10.0
"""The suite leaves the forces of lqr unbounded; the optimal controller stays inside this bound."""


class SuiteEnv(gym.Env):
    """One task of the suite.

    Actions: float32 in the bounds of the task's specification ([-10, 10] for lqr, which has none). An episode is
    truncated after 1000 steps and terminated where the suite gives discount 0 (lqr at rest). `reset(seed=s)` fixes
    initial state, targets, terrain, lqr's stiffness and the drawn physics of a variant: without variant it is the
    first episode of `suite.load(domain, task, {"random": s})`.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 (Gymnasium's class attribute)

    def __init__(
        self,
        domain: str,
        task: str,
        *,
        pixels: bool = False,
        variant: Scale | None = None,
        render_mode: str | None = None,
    ):
        prepare_mujoco()  # read when dm_control is imported
        with needs_extra("dm_control"):
            from dm_control import suite
        self.domain, self.task, self.render_mode = domain, task, render_mode
        self.variant: Scale | None = variant
        self.environment: Any = suite.load(domain, task)
        self._pixels = pixels
        self._model = _ModelArrays(self.physics.model.ptr)
        self._steps: int | None = None
        self.action_space: spaces.Box = self._actions()
        with warnings.catch_warnings():
            # Quadruped looks up its sensors by NumPy's in1d, once.
            warnings.filterwarnings("ignore", "`in1d` is deprecated", DeprecationWarning)
            self.observation_space = self._observations(self.environment.observation_spec())

    @property
    def physics(self) -> Any:
        """The suite's `Physics`: what experts look at."""
        return self.environment.physics

    @property
    def substeps(self) -> int:
        """Steps of the simulator in one step of the environment."""
        return self.environment._n_sub_steps

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        if seed is not None:
            self.environment.task._random = np.random.RandomState(seed)
        self._model.restore(varied_model(self.domain, self.variant, self.np_random) if self.variant else None)
        if self.domain == "lqr":
            _draw_stiffness(self.physics.model, self.environment.task.random)
        step = self.environment.reset()
        self._steps = 0
        return self._observation(step.observation), {}

    def step(self, action: Any):
        if self._steps is None:
            raise gym.error.ResetNeeded("the episode is over or was never begun: call reset")
        step = self.environment.step(np.clip(action, self.action_space.low, self.action_space.high))
        self._steps += 1
        terminated = step.last() and step.discount == 0
        truncated = not terminated and (step.last() or self._steps == HORIZON)
        if terminated or truncated:
            self._steps = None
        return self._observation(step.observation), float(step.reward), terminated, truncated, {}

    def render(self):
        """A frame uint8[240, 320, 3] from the first camera."""
        return self.physics.render(240, 320, camera_id=0) if self.render_mode == "rgb_array" else None

    def close(self):
        self.physics.free()

    def _actions(self) -> spaces.Box:
        specification = self.environment.action_spec()
        if self.domain == "lqr":
            return spaces.Box(-LQR_FORCE, LQR_FORCE, specification.shape, np.float32)
        low, high = specification.minimum, specification.maximum
        return spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)

    def _observations(self, specification: Any) -> spaces.Dict:
        if self._pixels:
            return spaces.Dict({"image": spaces.Box(0, 255, (IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)})
        boxes: dict[str, gym.Space] = {
            name: spaces.Box(-np.inf, np.inf, array.shape or (1,), np.float32) for name, array in specification.items()
        }
        return spaces.Dict(boxes)

    def _observation(self, observation: Any) -> dict[str, np.ndarray]:
        if self._pixels:
            return {"image": self.physics.render(IMAGE_SIZE, IMAGE_SIZE, camera_id=0)}
        return {name: np.array(value, np.float32, ndmin=1) for name, value in observation.items()}


class _ModelArrays:
    """Writes the arrays of a compiled model, or the model's own first ones, into the model that is simulated.

    The tasks of the suite write into their model at reset and do not undo it. Textures, which take most of the memory
    and never change, are left out.
    """

    def __init__(self, model: Any):
        arrays = {name: getattr(model, name) for name in dir(model) if not name.startswith(("_", "tex_"))}
        self._names = [
            name for name, array in arrays.items() if isinstance(array, np.ndarray) and array.flags.writeable
        ]
        self._model = model
        self._first = {name: getattr(model, name).copy() for name in self._names}
        self._first_mean_inertia = model.stat.meaninertia

    def restore(self, source: Any = None) -> None:
        """From `source`, a model of the same structure; None is the model as it was first."""
        for name in self._names:
            np.copyto(getattr(self._model, name), getattr(source, name) if source else self._first[name])
        # The solver's tolerance is relative to it.
        self._model.stat.meaninertia = source.stat.meaninertia if source else self._first_mean_inertia


def _draw_stiffness(model: Any, random: Any) -> None:
    """Spring constants of lqr, in the order and range in which the suite draws them when it builds the model."""
    for joint in range(model.njnt):
        model.jnt_stiffness[joint] = random.uniform(15, 25)
        random.uniform(0, 0)  # the damping


def make(
    domain: str, task: str, render_mode: str | None = None, *, pixels: bool = False, variant: Scale | None = None
) -> gym.Env:
    """A task of the suite, for example ("walker", "run"). Raises MissingExtra without dm_control."""
    return SuiteEnv(domain, task, pixels=pixels, variant=variant, render_mode=render_mode)


def _row(prefix: str, domain: str, name: str, make: Callable[..., gym.Env], variant: Scale | None) -> Task:
    expert = EXPERTS.get((domain, name))
    if expert is not None and variant in expert.not_for:
        expert = None
    note = WITHOUT_EXPERT.get((domain, name), "") if expert is None else expert.note
    return Task(
        id=f"{prefix}/{domain}-{name}",
        family="dm_control",
        make=make,
        same_episodes_as=f"dm_control/{domain}-{name}" if prefix == "dm_control_pixels" else "",
        expert=expert and expert.policy,
        horizon=HORIZON,
        score="return",
        has_success=False,
        noise=expert.noise if expert else 0.0,
        episodes=expert.episodes if expert else 10,
        note=note,
        extra="dm_control",
        provenance=f"DeepMind control suite; {expert.method if expert else 'no expert'}",
    )


def _rows() -> tuple[Task, ...]:
    everything = [(domain, task) for domain, tasks in SUITE.items() for task in tasks]
    state = [_row("dm_control", *which, partial(make, *which), None) for which in everything]
    pixels = [_row("dm_control_pixels", *which, partial(make, *which, pixels=True), None) for which in everything]
    scales: tuple[Scale, ...] = ("small", "large")
    variants = [
        _row(f"dm_control_{scale}", domain, task, partial(make, domain, task, variant=scale), scale)
        for scale in scales
        for domain, task in VARIED
    ]
    return (*state, *pixels, *variants)


TASKS: tuple[Task, ...] = _rows()
