"""Small demonstrations, a small configuration and a small trained run, made once per test process."""

import atexit
import functools
import json
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from generalist.agent.config import AgentConfig
from generalist.demonstrations.collect import collect
from generalist.tokenizers.layout import LayoutOptions
from generalist.tokenizers.vocabulary import Vocabulary
from generalist.train.config import MeshConfig, OptimizerConfig, PromptConfig, SourceConfig, TrainConfig
from generalist.train.loop import train
from generalist.train.metrics import TIMINGS
from generalist.train.start import Start

TASKS = ("CartPole-v1", "FrozenLake8x8-v1")
CONFIG = TrainConfig(
    sources=(
        SourceConfig(task=TASKS[0], layout=LayoutOptions(continuous="vector", past_actions="hidden", context=2)),
        SourceConfig(task=TASKS[1], weight=2.0),
    ),
    agent=AgentConfig(width=16, layers=1, heads=2, head_size=8, feedforward=32, window=32, vector_hidden=16),
    vocabulary=Vocabulary(bins=32, discrete_size=128),
    prompt=PromptConfig(fraction=0.5),
    optimizer=OptimizerConfig(learning_rate=1e-2, warmup_steps=2, decay_steps=0),
    mesh=MeshConfig(data=1),
    sequence_length=32,
    batch_size=4,
    steps=6,
    held_out=0.1,
    evaluate_every=4,
    held_out_batches=2,
    return_filter=0.0,
    log_every=2,
    checkpoint_every=3,
)


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tiny-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def demonstrations() -> Path:
    """Ten episodes of random play of each task."""
    data = _folder() / "data"
    collect(TASKS, data, seed=0, episodes=10, policy="random", workers=0, quiet=True)
    return data


@functools.cache
def trained() -> Path:
    """A finished run of `CONFIG`; not to be changed."""
    run = _folder() / "run"
    train(CONFIG, demonstrations(), run, quiet=True)
    return run


def train_here(
    directory: Path,
    *,
    start: Start | None = None,
    config: TrainConfig = CONFIG,
    workers: int | None = None,
    **changes: Any,
) -> Path:
    """Train a variation of `CONFIG` into `directory`."""
    train(replace(config, **changes), demonstrations(), directory, start=start, quiet=True, workers=workers)
    return directory


def metrics_of(run: Path) -> list[dict[str, Any]]:
    """Lines of metrics.jsonl without what depends on the machine."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMINGS} for line in lines]


_COMPILED: list[str] = []


@functools.cache
def _listen() -> None:
    def note(event: str, duration: float, **_: Any) -> None:
        if "backend_compile" in event:
            _COMPILED.append(event)

    jax.monitoring.register_event_duration_secs_listener(note)


@contextmanager
def compilations():
    """Inside, the list that it gives grows by one with every compilation."""
    _listen()
    found: list[str] = []
    before = len(_COMPILED)
    yield found
    found += _COMPILED[before:]


def leaves_of(tree: Any) -> Sequence[Any]:
    return jax.device_get(jax.tree.leaves(tree))
