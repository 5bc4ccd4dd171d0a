"""The file of lines: appended, cut short, resumed."""

import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from generalist.train.metrics import MetricsWriter, read_metrics


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


def test_a_damaged_line_is_named_and_nothing_is_written(tmp_path):
    """Wherever the bit is, also in the end of the last line, which a kill may have cut."""
    writer = MetricsWriter(tmp_path)
    for step in (10, 20):
        writer.write(line(step))
    writer.close()
    path = tmp_path / "metrics.jsonl"
    good = path.read_bytes()
    for at in range(len(good)):
        path.write_bytes(damaged := good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
        with pytest.raises(ValueError, match=rf"metrics.jsonl, line {1 + good[:at].count(10)} is damaged"):
            MetricsWriter(tmp_path, resume=20)
        assert path.read_bytes() == damaged


def test_lines_of_earlier_versions_are_read(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 10, "loss": 2.0}\n{"step": 20, "loss": 1.0}\n')
    assert [found["loss"] for found in read_metrics(tmp_path / "metrics.jsonl")] == [2.0, 1.0]


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
    held_out = {"loss": 2.5, "accuracy": 0.5, "sources": {"one": {"loss": 2.0}}}
    writer.write(line(20) | {"held_out": held_out})
    writer.close()
    found = events(tmp_path / "tensorboard")
    values = {(event.step, value.tag): value.simple_value for event in found for value in event.summary.value}
    training = {(20, "train/loss"): 1.5, (20, "loss/one"): 1.0}
    unseen = {(20, "held_out/loss"): 2.5, (20, "held_out/accuracy"): 0.5, (20, "held_out/loss/one"): 2.0}
    assert values == training | unseen
    starts = [event.step for event in found if event.session_log.status == event.session_log.START]
    assert starts == [11], "what the interrupted run showed after its checkpoint is hidden"
