"""Recording: one policy acts in one environment, and what happened becomes an `Episode`.

The environment is stepped in a plain loop: nothing resets it behind our back, and no step is a dummy one.
"""

from __future__ import annotations

import functools
import importlib
import math
import os
import sys
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.envs.episode import Episode, EpisodeMetadata
from generalist.envs.rlds import stack_leaf
from generalist.envs.spaces import Path, build_value, is_text, map_leaves, path_name, space_leaves, value_at
from generalist.envs.task import ActionFunction, Task

PolicyFactory = Callable[[gym.Env], ActionFunction]
"""Called once per episode right after `env.reset`; gives the function observation -> action of that episode."""

NOISE_STREAM = 1
"""Separates the random numbers of the action noise from other uses of an episode's seed."""


def random_policy(env: gym.Env) -> ActionFunction:
    """Uniformly random actions from the environment's action space, which the recorder seeds for each episode."""
    return lambda observation: env.action_space.sample()


def find_policy(task: Task, policy: str | PolicyFactory | None) -> tuple[str, PolicyFactory]:
    """Name and factory of who acts: None is the task's expert, "random", or "module:function" of a `PolicyFactory`.

    A module is looked for as usual and then in the working directory.

    Raises:
        ValueError: the task has no expert, or the function cannot be imported.
    """
    if policy is None:
        if task.expert is None:
            raise ValueError(f"{task.id} has no expert: give a policy, 'random' or 'module:function' (--policy)")
        return "expert", task.expert
    if policy == "random":
        return "random", random_policy
    if callable(policy):
        return _function_name(policy), policy
    return policy, _import_policy(policy)


def record_episode(
    env: gym.Env, task: Task, factory: PolicyFactory, *, seed: int, noise: float = 0.0, name: str = "expert"
) -> Episode:
    """Play one episode.

    The environment executes the policy's action with noise; the action without noise is what is recorded. Box actions
    are clipped to their space first, as most environments do themselves.

    Args:
        env: of this task; it is reset here with `seed`, which also seeds the noise and `env.action_space`.
        noise: see `Task.noise`. In MultiDiscrete and MultiBinary actions each component is replaced on its own.
        name: who acts, for the metadata.

    Raises:
        ValueError: an observation or action outside what its space can hold, a reward that is not finite, an episode
            longer than the task's horizon, a missing `info["success"]`.
    """
    observation, info = env.reset(seed=seed)
    env.action_space.seed(seed)
    act = factory(env)
    rng = np.random.default_rng([seed, NOISE_STREAM])
    observations, actions, rewards = _Rows(env.observation_space), _Rows(env.action_space), []
    success = False if task.has_success else None
    terminated = truncated = False
    observations.append(observation)
    while not (terminated or truncated):
        if len(rewards) == task.horizon:
            raise ValueError(f"the episode of seed {seed} is longer than the task's horizon, {task.horizon} steps")
        action = map_leaves(legal_action, env.action_space, act(observation))
        actions.append(action)
        if noise:
            action = map_leaves(lambda leaf, value: noisy_action(leaf, value, noise, rng), env.action_space, action)
        observation, reward, terminated, truncated, info = env.step(action)
        observations.append(observation)
        rewards.append(float(reward))
        success = success if success is None else success or _success(info)
    if not all(map(math.isfinite, rewards)):
        raise ValueError(f"the episode of seed {seed} has a reward that is not finite")
    return Episode(
        observations=observations.stacked("observation"),
        actions=actions.stacked("action"),
        rewards=np.array(rewards, np.float32),
        terminated=bool(terminated),
        truncated=bool(truncated),
        metadata=EpisodeMetadata(
            task_id=task.id, seed=seed, episode_return=math.fsum(rewards), success=success, expert=name, noise=noise
        ),
    )


def legal_action(space: gym.Space, action: Any) -> Any:
    """A leaf action as its space has it: Box values clipped, everything else checked. Raises ValueError."""
    if isinstance(space, spaces.Box):
        values = np.asarray(action)
        if values.shape != space.shape or np.isnan(values).any():
            raise ValueError(f"the policy gave the action {action!r}, need {space} without NaN")
        return np.clip(values, space.low, space.high).astype(space.dtype)
    if isinstance(space, spaces.Discrete):  # not by `contains`, which takes longer than a step of a small environment
        if np.ndim(action) or not isinstance(np.asarray(action).item(), int):
            raise ValueError(f"the policy gave the action {action!r}, need an integer in {space}")
        action = int(action)
        if 0 <= action - int(space.start) < int(space.n):
            return action
    elif isinstance(space, (spaces.MultiDiscrete, spaces.MultiBinary)):
        action = np.array(action, space.dtype)
    if isinstance(space, spaces.Discrete) or not space.contains(action):
        raise ValueError(f"the policy gave the action {action!r}, which is not in {space}")
    return action


def check_noise(space: gym.Space, noise: float) -> None:
    """Raises ValueError if `noise` is no share or deviation, or `space` has a leaf for which noise has no meaning."""
    if not (noise >= 0 and math.isfinite(noise)):
        raise ValueError(f"noise must be finite and at least 0, got {noise}")
    for path, leaf in space_leaves(space) if noise else ():
        if isinstance(leaf, spaces.Box):
            if not (np.isfinite(leaf.low).all() and np.isfinite(leaf.high).all()):
                raise ValueError(
                    f"noise is in units of half the action range, and {leaf}{path_name(path)} is unbounded"
                )
        elif is_text(leaf):
            raise ValueError("there is no noise for text actions: use noise 0")
        elif noise > 1:
            raise ValueError(f"noise for {leaf}{path_name(path)} is a probability, got {noise}")


def noisy_action(space: gym.Space, action: Any, noise: float, rng: np.random.Generator) -> Any:
    """A leaf action with noise (see `Task.noise`), inside its space."""
    if isinstance(space, spaces.Box):
        half_range = (space.high.astype(np.float64) - space.low) / 2
        values = action + noise * half_range * rng.standard_normal(space.shape)
        values = values if space.dtype.kind == "f" else np.round(values)
        return np.clip(values, space.low, space.high).astype(space.dtype)
    replaced = rng.random(np.shape(action)) < noise
    if isinstance(space, spaces.Discrete):
        return int(space.start) + int(rng.integers(space.n)) if replaced else action
    if isinstance(space, spaces.MultiBinary):
        return np.where(replaced, rng.integers(2, size=space.shape), action).astype(space.dtype)
    if isinstance(space, spaces.MultiDiscrete):
        return np.where(replaced, space.start + rng.integers(space.nvec), action).astype(space.dtype)
    raise ValueError(f"there is no noise for actions of {space}: use noise 0")


class _Rows:
    """Copies of the leaves of nested values, one row per step: environments may reuse their arrays."""

    def __init__(self, space: gym.Space):
        self._space = space
        self._leaves: list[tuple[Path, gym.Space, bool, list]] = [
            (path, leaf, is_text(leaf), []) for path, leaf in space_leaves(space)
        ]

    def append(self, value: Any) -> None:
        for path, _, text, rows in self._leaves:
            leaf_value = value_at(value, path)
            rows.append(leaf_value if text else np.array(leaf_value))

    def stacked(self, part: str) -> Any:
        return build_value(
            self._space, iter([self._stack(part, path, leaf, rows) for path, leaf, _, rows in self._leaves])
        )

    def _stack(self, part: str, path: Path, leaf: gym.Space, rows: list) -> np.ndarray:
        try:
            return stack_leaf(leaf, rows)
        except ValueError as cause:
            raise ValueError(f"{part}{path_name(path)}: {cause}") from cause


def _success(info: dict[str, Any]) -> bool:
    if "success" not in info:
        raise ValueError("the task has has_success=True, but a step's info has no 'success'")
    return bool(info["success"])


def _function_name(policy: PolicyFactory) -> str:
    if isinstance(policy, functools.partial):
        return f"{_function_name(policy.func)}{policy.args} {policy.keywords}"
    named = policy if hasattr(policy, "__qualname__") else type(policy)
    return f"{named.__module__}:{named.__qualname__}"


def _import_policy(policy: str) -> PolicyFactory:
    module, separator, function = policy.partition(":")
    if not (separator and module and function):
        raise ValueError(f"policy must be 'random' or 'module:function', got {policy!r}")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found: PolicyFactory = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as cause:
        raise ValueError(f"cannot import the policy {policy!r}: {type(cause).__name__}: {cause}") from cause
    if not callable(found):
        raise ValueError(f"policy {policy!r} is not a function: need function(env) -> (observation -> action)")
    return found
