"""Metrics of training: sums on the device, one line per interval in `metrics.jsonl`, TensorBoard beside it."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from generalist.envs.files import write_atomically

TIMINGS = ("seconds", "tokens_per_second", "model_flops_utilisation", "input_wait")
"""Fields that depend on the machine; every other field is a function of the configuration and the step."""


class DivergedError(FloatingPointError):
    """The loss is not a number."""


def summarise(
    steps: Sequence[int], fetched: Sequence[Mapping[str, np.ndarray]], names: Sequence[str], positions: int
) -> dict[str, Any]:
    """Exact means over an interval from the sums of its updates.

    Args:
        steps: number of each update (from 1).
        fetched: what `loss_and_metrics` returned for each.
        names: of the sources.
        positions: positions in all rows of one update, padding included.

    Raises:
        DivergedError: with the first step whose loss or gradient is not finite.
    """
    for step, metrics in zip(steps, fetched, strict=True):
        values = float(metrics["objective"]), float(metrics["gradient_norm"])
        if not all(map(math.isfinite, values)):
            raise DivergedError(
                f"step {step}: loss {values[0]}, gradient norm {values[1]}; lower optimizer.learning_rate, set "
                "optimizer.clip, or look at the data of this step"
            )
    total = {
        name: np.sum([np.asarray(metrics[name], np.float64) for metrics in fetched], axis=0) for name in fetched[0]
    }
    targets = np.maximum(total["targets"], 1)
    sources = {
        name: {
            "loss": float(total["loss"][i] / targets[i]),
            "accuracy": float(total["correct"][i] / targets[i]),
            "targets": int(total["targets"][i]),
            "tokens": int(total["source_tokens"][i]),
        }
        for i, name in enumerate(names)
        if total["source_tokens"][i]
    }
    count = max(total["targets"].sum(), 1)
    return {
        "step": int(steps[-1]),
        "loss": float(total["loss"].sum() / count),
        "objective": float(total["objective"] / len(steps)),
        "accuracy": float(total["correct"].sum() / count),
        "gradient_norm": float(total["gradient_norm"] / len(steps)),
        "tokens": int(total["tokens"]),
        "targets": int(total["targets"].sum()),
        "padding": float(1 - total["tokens"] / (positions * len(steps))),
        "sources": sources,
    }


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Every whole line of a `metrics.jsonl`; a last line cut short by a crash is left out."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


class MetricsWriter:
    """Appends lines to `metrics.jsonl` and, where tensorboardX is installed, scalars to `tensorboard/`.

    Args:
        directory: of the run.
        resume: keep lines up to this step and drop later ones, whose updates will be done again.
    """

    def __init__(self, directory: Path, *, resume: int = 0):
        self.path = directory / "metrics.jsonl"
        kept = [line for line in read_metrics(self.path) if line["step"] <= resume]
        write_atomically(self.path, "".join(json.dumps(line) + "\n" for line in kept).encode())
        self._file = self.path.open("a")
        self._board = _tensorboard(directory / "tensorboard", resume)

    def write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        if self._board is None:
            return
        for name, value in line.items():
            if isinstance(value, int | float) and name != "step":
                self._board.add_scalar(f"train/{name}", value, line["step"])
        for source, values in line["sources"].items():
            for name, value in values.items():
                self._board.add_scalar(f"{name}/{source}", value, line["step"])

    def close(self) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


def _tensorboard(directory: Path, resume: int) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(directory), purge_step=resume + 1 if resume else None)


def fetch(pending: Sequence[Mapping[str, jax.Array]]) -> list[dict[str, np.ndarray]]:
    """Metrics of several updates from the device at once."""
    return jax.device_get(list(pending))
