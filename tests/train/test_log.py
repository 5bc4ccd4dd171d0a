"""Metrics are read one update late; no update is lost, no line is late at a checkpoint."""

import jax.numpy as jnp
import pytest
from tiny import CONFIG, TASKS

from generalist.train.display import TrainingDisplay
from generalist.train.interval import Interval
from generalist.train.log import MetricsLog, ends_interval
from generalist.train.metrics import DivergedError, MetricsWriter, read_metrics


def metrics(objective: float, targets: int = 3) -> dict:
    each = {name: jnp.asarray([1.0, 2.0]) for name in ("loss", "correct", "source_tokens")}
    scalars = {"objective": jnp.asarray(objective), "gradient_norm": jnp.asarray(1.0), "tokens": jnp.asarray(6.0)}
    return each | scalars | {"targets": jnp.asarray([targets, 0.0])}


@pytest.fixture
def log(tmp_path):
    writer = MetricsWriter(tmp_path)
    with TrainingDisplay(CONFIG.steps, 0, quiet=True) as display:
        yield MetricsLog(CONFIG, TASKS, 1e9, writer, display, Interval())
    writer.close()


def test_lines_come_with_the_next_update_and_miss_none(log, tmp_path):
    """Lines are due after 2, 3, 4 and 6 of 6."""
    seen = []
    for step in range(1, 7):
        log.add(step, metrics(step, targets=step))
        seen.append([(line["step"], line["objective"], line["targets"]) for line in read_metrics(log.writer.path)])
    first, second, third, last = (2, 1.5, 3), (3, 3.0, 3), (4, 4.0, 4), (6, 5.5, 11)
    assert seen == [[], [], [first], [first, second], [first, second, third], [first, second, third]]
    log.finish()
    lines = read_metrics(log.writer.path)
    assert [(line["step"], line["objective"], line["targets"]) for line in lines] == [first, second, third, last]
    assert log.newest == lines[-1]
    log.finish()
    assert len(read_metrics(log.writer.path)) == 4


def test_what_is_not_finite_is_found_with_the_next_update(log):
    log.add(1, metrics(1.0))
    log.add(2, metrics(float("nan")))
    with pytest.raises(DivergedError, match="step 2: loss nan"):
        log.add(3, metrics(1.0))


def test_where_lines_are_due():
    assert [step for step in range(1, 7) if ends_interval(CONFIG, step)] == [2, 3, 4, 6]


def test_utilisation_counts_every_update_of_the_line(log):
    for step in (1, 2):
        log.add(step, metrics(1.0))
    log.finish()
    line = log.newest
    assert line["model_flops_utilisation"] == pytest.approx(2 * 1e9 / line["seconds"] / log.peak)
