"""Rollouts: a policy plays whole episodes of one task, several environments at once in this process.

Not `gymnasium.vector`: its autoreset starts the next episode without a seed of its own, so that an episode would depend
on which environment became free first, and (in its default mode) each episode begins with a step whose action is
ignored. Here every episode is one explicit `env.reset(seed=...)`, so it is fixed by its seed alone, whatever the number
of slots, and no dummy step exists. The policy still sees all active slots at once, which is what makes a batched
network cheap. Asynchronous workers are slower than this loop for environments as cheap as ours. Environments and
policies may change what they are handed, and what they gave.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import gymnasium as gym
import numpy as np

from generalist.envs.files import staying_here
from generalist.envs.spaces import own
from generalist.envs.task import Task


@dataclass(frozen=True, kw_only=True)
class EpisodeResult:
    """What one finished episode came to.

    `success` is None where the task has no notion of it, and True if any step reported it. `seconds` is the episode's
    own share of the time: its environment's steps, and its part of each batched call of the policy.
    """

    seed: int
    episode_return: float
    length: int
    success: bool | None
    terminated: bool
    truncated: bool
    seconds: float


@dataclass
class Slot:
    """One environment and the episode that runs in it now. Policies may read it, and change nothing."""

    env: gym.Env
    seed: int = -1
    observation: Any = None
    episode_return: float = 0.0
    length: int = 0
    success: bool = False
    seconds: float = 0.0


class Policy(Protocol):
    """What can be rolled out.

    A policy that needs the environment or the episode's seed (an expert; any random choice, which must come from the
    seed so that results do not depend on the number of slots) also has `attach(slots: Sequence[Slot]) -> None`. It is
    called once, before the first episode; `slots[index].seed` is up to date whenever `reset(index)` is called.
    """

    def reset(self, index: int) -> None:
        """A new episode starts in slot `index`; its environment has just been reset."""

    def act(self, observations: list[Any], active: list[int]) -> list[Any]:
        """One action per active slot, in the order of `active`, from the observations in the same order."""
        ...


OnStep = Callable[[Slot, Any, Any, float], None]
"""Called after each step as (slot, observation acted upon, action, reward); both are as they were at the step."""


def rollout(
    task: Task,
    policy: Policy,
    seeds: Sequence[int],
    *,
    slots: int,
    progress: Callable[[EpisodeResult], None] | None = None,
    on_step: OnStep | None = None,
) -> list[EpisodeResult]:
    """Plays one episode per seed and returns the results in the order of `seeds`.

    Args:
        task: what to play; its environments are made here and closed at the end.
        policy: see `Policy`.
        seeds: one per episode. A free slot takes the next seed that is left.
        slots: environments at once; more than there are seeds are not made.
        progress: called with each result as its episode ends, in order of ending.
        on_step: called after every step of every slot.

    Raises:
        ValueError: no slots, or a policy that returns a wrong number of actions.
        RuntimeError: an environment that did not end by the task's horizon.
    """
    if slots < 1:
        raise ValueError(
            f"a rollout needs at least 1 slot, got {slots}; give the number of environments to run at once"
        )
    results: dict[int, EpisodeResult] = {}
    with staying_here(), _open_slots(task, min(slots, len(seeds))) as opened:
        if (attach := getattr(policy, "attach", None)) is not None:
            attach(opened)
        waiting = iter(enumerate(seeds))
        playing: dict[int, int] = {}
        for index in range(len(opened)):
            _start(opened, index, policy, waiting, playing)
        while playing:
            active = list(playing)
            for index, ended in _step(task, opened, active, policy, on_step):
                results[playing.pop(index)] = ended
                if progress is not None:
                    progress(ended)
                _start(opened, index, policy, waiting, playing)
    return [results[number] for number in range(len(seeds))]


@contextmanager
def _open_slots(task: Task, count: int) -> Iterator[list[Slot]]:
    slots: list[Slot] = []
    try:
        for _ in range(count):
            slots.append(Slot(env=task.make()))
        yield slots
    finally:
        for slot in slots:
            slot.env.close()


def _start(
    slots: list[Slot], index: int, policy: Policy, waiting: Iterator[tuple[int, int]], playing: dict[int, int]
) -> None:
    """Starts the next waiting episode in slot `index`, if there is one."""
    number, seed = next(waiting, (None, None))
    if number is None or seed is None:
        return
    begin_episode(slots[index], seed)
    policy.reset(index)
    playing[index] = number


def begin_episode(slot: Slot, seed: int) -> None:
    """Resets the slot's environment with `seed` and its counters to zero."""
    started = time.perf_counter()
    observation, _ = slot.env.reset(seed=seed)
    slot.observation = own(observation)
    slot.seed, slot.episode_return, slot.length, slot.success = seed, 0.0, 0, False
    slot.seconds = time.perf_counter() - started


def step_slot(task: Task, slot: Slot, action: Any) -> tuple[float, EpisodeResult | None]:
    """Takes one step; returns its reward, and the result if the episode ended with it.

    Raises:
        ValueError: a reward that is not finite.
        RuntimeError: the episode went on after the task's horizon.
    """
    started = time.perf_counter()
    observation, reward, terminated, truncated, info = slot.env.step(own(action))
    slot.observation = own(observation)
    slot.seconds += time.perf_counter() - started
    reward = float(reward)
    if not math.isfinite(reward):
        raise ValueError(
            f"the reward of step {slot.length} is {reward} (seed {slot.seed}); the environment is at fault"
        )
    slot.episode_return += reward
    slot.length += 1
    slot.success = slot.success or bool(info.get("success", False))
    if not (terminated or truncated):
        if slot.length >= task.horizon:
            raise RuntimeError(
                f"{task.id} went on after its horizon of {task.horizon} steps (seed {slot.seed}); "
                "wrap the environment in gymnasium.wrappers.TimeLimit or raise the task's horizon"
            )
        return reward, None
    return reward, EpisodeResult(
        seed=slot.seed,
        episode_return=slot.episode_return,
        length=slot.length,
        success=slot.success if task.has_success else None,
        terminated=bool(terminated),
        truncated=bool(truncated),
        seconds=slot.seconds,
    )


def _step(
    task: Task, slots: list[Slot], active: list[int], policy: Policy, on_step: OnStep | None
) -> list[tuple[int, EpisodeResult]]:
    """One action in each active slot; returns the episodes that ended."""
    started = time.perf_counter()
    actions = policy.act([own(slots[index].observation) for index in active], active)
    share = (time.perf_counter() - started) / len(active)
    if len(actions) != len(active):
        raise ValueError(f"{type(policy).__name__}.act returned {len(actions)} actions for {len(active)} slots")
    ended = []
    for index, action in zip(active, actions, strict=True):
        slot = slots[index]
        slot.seconds += share
        before = slot.observation
        reward, result = step_slot(task, slot, action)
        if on_step is not None:
            on_step(slot, before, own(action), reward)
        if result is not None:
            ended.append((index, result))
    return ended


def scores(results: Sequence[EpisodeResult], kind: Literal["return", "success"]) -> np.ndarray:
    """The number that counts for a task, one per episode [E] float64: its return, or 1.0 for success and 0.0 without.

    Raises:
        ValueError: success asked of a task that reports none.
    """
    if kind == "return":
        return np.array([result.episode_return for result in results], np.float64)
    missing = [result.seed for result in results if result.success is None]
    if missing:
        raise ValueError(f"score is 'success' but the episodes of seeds {missing[:3]} report none; score by 'return'")
    return np.array([float(bool(result.success)) for result in results], np.float64)
