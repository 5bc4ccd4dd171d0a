"""The updates between two lines of `metrics.jsonl`: exact sums of their metrics, and the line that they become.

A run that is stopped in between stores them in its checkpoint, so that the line of the resumed run is the same one.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from generalist.train.metrics import DivergedError


class Interval:
    """Sums in float64 over updates, added in their order.

    Args:
        stored: what `to_json` gave, to go on with.
    """

    def __init__(self, stored: Mapping[str, Any] | None = None):
        stored = stored or {}
        self.updates: int = stored.get("updates", 0)
        self.sums = {name: np.asarray(value, np.float64) for name, value in stored.get("sums", {}).items()}
        self.waited: float = stored.get("waited", 0.0)
        self.evaluated: float = 0.0
        self._begun = time.perf_counter() - stored.get("seconds", 0.0)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain JSON, to the last bit."""
        sums = {name: value.tolist() for name, value in self.sums.items()}
        return {"updates": self.updates, "sums": sums, "seconds": self.seconds, "waited": self.waited}

    @property
    def seconds(self) -> float:
        """Wall time since the interval began."""
        return time.perf_counter() - self._begun

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The time spent inside counts as waiting for input."""
        asked = time.perf_counter()
        yield
        self.waited += time.perf_counter() - asked

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """The time spent inside is none of training's: speed and waiting are of the rest of the interval."""
        begun = time.perf_counter()
        yield
        self.evaluated += time.perf_counter() - begun

    def add(self, step: int, metrics: Mapping[str, np.ndarray]) -> None:
        """Take in what `loss_and_metrics` returned for update `step`.

        Raises:
            DivergedError: its loss or gradient is not finite.
        """
        values = float(metrics["objective"]), float(metrics["gradient_norm"])
        if not all(map(math.isfinite, values)):
            raise DivergedError(
                f"step {step}: loss {values[0]}, gradient norm {values[1]}; lower optimizer.learning_rate, set "
                "optimizer.clip, or look at the data of this step"
            )
        for name, value in metrics.items():
            self.sums[name] = self.sums.get(name, 0.0) + np.asarray(value, np.float64)
        self.updates += 1

    def line(self, step: int, names: Sequence[str], positions: int) -> dict[str, Any]:
        """The means, exact from the sums, and the timings except utilisation.

        Args:
            step: the last update (from 1).
            names: of the sources.
            positions: positions in all rows of one update, padding included.
        """
        total, seconds = self.sums, self.seconds
        trained = seconds - self.evaluated
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
            "step": step,
            "loss": float(total["loss"].sum() / count),
            "objective": float(total["objective"] / self.updates),
            "accuracy": float(total["correct"].sum() / count),
            "gradient_norm": float(total["gradient_norm"] / self.updates),
            "tokens": int(total["tokens"]),
            "targets": int(total["targets"].sum()),
            "padding": float(1 - total["tokens"] / (positions * self.updates)),
            "sources": sources,
            "seconds": seconds,
            "evaluation_seconds": self.evaluated,
            "tokens_per_second": float(total["tokens"] / trained),
            "input_wait": self.waited / trained,
        }
