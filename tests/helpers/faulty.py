"""Environments that misbehave, registered with Gymnasium; worker processes import this module too.

What some do is switched on by the variable FAULTY, so that demonstrations can be recorded before: "step" raises, the
number of a process kills every other one.
"""

import errno
import os
import signal
import sys

import gymnasium as gym
import numpy as np
from gymnasium import spaces

STEPS = 5


class Counter(gym.Env):
    """Shows the number of the step; `reset_fault` and `step_fault` raise, or end the process."""

    observation_space, action_space = spaces.Box(0, 10, (2,), np.float32), spaces.Discrete(3)

    def reset_fault(self):
        pass

    def step_fault(self):
        pass

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        self.reset_fault()
        return self._seen(), {}

    def step(self, action):
        self.steps += 1
        self.step_fault()
        return self._seen(), float(action), self.steps == STEPS, False, {}

    def _seen(self):
        return np.full(2, self.steps, np.float32)


class NoLicence(Counter):
    def reset_fault(self):
        raise RuntimeError("the licence server\ndoes not answer \x1b[31mnow\u202e")


class NoDevice(Counter):
    """As a device without room of its own says it."""

    def reset_fault(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/dev/shm/camera")


class Leaves(Counter):
    def reset_fault(self):
        sys.exit("the simulator ends the process")


class UnspeakableError(Exception):
    def __str__(self):
        raise ValueError("no words")


class Speechless(Counter):
    def reset_fault(self):
        raise UnspeakableError


class Panic(BaseException):
    """As extensions in Rust raise it: no `Exception`."""


class Panics(Counter):
    def reset_fault(self):
        raise Panic("index out of bounds: \ud800 \x1b[31m" + "9" * 100_000)


class Wanders(Counter):
    """Leaves the working directory, as simulators that load their files from their own folder do."""

    def step_fault(self):
        os.chdir("/")


class Vast(Counter):
    """Its reward is finite, but not as the float32 that is kept."""

    def step(self, action):
        return *super().step(action)[:1], 1e39, self.steps == STEPS, False, {}


class Undefined(Counter):
    """Its reward is NaN where FAULTY is "step"."""

    def step(self, action):
        nan = os.environ.get("FAULTY") == "step"
        return *super().step(action)[:1], float("nan") if nan else 0.0, self.steps == STEPS, False, {}


class Ragged(Counter):
    """One observation has an axis too many."""

    def _seen(self):
        seen = super()._seen()
        return seen[None] if self.steps == 3 else seen


class Later(Counter):
    def step_fault(self):
        if os.environ.get("FAULTY") == "step":
            raise KeyError("joint 4")
        if os.environ.get("FAULTY", "").isdigit() and int(os.environ["FAULTY"]) != os.getpid():
            os.kill(os.getpid(), signal.SIGKILL)


class Unmade(Counter):
    def __init__(self):
        if os.environ.get("FAULTY"):
            raise OSError("no such simulator")


KINDS = (Counter, NoLicence, NoDevice, Leaves, Speechless, Panics, Wanders, Vast, Undefined, Ragged, Later, Unmade)
for kind in KINDS:
    gym.register(f"Faulty/{kind.__name__}-v0", entry_point=kind, max_episode_steps=20)


def id_of(kind: type) -> str:
    """The task of an environment of this module."""
    return f"gym:faulty:Faulty/{kind.__name__}-v0"
