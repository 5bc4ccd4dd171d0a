"""Recording: one policy acts in one environment, and what happened becomes an `Episode`.

The environment is stepped in a plain loop: nothing resets it behind our back, and no step is a dummy one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.demonstrations.checks import check_episode
from generalist.demonstrations.episode import Episode, EpisodeMetadata
from generalist.demonstrations.rlds import stack_leaf
from generalist.envs.experts.learned import SUFFIX, file_policy
from generalist.envs.modules import import_from_here
from generalist.envs.spaces import UNCHANGING, Path, build_value, is_text, own, path_name, space_leaves, value_at
from generalist.envs.task import ActionFunction, Task

PolicyFactory = Callable[[gym.Env], ActionFunction]
"""Called once per episode right after `env.reset`; gives the function observation -> action of that episode."""

POLICIES = f"'random' or 'module:function', or a learned expert's file, '<name>{SUFFIX}'"
NOISE_STREAM = 1
"""Separates the random numbers of the action noise from other uses of an episode's seed."""


def random_policy(env: gym.Env) -> ActionFunction:
    """Uniformly random actions from the environment's action space, which the recorder seeds for each episode."""
    return lambda observation: env.action_space.sample()


def find_policy(task: Task, policy: str | PolicyFactory | None) -> tuple[str, PolicyFactory]:
    """Name and factory of who acts: None is the task's expert, "random", "module:function" of a `PolicyFactory`, or
    "<name>.npz", a learned expert's file (`generalist.envs.experts.learned`).

    A module is looked for as usual and then in the working directory.

    Raises:
        ValueError: the task has no expert, the function cannot be imported, or the file cannot be played.
    """
    if policy is None:
        if task.expert is None:
            raise ValueError(f"{task.id} has no expert: give a policy (--policy): {POLICIES}")
        return "expert", task.expert
    if policy == "random":
        return "random", random_policy
    if callable(policy):
        return _function_name(policy), policy
    if policy.endswith(SUFFIX):
        return file_policy(policy)
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
        ValueError: an observation or action outside what its space can hold, or NaN, with its key and step (see
            `generalist.demonstrations.checks`); a reward that is not finite, an episode longer than the task's horizon,
            a missing `info["success"]`.
    """
    observation, info = env.reset(seed=seed)
    env.action_space.seed(seed)
    act, legal = factory(env), legal_actions(env.action_space)
    noisy = action_noise(env.action_space, noise, np.random.default_rng([seed, NOISE_STREAM])) if noise else None
    observations, actions, rewards = _Rows(env.observation_space), _Rows(env.action_space), []
    success = False if task.has_success else None
    terminated = truncated = False
    observations.append(observation)
    while not (terminated or truncated):
        if len(rewards) == task.horizon:
            raise ValueError(f"the episode of seed {seed} is longer than the task's horizon, {task.horizon} steps")
        action = legal(act(own(observation)))
        actions.append(action)
        observation, reward, terminated, truncated, info = env.step(noisy(action) if noisy else action)
        observations.append(observation)
        rewards.append(float(reward))
        success = success if success is None else success or _success(info)
    with np.errstate(over="ignore"):
        stored = np.array(rewards, np.float32)
    if (wrong := np.flatnonzero(~np.isfinite(stored))).size:
        said = f"the episode of seed {seed} has a reward that is not finite as float32"
        raise ValueError(f"{said}: {rewards[wrong[0]]} at step {wrong[0]}")
    episode = Episode(
        observations=observations.stacked("observation"),
        actions=actions.stacked("action"),
        rewards=stored,
        terminated=bool(terminated),
        truncated=bool(truncated),
        metadata=EpisodeMetadata(
            task_id=task.id, seed=seed, episode_return=math.fsum(rewards), success=success, expert=name, noise=noise
        ),
    )
    try:
        check_episode(episode, env.observation_space, env.action_space)
    except ValueError as cause:
        raise ValueError(f"the episode of seed {seed} has {cause}: the environment or the policy is at fault") from None
    return episode


def legal_actions(space: gym.Space) -> Callable[[Any], Any]:
    """What turns a policy's action into one of `space`, or raises ValueError: Box values are clipped, others checked.

    Made once an episode, because looking at the space takes longer than a step of a small environment.
    """
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        return _at_leaves(space, legal_actions)
    if isinstance(space, spaces.Box):
        return functools.partial(_clipped, space, space.low, space.high)
    if isinstance(space, spaces.Discrete):
        return functools.partial(_checked_integer, space, range(int(space.start), int(space.start + space.n)))
    return functools.partial(_checked, space)


def _at_leaves(space: gym.Space, of_leaf: Callable[[gym.Space], Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """A function of nested values that applies each leaf's own."""
    functions = [(path, of_leaf(leaf)) for path, leaf in space_leaves(space)]
    return lambda value: build_value(space, (function(value_at(value, path)) for path, function in functions))


def _clipped(space: spaces.Box, low: np.ndarray, high: np.ndarray, action: Any) -> np.ndarray:
    values = np.asarray(action)
    if values.shape != low.shape or math.isnan(np.vdot(values, values)):  # squares: infinities do not cancel
        raise ValueError(f"the policy gave the action {action!r}, need {space} without NaN")
    return np.minimum(np.maximum(values, low), high).astype(low.dtype, copy=False)


def _checked_integer(space: spaces.Discrete, allowed: range, action: Any) -> int:
    if type(action) is not int:
        if np.ndim(action) or not isinstance(np.asarray(action).item(), int):
            raise ValueError(f"the policy gave the action {action!r}, need an integer in {space}")
        action = int(action)
    if action not in allowed:
        raise ValueError(f"the policy gave the action {action!r}, which is not in {space}")
    return action


def _checked(space: gym.Space, action: Any) -> Any:
    if isinstance(space, (spaces.MultiDiscrete, spaces.MultiBinary)):
        action = np.array(action, space.dtype)
    if not space.contains(action):
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


def action_noise(space: gym.Space, noise: float, rng: np.random.Generator) -> Callable[[Any], Any]:
    """What adds noise to an action of `space` (see `Task.noise`) and gives one inside it; drawn from `rng`."""
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        return _at_leaves(space, lambda leaf: action_noise(leaf, noise, rng))
    if isinstance(space, spaces.Box):
        deviation = noise * (space.high.astype(np.float64) - space.low) / 2
        return functools.partial(_shaken, space, deviation, rng)
    return functools.partial(_replaced, space, noise, rng)


def _shaken(space: spaces.Box, deviation: np.ndarray, rng: np.random.Generator, action: np.ndarray) -> np.ndarray:
    values = action + deviation * rng.standard_normal(space.shape)
    values = values if space.dtype.kind == "f" else np.round(values)
    return np.minimum(np.maximum(values, space.low), space.high).astype(space.dtype)


def _replaced(space: gym.Space, noise: float, rng: np.random.Generator, action: Any) -> Any:
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
        self._leaves: list[tuple[Path, gym.Space, list]] = [(path, leaf, []) for path, leaf in space_leaves(space)]

    def append(self, value: Any) -> None:
        for path, _, rows in self._leaves:
            rows.append(_kept(value_at(value, path)))

    def stacked(self, part: str) -> Any:
        return build_value(
            self._space, iter([self._stack(part, path, leaf, rows) for path, leaf, rows in self._leaves])
        )

    def _stack(self, part: str, path: Path, leaf: gym.Space, rows: list) -> np.ndarray:
        try:
            return stack_leaf(leaf, rows)
        except ValueError as cause:
            raise ValueError(f"{part}{path_name(path)}: {cause}") from cause


def _kept(value: Any) -> Any:
    """The value as it is now: arrays, also those of other libraries, can change later."""
    return value if isinstance(value, UNCHANGING) else np.array(value)


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
        raise ValueError(f"policy must be {POLICIES}, got {policy!r}")
    try:
        found: PolicyFactory = getattr(import_from_here(module), function)
    except (ImportError, AttributeError) as cause:
        raise ValueError(f"cannot import the policy {policy!r}: {type(cause).__name__}: {cause}") from cause
    if not callable(found):
        raise ValueError(f"policy {policy!r} is not a function: need function(env) -> (observation -> action)")
    return found
