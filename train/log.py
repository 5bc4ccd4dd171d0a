"""What training says of itself: reads the metrics of updates, one update late, and makes lines of them.

At the end of an interval they are read at once, so that its time is that of its updates.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax

from generalist.train.config import TrainConfig
from generalist.train.display import TrainingDisplay
from generalist.train.flops import measured_peak
from generalist.train.interval import Interval
from generalist.train.metrics import DivergedError, MetricsWriter


def ends_interval(config: TrainConfig, step: int) -> bool:
    """Whether a line of metrics is written for update `step`: every `log_every`, and where one is evaluated."""
    return step % config.log_every == 0 or ends_in_evaluation(config, step)


def ends_in_evaluation(config: TrainConfig, step: int) -> bool:
    """Whether what is held out is measured after update `step`: every `evaluate_every`, with a checkpoint, last."""
    due = config.held_out > 0 and step % config.evaluate_every == 0
    return due or ends_in_checkpoint(config, step)


def ends_in_checkpoint(config: TrainConfig, step: int) -> bool:
    """Whether a checkpoint follows update `step`, stopped or not."""
    return step % config.checkpoint_every == 0 or step == config.steps


def compared_loss(line: Mapping[str, Any]) -> float:
    """What the best checkpoint has least of: the loss of what is held out, or that of training where nothing is."""
    return line["held_out"]["loss"] if "held_out" in line else line["loss"]


class MetricsLog:
    """Lines for the file and the terminal: call `add` after each update was started; `newest` is the newest line.

    Args:
        names: of the sources.
        flops: floating-point operations of one update.
        interval: the updates since the last line.
        made: gives the tokens per second that the input could have made since it was last asked.
    """

    def __init__(
        self,
        config: TrainConfig,
        names: Sequence[str],
        flops: float,
        writer: MetricsWriter,
        display: TrainingDisplay,
        interval: Interval,
        made: Callable[[], float],
    ):
        self.config, self.names, self.flops = config, names, flops
        self.writer, self.display, self.interval = writer, display, interval
        self.peak = measured_peak(config.agent.dtype)
        self.newest: dict[str, Any] = {}
        self._made = made
        self._pending: tuple[int, Mapping[str, jax.Array]] | None = None

    def waiting(self) -> AbstractContextManager[None]:
        """The time spent inside counts as waiting for input."""
        return self.interval.waiting()

    def add(self, step: int, metrics: Mapping[str, jax.Array]) -> None:
        """Take the metrics of update `step` and read those of the update before.

        So the device has its next update while the host reads, and the host is never more than one update ahead.

        Raises:
            DivergedError: the loss or gradient of the update before is not finite.
        """
        self.finish()
        self._pending = step, metrics

    def finish(self, evaluate: Callable[[], Mapping[str, Any]] | None = None) -> None:
        """Wait for every update so far; needed at the end of an interval, whose time would be another's otherwise.

        Args:
            evaluate: gives `held_out` of the line that is due now.

        Raises:
            DivergedError: as `add`, also of the loss of what is held out.
        """
        if self._pending is None:
            return
        (step, metrics), self._pending = self._pending, None
        self.interval.add(step, jax.device_get(metrics))
        if ends_interval(self.config, step):
            self._write(step, evaluate)

    def _write(self, step: int, evaluate: Callable[[], Mapping[str, Any]] | None) -> None:
        measured = {}
        if evaluate:
            with self.interval.evaluating():
                measured["held_out"] = evaluate()
            if not math.isfinite(loss := measured["held_out"]["loss"]):
                raise DivergedError(f"step {step}: loss {loss} of what is held out; lower optimizer.learning_rate")
        line = self.interval.line(step, self.names, self.config.batch_size * self.config.sequence_length) | measured
        trained = line["seconds"] - line["evaluation_seconds"]
        line["model_flops_utilisation"] = self.flops * self.interval.updates / trained / self.peak
        waited = line["input_wait"] * trained
        line["input_made"] = self._made()
        each = line["tokens"] / jax.process_count()
        line["input_needed"] = each / (trained - waited) if trained > waited else 0.0
        self.writer.write(line)
        self.display.update(step, line)
        self.newest, self.interval = line, Interval()

    def to_json(self) -> dict[str, Any]:
        """The interval so far, for the checkpoint of a run that stops inside it."""
        return self.interval.to_json()
