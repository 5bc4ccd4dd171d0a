"""LIBERO's suites as pixels: what the robot was told, where its arm is, and two cameras.

The same episodes as `generalist.envs.families.libero`, seed by seed and action by action. The pictures are those that
published data has and published policies are given: robosuite's, which are upside down, turned by half a turn (Kim et
al. 2024, OpenVLA; openpi). So left and right are exchanged in them, as in a mirror; `render` shows the scene as it is.
They are drawn in every step, also on a CPU, where that takes most of the time.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict

from generalist.envs.families import libero
from generalist.envs.families.libero_tasks import PIXELS
from generalist.envs.headless import prepare_mujoco
from generalist.envs.mujoco_models import mujoco_module
from generalist.envs.task import Task

SIDE = 128
"""Pixels along a side of both pictures, as in LIBERO's own data; data sets of 256 are halved when they are imported."""
CAMERAS = {"image": "agentview", "wrist": "robot0_eye_in_hand"}
OBSERVATION = Dict(
    {
        "instruction": libero.INSTRUCTION,
        "robot": Box(-np.inf, np.inf, (libero.ROBOT,), np.float32),
        **{key: Box(0, 255, (SIDE, SIDE, 3), np.uint8) for key in CAMERAS},
    }
)


def make(suite: str, name: str, render_mode: str | None = None) -> gym.Env:
    """A task by suite and name, for example "libero_goal" and "turn_on_the_stove".

    Observations {"instruction": text, "robot": float32[8], "image": uint8[128, 128, 3], "wrist": uint8[128, 128, 3]},
    the robot as in `generalist.envs.families.libero.make`, and so are the actions.
    """
    prepare_mujoco()
    return LiberoPixels(suite, name, render_mode)


class LiberoPixels(libero.Libero):
    """One task."""

    def __init__(self, suite: str, name: str, render_mode: str | None = None):
        super().__init__(suite, name, render_mode)
        self.observation_space = OBSERVATION
        self._eyes: Any = None

    def close(self):
        super().close()
        if self._eyes is not None:
            self._eyes.close()
            self._eyes = None

    def _observation(self) -> dict[str, Any]:
        seen = {key: self._seen(camera) for key, camera in CAMERAS.items()}
        return {"instruction": self.instruction, "robot": self.robot().astype(np.float32), **seen}

    def _seen(self, camera: str) -> np.ndarray:
        mujoco = mujoco_module()
        if self._eyes is None:
            self._eyes = mujoco.Renderer(self.model, SIDE, SIDE)
            self._visible = mujoco.MjvOption()
            self._visible.geomgroup[0] = 0  # the shapes that collide
        self._eyes.update_scene(self.data, camera, self._visible)
        # This renderer's pictures are upright, robosuite's upside down: half a turn of those is a mirror of these.
        return np.ascontiguousarray(self._eyes.render()[:, ::-1])


def _row(task: Task) -> Task:
    suite, name = task.id.split("/")
    return replace(
        task,
        id=f"{suite}{PIXELS}/{name}",
        family=f"{suite}{PIXELS}",
        make=partial(make, suite, name),
        same_episodes_as=task.id,
        provenance=task.provenance.replace("from states", "from two cameras"),
    )


TASKS: tuple[Task, ...] = tuple(map(_row, libero.TASKS))
