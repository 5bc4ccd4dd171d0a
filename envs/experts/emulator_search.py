"""Experts for Atari by search in the emulator: play plans ahead from the present state and follow the best one.

Privileged, not learned: it reads no observation, but copies the emulator's state into a second emulator of its own.
The environment's state and random numbers are never touched, and the second emulator's random numbers are its own, so
the search does not foresee which actions will stick. It is good where reward follows action within a few seconds, and
slow: a step costs tens of milliseconds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from generalist.envs.task import ActionFunction, needs_extra

SKIP = 4
"""Emulator frames of one step, as in `atari`."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """How far and how often to look. A step costs `plans * depth / commit` steps of the second emulator.

    Args:
        plans: plans played out for one decision.
        depth: steps of a plan.
        commit: steps that are played before the next decision.
        hold: mean number of steps for which a random plan keeps an action.
        discount: weight of a reward, per step.
        life: what a lost life costs, in points; a plan ends there.
        usual: the action of three quarters of a random plan, by its name in ale-py; none if empty.
        limit: after so many steps it looks ahead no more and plays random plans, or good play would never end.
    """

    plans: int = 16
    depth: int = 30
    commit: int = 3
    hold: float = 4.0
    discount: float = 0.98
    life: float = 0.0
    usual: str = ""
    limit: int = 27_000


def search_expert(search: Search, env: gym.Env) -> ActionFunction:
    """Called right after `env.reset(seed=...)`, whose seed fixes what it does."""
    base: Any = env.unwrapped
    planner = Planner(search, base, seed=int(base.np_random_seed))
    return lambda observation: planner.act()


class Planner:
    """Improves one plan by random changes, keeps it from decision to decision, and plays it."""

    def __init__(self, search: Search, base: Any, seed: int):
        self._search = search
        self._real = base.ale
        self._model = _second_emulator(base, seed)
        self._rng = np.random.default_rng(seed)
        self._legal = list(base.ale.getLegalActionSet())
        useful = [self._legal.index(action) for action in base.ale.getMinimalActionSet()]
        usual = [index for index in useful if self._legal[index].name == search.usual]
        self._pool = useful + 3 * len(useful) * usual
        self._plan: list[int] = []
        self._steps = 0

    def act(self) -> int:
        """The next action, as an index into the full set of actions."""
        if self._steps % self._search.commit == 0:
            self._plan = self._longer(self._plan)
            if self._steps < self._search.limit:
                self._plan = self._best(self._real.cloneState(), self._plan)
        self._steps += 1
        return self._plan.pop(0)

    def _best(self, root: Any, plan: list[int]) -> list[int]:
        """The given plan, or a better one: half of the others are new, half leave the best one somewhere."""
        value = self._value(root, plan)
        for index in range(1, self._search.plans):
            kept = int(self._rng.integers(self._search.depth)) if index % 2 else 0
            other = self._longer(plan[:kept])
            reached = self._value(root, other)
            if reached > value:
                plan, value = other, reached
        return plan

    def _value(self, root: Any, plan: list[int]) -> float:
        """Discounted rewards of one play of the plan from there; sticky actions make it a sample."""
        model, legal, search = self._model, self._legal, self._search
        model.restoreState(root)
        lives, value, weight = model.lives(), 0.0, 1.0
        for action in plan:
            value += weight * model.act(legal[action])
            if model.lives() < lives or model.game_over():
                return value - weight * search.life
            weight *= search.discount
        return value

    def _longer(self, plan: list[int]) -> list[int]:
        """The plan and random actions after it, each held for a while, `depth` steps in all."""
        plan = list(plan)
        while len(plan) < self._search.depth:
            action = self._pool[self._rng.integers(len(self._pool))]
            plan += [action] * int(self._rng.geometric(1 / self._search.hold))
        return plan[: self._search.depth]


def _second_emulator(base: Any, seed: int) -> Any:
    """An emulator of the same game with random numbers of its own, whose `act` is a step of `SKIP` frames."""
    with needs_extra("atari"):
        from ale_py import ALEInterface, roms
    model = ALEInterface()
    model.setInt("random_seed", seed)
    model.setInt("frame_skip", SKIP)
    model.setFloat("repeat_action_probability", base.ale.getFloat("repeat_action_probability"))
    rom: Any = roms.get_rom_path(base._game)
    model.loadROM(rom)
    return model


SEARCHES = {
    "Boxing": Search(plans=20, depth=20),
    "Breakout": Search(plans=20, depth=40, commit=4, life=5, limit=1500),
    "Freeway": Search(plans=8, depth=60, commit=4, discount=0.99, usual="UP"),
    "RoadRunner": Search(life=1000, usual="LEFT"),
    "Tennis": Search(plans=12, commit=4),
}
"""The games where it beats a human's published score in a few minutes an episode (Freeway: is 0.6 below it)."""

EXPERTS: dict[str, Callable[[gym.Env], ActionFunction]] = {
    game: partial(search_expert, search) for game, search in SEARCHES.items()
}
