"""Who makes rows: what they make does not depend on it, their failures arrive, and nothing of them is left."""

import gzip
import io
import itertools
import json
import os
import pickle
import re
import shutil
import signal
import tarfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from leftovers import alive, children, descriptors, threads, until
from PIL import Image
from tiny import CONFIG, TASKS, demonstrations
from worker_sources import Broken, Failing

from generalist.corpora.open import BUILT_IN, open_corpus
from generalist.demonstrations.storage import STEPS, dataset_folder
from generalist.tokenizers.document import DocumentLayout
from generalist.tokenizers.pictures import PictureOptions
from generalist.tokenizers.sequence import Capacity
from generalist.tokenizers.text import ByteTokenizer
from generalist.tokenizers.vocabulary import Vocabulary
from generalist.train.data import packed_rows, row_capacity
from generalist.train.documents import DocumentSource
from generalist.train.makers import Ahead, Closed, Order, Worker, WorkerDied, make_parts, start_making
from generalist.train.packing import to_batch
from generalist.train.sources import open_mixture
from generalist.train.streams import BatchStream

SMALL = Capacity(tokens=16, targets=16)
ALONE = ("docstrings", "reasoning")
"""Corpora that take seconds to find in every process, or an extra."""


def order(sources, capacity=SMALL, streams=2, **changes) -> Order:
    return Order(
        **{
            "sources": sources,
            "weights": [1.0] * len(sources),
            "capacity": capacity,
            "rows": 1,
            "of": streams,
            "positions": dict.fromkeys(range(streams), 0),
        }
        | changes
    )


def documents(name: str, corpus, index: int = 0) -> DocumentSource:
    shown = PictureOptions(images="conv", shape=(8, 8, 3))
    layout = DocumentLayout(Vocabulary(), ByteTokenizer(), shown)
    return DocumentSource(index=index, name=name, layout=layout, corpus=corpus, sequence_length=128, pictures=2, seed=0)


def assert_same_batch(one, other) -> None:
    for name, values in one.arrays().items():
        np.testing.assert_array_equal(values, getattr(other, name), name)


@pytest.fixture(autouse=True)
def _nothing_is_left():
    before = children(), threads()
    yield
    assert children() == before[0]
    assert not set(threads()) - set(before[1]), "one of an earlier test may have ended meanwhile"


# ---- in this process


def test_parts_are_of_each_stream_in_turn_with_their_position_and_tokens():
    sources = [Failing(0, "value_error", 10**9)]
    made = itertools.chain.from_iterable(make_parts(order(sources, streams=6, positions={4: 3, 1: 0}, rows=2)))
    alone = {
        stream: packed_rows(sources, [1.0], SMALL, rows=2, stream=stream, of=6, position=position)
        for stream, position in ((4, 3), (1, 0))
    }
    for part, stream in zip(made, [4, 1] * 3, strict=False):
        rows = next(alone[stream])
        assert (part.stream, part.position) == (stream, alone[stream].position)
        assert part.tokens == np.count_nonzero(rows.tokens["segment"])
        assert part.seconds > 0
        assert_same_batch(to_batch([part.rows], SMALL), to_batch([rows], SMALL))
        if stream == 1 and part.position > 10:
            break


def test_ahead_takes_no_more_than_it_may_and_raises_what_was_raised():
    taken = []

    def parts():
        for number in range(7):
            taken.append(number)
            yield number
        raise ValueError("no more")

    ahead = Ahead(parts(), 2)
    until(lambda: len(taken) == 3)  # two that wait, one in hand
    time.sleep(0.3)
    assert len(taken) == 3
    assert list(itertools.islice(ahead, 7)) == list(range(7))
    for _ in range(3):
        with pytest.raises(ValueError, match="no more"):
            next(ahead)
    ahead.close()


@pytest.mark.parametrize("asked", [0, 1, 20])
def test_ahead_can_be_closed_at_any_time(asked):
    ahead = Ahead(iter(range(20)), 3)
    assert list(itertools.islice(ahead, asked)) == list(range(asked))
    ahead.close()


def test_whoever_waits_for_more_is_told_that_it_was_closed():
    gate = threading.Event()

    def nothing():
        gate.wait()
        yield from ()

    ahead, seen = Ahead(nothing(), 2), []

    def wait():
        with pytest.raises(Closed):
            seen.append(next(ahead))
        seen.append("told")

    waiting = threading.Thread(target=wait)
    waiting.start()
    ahead.stop()
    gate.set()
    ahead.close()
    waiting.join(timeout=20)
    assert seen == ["told"]


class Stub:
    def __init__(self):
        self.given = None

    def start(self, order: Order, most: int):
        self.given = (dict(order.positions), most)
        return iter(())


@pytest.mark.parametrize(
    ("workers", "dealt"),
    [
        (1, [{0: 5, 1: 6, 2: 7, 3: 8, 4: 9}]),
        (2, [{0: 5, 2: 7, 4: 9}, {1: 6, 3: 8}]),
        (7, [{0: 5}, {1: 6}, {2: 7}, {3: 8}, {4: 9}, None, None]),
    ],
)
def test_streams_are_dealt_out_in_turn(workers, dealt):
    team = [Stub() for _ in range(workers)]
    wanted = order([], positions={stream: stream + 5 for stream in range(5)})
    assert len(start_making(wanted, team, 3)) == min(workers, 5)
    assert [stub.given for stub in team] == [mine and (mine, 3) for mine in dealt]
    start_making(wanted, team, 0)
    assert team[0].given[1] == 1, "without a limit a worker would fill the memory"


# ---- in worker processes


def write_corpora(folder: Path) -> list[str]:
    """A small corpus of every kind that needs files; gives their names."""
    picture = io.BytesIO()
    Image.fromarray(np.full((4, 5), 9, np.uint8)).save(picture, "PNG")
    (folder / "photos").mkdir()
    (folder / "photos" / "a.png").write_bytes(picture.getvalue())
    lines = [json.dumps({"file_name": "a.png", "text": f"A {number}."}) for number in range(4)]
    (folder / "photos" / "metadata.jsonl").write_text("\n".join(lines))
    with tarfile.open(folder / "a.tar", "w") as archive:
        for name, data in (("1.png", picture.getvalue()), ("1.txt", b"one")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
    (folder / "talk.jsonl").write_text("\n".join([json.dumps({"messages": talk})] * 3))
    (folder / "books").mkdir()
    (folder / "books" / "a.txt").write_text("a longer text " * 300)
    (folder / "books" / "b.jsonl.gz").write_bytes(gzip.compress(json.dumps({"text": "zipped " * 90}).encode()))
    place = folder / "mnist" / "1.0.0"
    place.mkdir(parents=True)
    identity = tfds.core.dataset_info.DatasetIdentity(
        name="mnist", config_name=None, version=tfds.core.Version("1.0.0"), data_dir=str(place), module_name="tests"
    )
    features = {
        "image": tfds.features.Image(shape=(None, None, None)),
        "label": tfds.features.ClassLabel(num_classes=3),
    }
    info = tfds.core.DatasetInfo(builder=identity, features=tfds.features.FeaturesDict(features))
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=3, overwrite=False, file_format="array_record")
    writer.initialize_splits(["train", "test"], fail_if_exists=False)
    for split in ("train", "test"):
        writer.add_examples({split: [{"image": io.BytesIO(picture.getvalue()), "label": n % 3} for n in range(5)]})
    writer.close_all()
    names = [f"text:{folder / 'books'}", f"images:{folder / 'photos'}", f"webdataset:{folder / 'a.tar'}"]
    names += [f"{kind}:{folder / 'talk.jsonl'}" for kind in ("chat", "chat-all")]
    return [*names, f"tfds:mnist@{folder}"]


def assert_same_in_a_worker(sources: list) -> None:
    """Batches, and damaged documents that are known here as soon as their batch is."""
    here, there = ([pickle.loads(pickle.dumps(source)) for source in sources] for _ in range(2))
    wanted = [order(each, row_capacity(each), streams=1, rows=4) for each in (here, there)]
    seen = set()
    with BatchStream(wanted[0], [], ahead=0) as one, BatchStream(wanted[1], [], workers=1) as other:
        for _ in range(12):
            batch = next(one)
            assert_same_batch(batch, next(other))
            seen |= set(np.unique(batch.source[batch.segment > 0]).tolist())
    assert seen == {source.index for source in sources}
    for mine, its in zip(here, there, strict=True):
        if isinstance(mine, DocumentSource):
            assert mine.bad.items() <= its.bad.items()
            assert bool(mine.bad) == (mine.name == "broken")


def test_every_kind_of_source_gives_the_same_batches_in_a_worker(tmp_path):
    config = replace(CONFIG, sequence_length=128, agent=replace(CONFIG.agent, window=128))
    sources = list(open_mixture(config, demonstrations()).sources)
    names = [*write_corpora(tmp_path), *(name for name in BUILT_IN if name not in ALONE)]
    corpora = [(name, open_corpus(name)) for name in names] + [("broken", Broken(30))]
    sources += [documents(*each, index) for index, each in enumerate(corpora, start=len(sources))]
    _ = sources[4][0], sources[-1][0]  # what was used can be sent too
    sources[-1].bad.clear()
    assert_same_in_a_worker(sources)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALONE)
def test_a_corpus_alone_is_the_same_in_a_worker(name):
    if name == "reasoning":
        pytest.importorskip("reasoning_gym")
    assert_same_in_a_worker([documents(name, open_corpus(name))])


def test_a_failure_in_a_worker_is_raised_here_with_its_traceback():
    stream = BatchStream(order([Failing(3, "value_error")]), [], workers=1)
    with stream:
        for _ in range(2):
            with pytest.raises(ValueError, match="damaged") as failure:
                list(itertools.islice(stream, 50))
        assert re.fullmatch(r"example \d+ of 3 is damaged", str(failure.value))
        [note] = [each for each in failure.value.__notes__ if each.startswith("in input")]
        assert note.startswith("in input worker 1 of 1:\nTraceback")
        assert "worker_sources.py" in note


def test_a_failure_that_cannot_be_sent_is_told_and_devices_are_not_touched():
    order_ = order([Failing(0, "needs_two")], streams=1)
    with (
        BatchStream(order_, [], workers=1) as stream,
        BatchStream(replace(order_, sources=[Failing(0, "tells_devices")]), [], workers=1) as other,
        BatchStream(replace(order_, sources=[Failing(0, "unsendable")]), [], workers=1) as third,
    ):
        with pytest.raises(RuntimeError, match="failed") as failure:
            list(itertools.islice(stream, 50))
        assert str(failure.value) == "input worker 1 of 1 failed: NeedsTwoError: one"
        assert "Traceback" in failure.value.__notes__[0]
        with pytest.raises(RuntimeError, match="input worker 1 of 1 failed: ValueError: "):
            list(itertools.islice(third, 50))
        with pytest.raises(ValueError, match="cpu False"):
            list(itertools.islice(other, 50))


@pytest.mark.parametrize(("how", "why"), [("dies", "signal SIGSEGV: "), ("leaves", "exit status 3")])
def test_a_worker_that_ends_by_itself_is_told(how, why):
    with BatchStream(order([Failing(0, how)], streams=1), [], workers=1) as stream:
        with pytest.raises(WorkerDied, match=rf"^input worker 1 of 1 \(process \d+\) died, {why}") as failure:
            list(itertools.islice(stream, 50))
        if how == "dies":
            assert "last words" in str(failure.value)


def test_a_killed_worker_ends_the_stream_soon():
    before = descriptors()
    forever = order([Failing(0, "value_error", 10**9)], rows=2)
    with BatchStream(forever, [], workers=2, ahead=1) as stream:
        next(stream)
        pid = stream._workers[1]._child.pid
        for name in (signal.SIGTERM, signal.SIGINT):
            os.kill(pid, name)
        for _ in range(5):
            next(stream)
        os.kill(pid, signal.SIGKILL)
        begun = time.monotonic()
        for _ in range(2):
            with pytest.raises(WorkerDied, match=rf"^input worker 2 of 2 \(process {pid}\) died, signal SIGKILL$"):
                list(itertools.islice(stream, 1000))
        assert time.monotonic() - begun < 5
    assert descriptors() == before


def test_an_exception_while_batches_are_made_leaves_nothing():
    pids = []

    def use() -> None:
        with BatchStream(order([Failing(0, "value_error", 10**9)]), [], workers=1) as stream:
            pids.extend(worker._child.pid for worker in stream._workers)
            next(stream)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use()
    assert len(pids) == 1
    assert not any(map(alive, pids))


def test_columns_that_are_damaged_are_named_by_a_worker_as_here(tmp_path):
    """Damaged where only what is drawn is read; the file's time is what it was."""
    shutil.copytree(demonstrations(), tmp_path / "data")
    mixture = open_mixture(CONFIG, tmp_path / "data")
    path = dataset_folder(tmp_path / "data", TASKS[1]) / STEPS
    time_before = path.stat().st_mtime_ns
    data = bytearray(path.read_bytes())
    data[70] ^= 1
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(time_before, time_before))
    wanted = order(mixture.sources, mixture.capacity, weights=mixture.weights)
    messages = []
    for workers in (1, 0):
        mixture.sources[1].steps.columns.file._checked[:] = False
        mixture.sources[1].steps.columns.file._unchecked = 1
        with (
            BatchStream(wanted, [], workers=workers) as stream,
            pytest.raises(ValueError, match=rf"{path} is damaged") as failure,
        ):
            list(itertools.islice(stream, 100))
        messages.append(str(failure.value))
    assert messages[0] == messages[1]


def test_columns_that_were_replaced_are_not_taken_for_the_same(tmp_path):
    shutil.copytree(demonstrations(), tmp_path / "data")
    mixture = open_mixture(CONFIG, tmp_path / "data")
    path = dataset_folder(tmp_path / "data", TASKS[0]) / STEPS
    os.utime(path, ns=(1, 1))
    with (
        BatchStream(order(mixture.sources, mixture.capacity, weights=mixture.weights), [], workers=1) as stream,
        pytest.raises(ValueError, match=rf"{path} was replaced or changed while it was in use"),
    ):
        next(stream)


@pytest.mark.parametrize("workers", [0, 1])
def test_opening_and_closing_streams_leaves_nothing(workers):
    """Worker processes are ended while they begin."""
    forever = order([Failing(0, "value_error", 10**9)], streams=3)
    BatchStream(forever, [], workers=workers).close()
    before = descriptors(), threads(), children()
    for number in range(20):
        with BatchStream(forever, [], workers=workers) as stream:
            if not workers or not number:
                next(stream)
    assert (descriptors(), threads(), children()) == before


@pytest.mark.parametrize("begun", [False, True])
def test_a_worker_can_be_closed_before_and_while_it_makes(begun):
    worker = Worker("one")
    pid = worker._child.pid
    if begun:
        made = worker.start(order([Failing(0, "value_error", 10**9)]), 1)
        next(made)
        until(made._made.full)
    worker.close()
    assert not alive(pid)
