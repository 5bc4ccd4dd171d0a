"""Exact means per interval and source, the file of lines, and the stop at the first NaN."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from generalist.train.metrics import DivergedError, MetricsWriter, read_metrics, summarise


def update(objective=1.0, norm=2.0, loss=(6.0, 0.0), targets=(3, 0), correct=(2, 0), tokens=(10, 0)) -> dict:
    return {
        "objective": np.float32(objective),
        "gradient_norm": np.float32(norm),
        "weight": np.float32(sum(targets)),
        "tokens": np.float32(sum(tokens)),
        "loss": np.float32(loss),
        "targets": np.float32(targets),
        "correct": np.float32(correct),
        "source_tokens": np.float32(tokens),
    }


def test_means_are_weighted_by_targets():
    second = update(3.0, 4.0, loss=(2.0, 8.0), targets=(1, 4), correct=(0, 1), tokens=(5, 5))
    line = summarise(range(7, 9), [update(), second], ["one", "two"], 20)
    assert line["step"] == 8
    assert line["loss"] == pytest.approx(16 / 8)
    assert line["objective"] == pytest.approx(2.0)
    assert line["gradient_norm"] == pytest.approx(3.0)
    assert line["accuracy"] == pytest.approx(3 / 8)
    assert (line["tokens"], line["targets"]) == (20, 8)
    assert line["padding"] == pytest.approx(0.5)
    assert line["sources"]["one"] == {"loss": 2.0, "accuracy": 0.5, "targets": 4, "tokens": 15}
    assert line["sources"]["two"] == {"loss": 2.0, "accuracy": 0.25, "targets": 4, "tokens": 5}
    json.dumps(line, allow_nan=False)


def test_a_source_without_tokens_is_left_out():
    assert list(summarise([1], [update()], ["one", "two"], 20)["sources"]) == ["one"]


@pytest.mark.parametrize("broken", [{"objective": np.nan}, {"norm": np.inf}])
def test_what_is_not_finite_stops_with_its_step(broken):
    with pytest.raises(DivergedError, match="step 12: loss"):
        summarise(range(11, 14), [update(), update(**broken), update(np.nan)], ["one", "two"], 20)


def line(step: int) -> dict:
    return {"step": step, "loss": 1.5, "sources": {"one": {"loss": 1.0}}}


def test_lines_are_appended_and_a_truncated_one_is_left_out(tmp_path):
    writer = MetricsWriter(tmp_path)
    for step in (10, 20):
        writer.write(line(step))
        assert read_metrics(tmp_path / "metrics.jsonl")[-1] == line(step), "a killed run keeps its lines"
    writer.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 30, "lo')
    assert read_metrics(tmp_path / "metrics.jsonl") == [line(10), line(20)]
    assert read_metrics(tmp_path / "none.jsonl") == []


def test_a_resumed_writer_drops_what_will_be_done_again(tmp_path):
    for resume, steps in ((0, (10, 20, 30)), (20, (25,))):
        writer = MetricsWriter(tmp_path, resume=resume)
        for step in steps:
            writer.write(line(step))
        writer.close()
    assert [found["step"] for found in read_metrics(tmp_path / "metrics.jsonl")] == [10, 20, 25]
    MetricsWriter(tmp_path).close()
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def events(directory: Path) -> list[Event]:
    """Everything in the TensorBoard files of a folder: records of length, checksum, content, checksum."""
    found = []
    for path in sorted(directory.iterdir()):
        data = path.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            found.append(Event.FromString(data[12 : 12 + size]))
            data = data[16 + size :]
    return found


def test_tensorboard_gets_every_number_at_its_step(tmp_path):
    writer = MetricsWriter(tmp_path, resume=10)
    writer.write(line(20))
    writer.close()
    found = events(tmp_path / "tensorboard")
    values = {(event.step, value.tag): value.simple_value for event in found for value in event.summary.value}
    assert values == {(20, "train/loss"): 1.5, (20, "loss/one"): 1.0}
    starts = [event.step for event in found if event.session_log.status == event.session_log.START]
    assert starts == [11], "what the interrupted run showed after its checkpoint is hidden"
