"""Metrics are read one update late; no update is lost, no line is late at a checkpoint."""

import time
from dataclasses import replace

import jax.numpy as jnp
import pytest
from tiny import CONFIG, TASKS

from generalist.train.display import TrainingDisplay
from generalist.train.interval import Interval
from generalist.train.log import MetricsLog, compared_loss, ends_interval
from generalist.train.metrics import DivergedError, MetricsWriter, read_metrics


def metrics(objective: float, targets: int = 3) -> dict:
    each = {name: jnp.asarray([1.0, 2.0]) for name in ("loss", "correct", "source_tokens")}
    scalars = {"objective": jnp.asarray(objective), "gradient_norm": jnp.asarray(1.0), "tokens": jnp.asarray(6.0)}
    return each | scalars | {"targets": jnp.asarray([targets, 0.0])}


MADE = 5000.0


@pytest.fixture
def log(tmp_path):
    writer = MetricsWriter(tmp_path)
    with TrainingDisplay(CONFIG.steps, 0, quiet=True) as display:
        yield MetricsLog(CONFIG, TASKS, 1e9, writer, display, Interval(), made=lambda: MADE)
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
    def due(**changes) -> list[int]:
        return [step for step in range(1, 7) if ends_interval(replace(CONFIG, **changes), step)]

    assert due() == [2, 3, 4, 6]
    assert due(evaluate_every=5) == [2, 3, 4, 5, 6]
    assert due(evaluate_every=5, held_out=0.0) == [2, 3, 4, 6]


def test_what_is_held_out_stands_in_the_line_it_was_measured_for(log):
    """And the time that it took is none of training's."""
    held_out = {"loss": 0.5, "accuracy": 1.0, "targets": 3, "sources": {}}

    def slowly() -> dict:
        time.sleep(0.2)
        return held_out

    log.add(1, metrics(1.0))
    log.add(2, metrics(1.0))
    log.finish(slowly)
    line = log.newest
    assert (line["step"], line["held_out"]) == (2, held_out)
    assert 0.2 <= line["evaluation_seconds"] < line["seconds"]
    trained = line["seconds"] - line["evaluation_seconds"]
    assert line["tokens_per_second"] == pytest.approx(12 / trained)
    assert line["model_flops_utilisation"] == pytest.approx(2 * 1e9 / trained / log.peak)
    log.add(3, metrics(1.0))
    log.finish()
    assert "held_out" not in log.newest
    assert log.newest["evaluation_seconds"] == 0


def test_a_held_out_loss_that_is_not_a_number_stops_the_run(log):
    log.add(1, metrics(1.0))
    log.add(2, metrics(1.0))
    with pytest.raises(DivergedError, match="step 2: loss nan of what is held out"):
        log.finish(lambda: {"loss": float("nan")})


def test_tokens_that_are_made_and_needed_stand_beside_each_other(log):
    """Needed: as if updates never waited."""
    with log.waiting():
        time.sleep(0.2)
    for step in (1, 2):
        log.add(step, metrics(1.0))
    log.finish()
    line = log.newest
    assert line["input_made"] == MADE
    assert line["input_needed"] == pytest.approx(12 / (line["seconds"] * (1 - line["input_wait"])))
    assert line["input_needed"] > line["tokens_per_second"]


def test_checkpoints_are_compared_by_what_is_held_out():
    assert compared_loss({"loss": 2.0, "held_out": {"loss": 3.0}}) == 3.0
    assert compared_loss({"loss": 2.0}) == 2.0


@pytest.mark.parametrize("step", [2, 6])
def test_the_terminal_shows_the_newest_loss_of_what_is_held_out(step, capsys):
    numbers = {"loss": 1.0, "tokens_per_second": 1.0, "model_flops_utilisation": 0.1, "padding": 0, "input_wait": 0}
    numbers |= {"input_made": 1234.5}
    display = TrainingDisplay(10, 0)
    display.update(1, numbers)
    display.update(step, numbers | {"held_out": {"loss": 0.1234}})
    display.update(step + 1, numbers)
    first, *others = capsys.readouterr().err.splitlines()
    assert "held out" not in first
    assert [f"step {step}/10  loss 1.000  held out 0.123  1 tokens/s" in others[0], len(others)] == [True, 2]
    assert "held out 0.123" in others[1]
    assert first.endswith("input wait 0.0%, 1,234 tokens/s made")


def test_utilisation_counts_every_update_of_the_line(log):
    for step in (1, 2):
        log.add(step, metrics(1.0))
    log.finish()
    line = log.newest
    assert line["model_flops_utilisation"] == pytest.approx(2 * 1e9 / line["seconds"] / log.peak)
