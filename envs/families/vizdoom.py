"""ViZDoom (Kempka et al. 2016): ten scenarios of the first-person game, by envpool.

A step is four tics of the game (35 a second), shown by the last picture of them, scaled to 84x84 in the scenario's
colours; pictures are not stacked. An action is a combination of the scenario's buttons. What a score here is not:

- envpool does not pass on the scenario's own reward. `RULES` has what stands for it.
- The step that ends an episode shows the picture and the counters of the step before it: a kill in the step of one's
  own death is not counted.
- predict_position is left out, because it ends after a hit as after a miss, and nothing told says which. Scenarios
  that are grey versions of another (simpler_basic, D1_basic, D2_navigation), sounds, duels against players, and
  deathmatch with its 4536 combinations of buttons are left out too.

A reset starts the game's process, which takes one second or two. The game is Freedoom's.
"""

from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any, Literal

import gymnasium as gym
import numpy as np

from generalist.envs.envpool_task import PoolEnv
from generalist.envs.experts.doom_eye import letting_go, strafe_to_blue, strafe_to_dark, turn_to_widest
from generalist.envs.task import ActionFunction, Task

SKIP = 4
"""Tics of a step."""
SLACK = 20
"""More steps that the game itself gets than the horizon: it counts those before its start, its end seems a death."""

Counters = dict[str, Any]
Reward = Callable[[Counters, Counters, bool, float], float]
"""(counters before, counters now, terminated, reward of envpool) -> reward"""


def goal(before: Counters, now: Counters, terminated: bool, given: float) -> float:
    return float(terminated)


def survival(death: float, before: Counters, now: Counters, terminated: bool, given: float) -> float:
    return -death if terminated else float(SKIP)


def kills(before: Counters, now: Counters, terminated: bool, given: float) -> float:
    return now["KILLCOUNT"] - before["KILLCOUNT"] - terminated


def shaped(before: Counters, now: Counters, terminated: bool, given: float) -> float:
    return given


RULES: dict[str, tuple[Reward, str]] = {
    "goal": (goal, "reward and success: 1 where the scenario ends by itself, which is at its goal"),
    "survival": (partial(survival, 0.0), "reward: 1 for each tic, as in the scenario"),
    "survival, death": (partial(survival, 100.0), "reward: 1 for each tic and -100 for death, as in the scenario"),
    "kills": (kills, "reward: 1 for a kill and -1 for one's death, as in the scenario"),
    "shaped": (shaped, "reward: envpool's, of health, kills, damage, weapons and ammunition, not the scenario's"),
}
"""Reward, and how to say it."""


@dataclass(frozen=True)
class Scenario:
    """Its name in envpool, the steps from its start to its time limit (525 where it has none), and its reward."""

    id: str
    horizon: int
    rule: Literal["goal", "survival", "survival, death", "kills", "shaped"]


SCENARIOS = {
    "basic": Scenario("Basic-v1", 71, "goal"),
    "rocket_basic": Scenario("RocketBasic-v1", 71, "goal"),
    "my_way_home": Scenario("MyWayHome-v1", 522, "goal"),
    "take_cover": Scenario("TakeCover-v1", 525, "survival"),
    "health_gathering": Scenario("HealthGathering-v1", 524, "survival, death"),
    "health_gathering_supreme": Scenario("HealthGatheringSupreme-v1", 524, "survival, death"),
    "defend_the_center": Scenario("DefendTheCenter-v1", 522, "kills"),
    "defend_the_line": Scenario("DefendTheLine-v1", 525, "kills"),
    "deadly_corridor": Scenario("DeadlyCorridor-v1", 524, "shaped"),
    "D3_battle": Scenario("D3Battle-v1", 524, "shaped"),
    "D4_battle2": Scenario("D4Battle2-v1", 524, "shaped"),
}


EYES: dict[str, ActionFunction] = {
    "basic": strafe_to_blue,
    "rocket_basic": strafe_to_dark,
    "defend_the_center": turn_to_widest,
}
"""Scenarios with an expert, a function of the frame that the agent sees."""


def eye(name: str, env: gym.Env) -> ActionFunction:
    """The expert of a scenario in `EYES`: it needs nothing of the environment but its frames."""
    return letting_go(EYES[name]) if name == "rocket_basic" else EYES[name]


def make(name: str, render_mode: str | None = None) -> gym.Env:
    """A scenario by its name in `SCENARIOS`.

    Observations: uint8[84, 84, 3], in rocket_basic and the battles [84, 84, 1]. Actions: combinations of buttons, of
    which the first is none. Info: the game's counters, such as HEALTH and KILLCOUNT.
    """
    return Doom(SCENARIOS[name], render_mode)


class Doom(PoolEnv):
    """Pictures with their channels last, and the reward of the scenario's rule."""

    def __init__(self, scenario: Scenario, render_mode: str | None = None):
        options = {"stack_num": 1, "use_combined_action": True, "max_episode_steps": scenario.horizon + SLACK}
        super().__init__(scenario.id, scenario.horizon, options, render_mode)
        shape: Any = self.observation_space.shape
        channels, *sides = shape
        self.observation_space = gym.spaces.Box(0, 255, (*sides, channels), np.uint8)
        self._reward, _ = RULES[scenario.rule]
        self._has_goal = scenario.rule == "goal"
        self._counters: Counters = {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        # The game writes its settings where it was started, and would read them there the next time.
        with TemporaryDirectory(ignore_cleanup_errors=True) as folder, chdir(folder):
            observation, self._counters = super().reset(seed=seed, options=options)
        return np.moveaxis(observation, 0, -1), dict(self._counters)

    def step(self, action: Any):
        observation, given, terminated, truncated, counters = super().step(action)
        reward = float(self._reward(self._counters, counters, terminated, given))
        self._counters = counters
        success = {"success": terminated} if self._has_goal else {}
        return np.moveaxis(observation, 0, -1), reward, terminated, truncated, {**counters, **success}


def _task(name: str) -> Task:
    scenario = SCENARIOS[name]
    has_goal = scenario.rule == "goal"
    return Task(
        id=f"vizdoom/{name}",
        family="vizdoom",
        make=partial(make, name),
        expert=partial(eye, name) if name in EYES else None,
        horizon=scenario.horizon,
        score="success" if has_goal else "return",
        has_success=has_goal,
        note=RULES[scenario.rule][1] + ("" if name in EYES else "; no training-free expert"),
        extra="envpool",
        provenance="ViZDoom's scenario with Freedoom, by envpool; experts aim by the colours of the frame",
    )


TASKS: tuple[Task, ...] = tuple(map(_task, SCENARIOS))
