"""A bit flipped in a file, and everything that is believed of a run and of a data set, to be compared."""

import pickle
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cattrs
import jax
import numpy as np

from generalist.agent.sharding import make_mesh, use_mesh
from generalist.demonstrations.storage import Demonstrations
from generalist.envs.table import find_task
from generalist.eval.config import evaluation_of
from generalist.eval.parts import Parts
from generalist.eval.report.record import load_report
from generalist.train.metrics import read_metrics
from generalist.train.run import read_run
from generalist.train.sources import input_sizes, layout_to_json, open_mixture
from generalist.train.step import abstract_state
from generalist.train.streams import open_stream

FOR_PEOPLE = ("tensorboard/", "report.html", "damaged.json", "dataset_info.json", "features.json", ".lock")
"""What we write and never read: TensorBoard's, the page, the list of damaged documents, TFDS's descriptions."""


@contextmanager
def flipped(path: Path, at: int, bit: int) -> Iterator[None]:
    def flip() -> None:
        with path.open("r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1 << bit]))

    flip()
    try:
        yield
    finally:
        flip()


def believed_files(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    return sorted(path for path in found if not any(name in path.as_posix() for name in FOR_PEOPLE))


def silent_flips(folder: Path, read: Callable[[], Any], count: int, seed: int) -> tuple[dict[str, int], list[str]]:
    """Flip `count` bits, one at a time: how many were refused, and changed nothing; and those that were not noticed."""
    rng, good, files = random.Random(seed), pickle.dumps(read()), believed_files(folder)
    counts, silent = {"refused": 0, "without effect": 0}, []
    for _ in range(count):
        path = rng.choice(files)
        at, bit = rng.randrange(path.stat().st_size), rng.randrange(8)
        with flipped(path, at, bit):
            try:
                found = pickle.dumps(read())
            except Exception as error:  # the message has the file, or the folder of the checkpoint
                counts["refused"] += 1
                names = {path.name, *(each.name for each in path.parents if each.parent.name == "checkpoints")}
                if not isinstance(error, ValueError | OSError) or not any(name in str(error) for name in names):
                    silent.append(
                        f"{path.relative_to(folder)} {at} {bit}: unclear {type(error).__name__}: {error}"[:300]
                    )
                continue
        counts["without effect"] += 1
        if found != good:
            silent.append(f"{path.relative_to(folder)} byte {at} bit {bit}: silent")
    assert pickle.dumps(read()) == good, "every bit was put back"
    return counts, silent


def reader_of_run(run: Path, evaluation: Any = None) -> Callable[[], Any]:
    """Gives a function that reads all that a run restores: both checkpoints whole, metrics, evaluation."""
    found = read_run(run)
    mixture = open_mixture(found.config, Path(found.data))
    mesh = make_mesh(1)
    _, state = abstract_state(found.config, input_sizes(found.config, list(mixture.layouts.values())), mesh)
    stream = open_stream(found.config, mixture, mesh)

    def read() -> Any:
        now = read_run(run)
        restored = []
        with use_mesh(mesh), now.open_checkpoints() as checkpoints:
            for step in (3, 6):
                leaves = jax.device_get(jax.tree.leaves(checkpoints.restore(step, state, stream)))
                restored.append((step, leaves, dict(stream._positions), checkpoints.note(step)))
            chosen = checkpoints.latest, checkpoints.best
        config = evaluation_of(run)
        parts = Parts(run / "evaluation", evaluation or config, 6, Path(now.data))
        tasks = [find_task(name) for name in now.layouts]
        kept = [parts.load(task, part) for task in tasks for part in ("agent", "baselines")]
        report = load_report(run / "report.json") if (run / "report.json").exists() else None
        layouts = {name: layout_to_json(layout) for name, layout in now.layouts.items()}
        said = cattrs.unstructure((now.config, config)), now.data, layouts
        return (
            restored,
            chosen,
            [each and asdict(each) for each in kept],
            report,
            said,
            read_metrics(run / "metrics.jsonl"),
        )

    return read


def read_data(folder: Path) -> Any:
    """All that a data set gives: every episode, every step by columns, their statistics."""
    found = Demonstrations.open(folder)
    episodes = [found.episode(number) for number in range(len(found))]
    columns = found.columns(quiet=True)
    try:
        steps = columns.take(np.arange(len(columns)))
        statistics = columns.statistics(np.arange(len(found)))
        rewards = columns.rewards(np.arange(len(columns))) if hasattr(columns, "rewards") else None
        plain = [(each.observations, each.actions, each.rewards, asdict(each.metadata)) for each in episodes]
        told = found.lengths, found.returns, found.successes, found.settings, found.task_id
        spaces = repr(found.observation_space), repr(found.action_space)
        return plain, jax.tree.map(np.array, steps), statistics, rewards, told, spaces
    finally:
        with suppress(BufferError):
            columns.file.close()
