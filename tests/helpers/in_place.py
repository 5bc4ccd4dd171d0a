"""An environment that changes what it is handed and reuses what it gives, and policies that do so too."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.envs.task import Task

STEPS = 4
SHOWN = np.zeros(2, np.float32)
"""One buffer for all environments of this process."""


class InPlace(gym.Env):
    """Halves the action after it was rewarded; what it shows is its own state: whoever changes that plays otherwise."""

    observation_space = spaces.Dict({"state": spaces.Box(-99, 99, (2,), np.float32)})
    action_space = spaces.Dict({"arm": spaces.Box(-1, 1, (2,), np.float32), "grip": spaces.MultiDiscrete([3, 3])})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.number, self.steps = seed % 50, 0
        self.state, self.info = {"state": np.float32([self.number, 0])}, {"success": False}
        return self._shown(), self.info

    def step(self, action):
        reward = float(self.state["state"][0]) + float(action["arm"][0]) + int(action["grip"][0])
        action["arm"] *= 0.5
        action["grip"][:] = 0
        action.pop("grip")
        self.steps += 1
        self.state["state"][1] = self.steps
        self.info["success"] = self.steps == 2
        return self._shown(), reward, self.steps == STEPS, False, self.info

    def _shown(self):
        return self.state


class Shared(gym.Env):
    """All environments write what they show into the same array."""

    observation_space, action_space = spaces.Box(-99, 99, (2,), np.float32), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.number, self.steps = seed % 50, 0
        return self._shown(), {}

    def step(self, action):
        self.steps += 1
        return self._shown(), 0.0, self.steps == STEPS, False, {}

    def _shown(self):
        SHOWN[:] = self.number, self.steps
        return SHOWN


def rough(env):
    """Gives the same action again and again, and spoils what it is shown."""
    action = {"arm": np.float32([0.5, 0.25]), "grip": np.array([2, 1])}

    def act(observation):
        observation["state"] += 7
        observation.pop("state")
        return action

    return act


def in_place(**changes) -> Task:
    given = {"id": "test/InPlace", "family": "test", "make": InPlace, "expert": rough, "horizon": STEPS}
    return Task(**(given | {"score": "return", "has_success": True} | changes))
