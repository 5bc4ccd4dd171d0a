"""Training a learned expert: SAC (Haarnoja et al. 2018) of Stable-Baselines3, and only its actor is kept.

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

from generalist.envs.experts.learned import SUFFIX, Actor, flattened, play, write_actor
from generalist.envs.reference import measure
from generalist.envs.seeds import selection_seed
from generalist.envs.task import Task, needs_extra
from generalist.envs.task_spaces import kinds

ALGORITHM = "SAC (Haarnoja et al. 2018)"
BUFFER = 300_000
"""Steps that are remembered."""

WARM_UP = 5_000
"""Steps of uniformly random actions before the first update; a tenth of a shorter training."""

ROUND = 64
"""Steps that are walked before their updates are made."""

REPORTED = 16 * ROUND
"""Steps between two reports of progress."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train.

    Args:
        steps: steps of the environment.
        seed: of the networks, the random actions and the first reset.
        updates: per step of the environment, after the warm-up.
        batch: remembered steps that an update is made on.
        learning_rate: Adam's, of actor, critics and temperature.
        discount: per step.
        averaging: share of the critics that their slow copies take at each update (tau).
        actor, critic: hidden sizes. Two critics are trained, and none is kept.
        every: steps between two evaluations.
        episodes: of an evaluation, by the mean return of which the best actor is chosen. With few of them one that
            falls now and then is taken for one that never does.
    """

    steps: int
    seed: int = 0
    updates: float = 1.0
    batch: int = 256
    learning_rate: float = 3e-4
    discount: float = 0.99
    averaging: float = 0.005
    actor: tuple[int, ...] = (64, 64)
    critic: tuple[int, ...] = (128, 128)
    every: int = 10_000
    episodes: int = 10

    def __post_init__(self):
        for name in ("steps", "batch", "every", "episodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")
        if not 1 / ROUND <= self.updates <= ROUND:
            raise ValueError(f"updates must be at least 1/{ROUND} and at most {ROUND} a step, got {self.updates}")
        for name in ("learning_rate", "discount", "averaging"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, got {getattr(self, name)}")
        for name in ("actor", "critic"):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise ValueError(f"{name} must be hidden sizes of at least 1, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Steps that were walked; the last evaluation's mean return and the best one's, None before the first."""

    steps: int
    last: float | None = None
    best: float | None = None


def train_sac(
    task: Task,
    settings: Settings,
    out: str | os.PathLike,
    *,
    overwrite: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Train on a task, and keep the best actor so far in the file `out`, which is whole at any time.

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
        from stable_baselines3 import SAC  # noqa: F401
    path = _checked_path(out, overwrite)
    env = task.make()
    try:
        _check_spaces(task, env)
        with _one_thread():
            return _train(task, settings, path, _flat(env), report)
    finally:
        env.close()


def _train(task: Task, settings: Settings, path: Path, env: gym.Env, report: Callable[[Progress], None]) -> Progress:
    model, progress = _model(env, settings), Progress(steps=0)
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
    actor = actor_of(model, {})
    acting = replace(task, expert=lambda env: play(actor, env.observation_space))
    scores = measure(acting, "expert", settings.episodes, seed_of=selection_seed)
    if progress.best is not None and scores.mean <= progress.best:
        return replace(progress, last=scores.mean)
    provenance = {
        "task": task.id,
        "algorithm": ALGORITHM,
        "settings": asdict(settings),
        "steps": progress.steps,
        "selected_at": {"mean": scores.mean, "std": scores.std, "episodes": scores.episodes},
        "versions": scores.versions | {name: version(name) for name in ("stable-baselines3", "torch")},
    }
    write_actor(path, replace(actor, provenance=provenance))
    return replace(progress, last=scores.mean, best=scores.mean)


def actor_of(model: Any, provenance: dict[str, Any]) -> Actor:
    """The deterministic actor of a `stable_baselines3.SAC` with the policy "MlpPolicy", as arrays."""
    from torch.nn import Linear

    network = model.policy.actor
    linear = [layer for layer in (*network.latent_pi, network.mu) if isinstance(layer, Linear)]
    layers = tuple((_array(layer.weight).T, _array(layer.bias)) for layer in linear)
    box = model.action_space
    return Actor(layers, box.low.astype(np.float32), box.high.astype(np.float32), provenance)


def _model(env: gym.Env, settings: Settings) -> Any:
    from stable_baselines3 import SAC
    from stable_baselines3.common.logger import Logger

    model = SAC(
        "MlpPolicy",
        env,
        learning_rate=settings.learning_rate,
        buffer_size=min(BUFFER, settings.steps + ROUND),
        learning_starts=min(WARM_UP, settings.steps // 10),
        batch_size=settings.batch,
        tau=settings.averaging,
        gamma=settings.discount,
        train_freq=ROUND,
        gradient_steps=round(settings.updates * ROUND),
        policy_kwargs={
            "net_arch": {"pi": list(settings.actor), "qf": list(settings.critic)},
            "optimizer_kwargs": {"fused": True},  # a sixth faster on a CPU
        },
        seed=settings.seed,
        device="cpu",  # networks this small lose more by copying than an accelerator gains
    )
    model.set_logger(Logger(folder=None, output_formats=[]))  # its own makes a folder of temporary files and leaves it
    return model


def _array(parameter: Any) -> np.ndarray:
    return parameter.detach().cpu().numpy().copy()


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
    if not isinstance(actions, spaces.Box) or actions.dtype.kind != "f":
        raise ValueError(f"{task.id} has actions of {actions}: SAC needs a Box of floats")
    if not (np.isfinite(actions.low).all() and np.isfinite(actions.high).all()):
        raise ValueError(f"{task.id} has unbounded actions, {actions}: SAC needs finite bounds")
    strange = {"image", "text"} & kinds(observations)
    if strange or not observations.is_np_flattenable:
        what = " and ".join(sorted(strange)) or "parts of no fixed size"
        raise ValueError(f"{task.id} shows {what}, {observations}: the actor needs a state of numbers")
