"""Training a learned expert: SAC or PPO of Stable-Baselines3, by the task's actions, and only its actor is kept.

The library trains; what is written is a file of arrays that `generalist.envs.experts.learned` plays without it. Actors
are compared on the selection seeds, which are neither a demonstration's nor an evaluation's.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TransformObservation

from generalist.envs.experts import ppo, sac
from generalist.envs.experts.learned import SUFFIX, flattened, play, write_actor
from generalist.envs.experts.settings import Settings
from generalist.envs.reference import measure
from generalist.envs.seeds import selection_seed
from generalist.envs.task import Task, needs_extra
from generalist.envs.task_spaces import kinds

REPORTED = 1024
"""Steps between two reports of progress."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Steps that were walked; the last evaluation's mean return and the best one's, None before the first."""

    steps: int
    last: float | None = None
    best: float | None = None


def train_expert(
    task: Task,
    settings: Settings,
    out: str | os.PathLike,
    *,
    overwrite: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Train on a task, by SAC if its actions are a box and by PPO if they are numbered, and keep the best actor so far
    in the file `out`, which is whole at any time.

    An episode that is truncated is not taken for one that ended: what would have followed is still counted on. Ctrl-C
    ends the training early; what it gives then has fewer steps.

    Args:
        out: "<name>.npz" in a folder that exists.
        report: called about once a thousand steps.

    Raises:
        MissingExtra: Stable-Baselines3 is not installed.
        ValueError: settings, a file or a task that cannot be used; before anything is trained.
        KeyboardInterrupt: Ctrl-C before the first evaluation; nothing was written.
    """
    with needs_extra("sac"):
        import stable_baselines3  # noqa: F401
    path = _checked_path(out, overwrite)
    env = task.make()
    try:
        _check_spaces(task, env)
        with _one_thread():
            return _train(task, settings, path, _flat(env), report)
    finally:
        env.close()


def _train(task: Task, settings: Settings, path: Path, env: gym.Env, report: Callable[[Progress], None]) -> Progress:
    model, progress = new_model(env, settings), Progress(steps=0)
    try:
        while progress.steps < settings.steps:
            until = min(progress.steps // REPORTED * REPORTED + REPORTED, settings.steps)
            model.learn(until - progress.steps, reset_num_timesteps=False)
            before, progress = progress.steps, replace(progress, steps=model.num_timesteps)
            over = progress.steps >= settings.steps
            if over or progress.steps // settings.every > before // settings.every:
                progress = _keep_best(task, settings, path, model, progress)
            report(progress)
    except KeyboardInterrupt:
        if progress.best is None:
            raise
    return progress


def _keep_best(task: Task, settings: Settings, path: Path, model: Any, progress: Progress) -> Progress:
    """Evaluate the actor as it is now, and write it if there was no better one."""
    algorithm = algorithm_for(model.action_space)
    actor = algorithm.actor_of(model, {})
    acting = replace(task, expert=lambda env: play(actor, env.observation_space))
    scores = measure(acting, "expert", settings.episodes, seed_of=selection_seed)
    if progress.best is not None and scores.mean <= progress.best:
        return replace(progress, last=scores.mean)
    provenance = {
        "task": task.id,
        "algorithm": algorithm.ALGORITHM,
        "settings": asdict(settings),
        "steps": progress.steps,
        "selected_at": {"mean": scores.mean, "std": scores.std, "episodes": scores.episodes},
        "versions": scores.versions | {name: version(name) for name in ("stable-baselines3", "torch")},
    }
    write_actor(path, replace(actor, provenance=provenance))
    return replace(progress, last=scores.mean, best=scores.mean)


def algorithm_for(actions: gym.Space) -> Any:
    """The module of the algorithm that learns such actions."""
    return ppo if isinstance(actions, spaces.Discrete) else sac


def new_model(env: gym.Env, settings: Settings) -> Any:
    """An untrained model of the library, for observations that are one vector."""
    from stable_baselines3.common.logger import Logger

    model = algorithm_for(env.action_space).new_model(env, settings)
    model.set_logger(Logger(folder=None, output_formats=[]))  # its own makes a folder of temporary files and leaves it
    return model


def _flat(env: gym.Env) -> gym.Env:
    """Observations as one float32 vector, which is also what the actor of the file is given."""
    space = env.observation_space
    box = spaces.Box(-np.inf, np.inf, (spaces.flatdim(space),))
    return TransformObservation(env, lambda value: flattened(space, value), box)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """PyTorch on one thread: for networks this small more of them are slower."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _checked_path(out: str | os.PathLike, overwrite: bool) -> Path:
    path = Path(out)
    if path.suffix != SUFFIX:
        raise ValueError(f"the actor's file must end in {SUFFIX}, got {path}")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent} for {path.name}: make it, or name another")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} is there already: name another file, or replace it with --overwrite")
    return path


def _check_spaces(task: Task, env: gym.Env) -> None:
    actions, observations = env.action_space, env.observation_space
    if not isinstance(actions, spaces.Discrete) and not (isinstance(actions, spaces.Box) and actions.dtype.kind == "f"):
        raise ValueError(f"{task.id} has actions of {actions}: SAC needs a Box of floats, PPO a Discrete")
    if isinstance(actions, spaces.Box) and not (np.isfinite(actions.low).all() and np.isfinite(actions.high).all()):
        raise ValueError(f"{task.id} has unbounded actions, {actions}: SAC needs finite bounds")
    strange = {"image", "text"} & kinds(observations)
    if strange or not observations.is_np_flattenable:
        what = " and ".join(sorted(strange)) or "parts of no fixed size"
        raise ValueError(f"{task.id} shows {what}, {observations}: the actor needs a state of numbers")
