"""Policies that learn nothing, which say what a score is worth.

`RandomPolicy` and `ExpertPolicy` are the ends of the scale. `best_constant` looks for the best single action: on some
tasks it alone nearly reaches the expert by the usual normalisation. The fitted baselines are in `fitted.py`.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from generalist.envs.task import Task
from generalist.eval.baselines.actions import ActionColumns, Columns, action_columns
from generalist.play.rollout import Slot, rollout, scores


class RandomPolicy:
    """Uniformly random actions (`space.sample()`), drawn from the episode's seed."""

    def attach(self, slots: Sequence[Slot]) -> None:
        self._slots = slots
        self._spaces = [_own_space(slot.env) for slot in slots]

    def reset(self, index: int) -> None:
        # Not the bare seed: the environment draws its initial state from that.
        own = np.random.SeedSequence([self._slots[index].seed, 0x52616E64])
        self._spaces[index].seed(int(own.generate_state(1)[0]) & 0x7FFFFFFF)

    def act(self, observations: list[Any], active: list[int]) -> list[Any]:
        return [self._spaces[index].sample() for index in active]


def _own_space(env: gym.Env) -> gym.Space:
    return copy.deepcopy(env.action_space)


class ExpertPolicy:
    """The task's expert, made anew for every episode after its reset.

    Raises:
        ValueError: the task has no expert.
    """

    def __init__(self, task: Task):
        if task.expert is None:
            raise ValueError(f"{task.id} has no expert; evaluate it without one")
        self._expert = task.expert

    def attach(self, slots: Sequence[Slot]) -> None:
        self._slots = slots
        self._actions: dict[int, Callable[[Any], Any]] = {}

    def reset(self, index: int) -> None:
        self._actions[index] = self._expert(self._slots[index].env)

    def act(self, observations: list[Any], active: list[int]) -> list[Any]:
        return [self._actions[index](one) for index, one in zip(active, observations, strict=True)]


@dataclass(frozen=True)
class ConstantPolicy:
    """The same action at every step; `name` says where it comes from."""

    name: str
    action: Any

    def reset(self, index: int) -> None: ...

    def act(self, observations: list[Any], active: list[int]) -> list[Any]:
        return [self.action] * len(active)


def constant_candidates(space: gym.Space, actions: Any) -> list[ConstantPolicy]:
    """Single actions worth trying, without repeats.

    A single `Discrete` or `Text`: every action, or the 32 commonest of the demonstrations. Otherwise zero, the middle
    of the bounds, the lowest and highest values, mean and median of the demonstrations, and all corners of up to two
    numbers; classes are the commonest of the demonstrations, and the eight commonest joint choices are tried too.

    Args:
        actions: the demonstrations' actions, a tree of arrays with a leading axis N.
    """
    columns = action_columns(space, actions)
    shown = columns.encode(actions)
    if not len(columns.low):
        return _class_candidates(columns, shown)
    joint = _commonest(shown.classes)
    common = joint[0]
    low = np.where(np.isfinite(columns.low), columns.low, shown.numbers.min(axis=0))
    high = np.where(np.isfinite(columns.high), columns.high, shown.numbers.max(axis=0))
    mean = shown.numbers.mean(axis=0)
    rows = [
        ("zero", np.zeros_like(low), common),
        ("middle of the range", (low + high) / 2, common),
        ("mean of the demonstrations", mean, common),
        ("median of the demonstrations", np.median(shown.numbers, axis=0), common),
        ("lowest", low, common),
        ("highest", high, common),
    ]
    if len(low) == 2:
        rows += [("corner", np.array([low[0], high[1]]), common), ("corner", np.array([high[0], low[1]]), common)]
    rows += [("mean, with a common choice", mean, classes) for classes in joint[1:]]
    return _distinct(columns, rows)


def _class_candidates(columns: ActionColumns, shown: Columns) -> list[ConstantPolicy]:
    none = np.zeros(0)
    if len(columns.sizes) == 1:
        if columns.sizes[0] <= 32:
            return _distinct(columns, [("each action", none, np.array([index])) for index in range(columns.sizes[0])])
        return _distinct(columns, [("a common action", none, row) for row in _commonest(shown.classes, 32)])
    each = np.array([np.bincount(column).argmax() for column in shown.classes.T])
    rows = [("commonest of each part", none, each)]
    return _distinct(columns, rows + [("a common choice", none, row) for row in _commonest(shown.classes)])


def _commonest(classes: np.ndarray, count: int = 8) -> np.ndarray:
    """The commonest rows of `classes` [N, K], best first, [at most count, K]."""
    rows, counts = np.unique(classes, axis=0, return_counts=True)
    return rows[np.argsort(-counts, kind="stable")[:count]]


def _distinct(columns: ActionColumns, rows: list[tuple[str, np.ndarray, np.ndarray]]) -> list[ConstantPolicy]:
    found: dict[bytes, ConstantPolicy] = {}
    for name, numbers, classes in rows:
        [action] = columns.decode(Columns(numbers[None], classes[None]))
        inside = np.clip(numbers, columns.low, columns.high)
        found.setdefault(inside.tobytes() + classes.astype(np.int64).tobytes(), ConstantPolicy(name, action))
    return list(found.values())


def best_constant(
    task: Task, candidates: Sequence[ConstantPolicy], seeds: Sequence[int], *, slots: int = 4
) -> ConstantPolicy:
    """The candidate with the best mean score on `seeds` (selection seeds: never those it is reported on).

    A few seeds do; equal scores are decided by the mean return, then by the order of the candidates. By successive
    halving (Jamieson and Talwalkar 2016): all play the first seed, the better half as many again, and so on, so that
    most episodes are spent on those of which one will be chosen.
    """
    if not candidates or not len(seeds):
        raise ValueError(f"{task.id}: choosing a constant action needs candidates and seeds, got {len(candidates)}")
    left, played = list(range(len(candidates))), [[] for _ in candidates]

    def quality(number: int) -> tuple[float, float]:
        results = played[number]
        return float(scores(results, task.score).mean()), float(scores(results, "return").mean())

    done = 0
    while done < len(seeds):
        left = sorted(sorted(left, key=quality, reverse=True)[: -(-len(left) // 2)]) if done else left
        now = seeds[done : max(1, 2 * done)]
        for number in left:
            played[number] += rollout(task, candidates[number], now, slots=slots)
        done += len(now)
    return candidates[max(left, key=quality)]
