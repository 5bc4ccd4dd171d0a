"""A checkpoint is whole or absent: what is missing, damaged or foreign is named, and the others still load."""

import contextlib
import json
import resource
import shutil
import signal
import time
from pathlib import Path

import grain
import jax.numpy as jnp
import numpy as np
import pytest

from generalist.train import checkpoint as module
from generalist.train.checkpoint import CheckpointError, Checkpoints

METADATA = {"vocabulary": {"bins": 32, "version": 1}}


def state(value: float) -> tuple:
    return {"kernel": jnp.full((64, 64), value)}, {"step": jnp.asarray(int(value))}


def iterator(at: int = 0):
    """A real iterator of grain, because that is what Orbax knows how to save."""
    found = iter(grain.MapDataset.range(100).to_iter_dataset())
    for _ in range(at):
        next(found)
    return found


def kept(directory: Path) -> list[int]:
    return sorted(int(path.name) for path in directory.iterdir() if path.name.isdigit())


def save(directory: Path, *steps: int, keep: int = 2) -> None:
    with Checkpoints(directory, keep=keep, metadata=METADATA) as checkpoints:
        for step in steps:
            checkpoints.save(step, state(step), iterator(step))


def load(directory: Path, step: int, metadata: dict = METADATA) -> tuple[float, int, int]:
    """Value, optimizer step and next element of the data that a checkpoint brings back."""
    data = iterator()
    with Checkpoints(directory, metadata=metadata) as checkpoints:
        found = checkpoints.restore(step, state(0), data)
    return float(found[0]["kernel"][0, 0]), int(found[1]["step"]), next(data)


def test_what_is_saved_comes_back(tmp_path):
    save(tmp_path, 3, 7)
    assert load(tmp_path, 7) == (7.0, 7, 7)
    assert load(tmp_path, 3) == (3.0, 3, 3)
    with Checkpoints(tmp_path, metadata=METADATA) as checkpoints:
        assert checkpoints.latest == 7
        agent = checkpoints.restore_agent(7, state(0)[0])
    np.testing.assert_array_equal(agent["kernel"], np.full((64, 64), 7.0))


def test_a_note_travels_with_its_checkpoint(tmp_path):
    """To the last bit; a checkpoint without one, as earlier versions wrote them, has an empty one."""
    with Checkpoints(tmp_path, metadata=METADATA) as checkpoints:
        checkpoints.save(3, state(3), iterator(3), note={"sums": [1 / 3, 2e-300]})
        checkpoints.save(7, state(7), iterator(7))
    with Checkpoints(tmp_path, metadata=METADATA) as checkpoints:
        assert checkpoints.note(3) == {"sums": [1 / 3, 2e-300]}
        assert checkpoints.note(7) == {}


def test_the_newest_stay(tmp_path):
    save(tmp_path, 1, 2, 3, keep=2)
    assert kept(tmp_path) == [2, 3]


def test_the_best_stay_too(tmp_path):
    """Over a restart; one without a loss, as a stop leaves it, is never among the best."""
    losses = [{1: 5.0, 2: 3.0, 3: 4.0, 4: None}, {5: 9.0, 6: 8.0}, {7: 2.0, 8: 7.0}]
    found = []
    for part in losses:
        with Checkpoints(tmp_path, keep=1, keep_best=2, metadata=METADATA) as checkpoints:
            for step, loss in part.items():
                checkpoints.save(step, state(step), iterator(step), loss=loss)
        with Checkpoints(tmp_path, metadata=METADATA, writes=False) as checkpoints:
            found.append((kept(tmp_path), checkpoints.best, checkpoints.latest))
    assert found == [([2, 3, 4], 2, 4), ([2, 3, 6], 2, 6), ([2, 7, 8], 7, 8)]
    assert load(tmp_path, 2) == (2.0, 2, 2)


def test_of_equally_good_ones_the_newest_is_the_best(tmp_path):
    with Checkpoints(tmp_path, keep=1, keep_best=1, metadata=METADATA) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, state(step), iterator(step), loss=3.0 if step == 3 else 1.0)
    with Checkpoints(tmp_path, metadata=METADATA, writes=False) as checkpoints:
        assert (kept(tmp_path), checkpoints.best) == ([2, 3], 2)


def test_without_losses_there_is_no_best(tmp_path):
    save(tmp_path, 3, 7)
    with Checkpoints(tmp_path, metadata=METADATA, writes=False) as checkpoints:
        assert checkpoints.best is None


def test_another_vocabulary_is_refused(tmp_path):
    save(tmp_path, 3)
    other = {"vocabulary": {"bins": 32, "version": 2}}
    with pytest.raises(CheckpointError, match=r"3: vocabulary is .*'version': 1.* in the checkpoint, .*'version': 2"):
        load(tmp_path, 3, other)


def test_another_format_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module, "FORMAT", 0)
        save(tmp_path, 3)
    with pytest.raises(CheckpointError, match="3: format is 0 in the checkpoint, 2 here"):
        load(tmp_path, 3)


def test_a_missing_checkpoint_is_named(tmp_path):
    save(tmp_path, 3)
    with pytest.raises(CheckpointError, match="5: there is no such checkpoint; there are 3"):
        load(tmp_path, 5)
    with Checkpoints(tmp_path / "new") as checkpoints:
        assert checkpoints.latest is None


@pytest.mark.parametrize("damage", ["emptied", "removed", "flipped"])
def test_a_damaged_checkpoint_is_named_and_the_older_one_loads(tmp_path, damage):
    save(tmp_path, 3, 7)
    parts = tmp_path / "7" / "agent"
    files = [path for path in parts.rglob("*") if path.is_file() and path.parent.name == "d"]
    assert files
    for path in files:
        content = path.read_bytes()
        if damage == "emptied":
            path.write_bytes(b"")
        elif damage == "removed":
            path.unlink()
        else:
            path.write_bytes(bytes(255 - byte for byte in content))
    with pytest.raises(CheckpointError, match=r"7 is refused: .*/7/agent/.* Whole are 3\. Restore"):
        load(tmp_path, 7)
    shutil.rmtree(tmp_path / "7")
    assert load(tmp_path, 3) == (3.0, 3, 3)


def of_an_earlier_version(step: Path) -> None:
    (step / "checksums.json").unlink()
    description = json.loads((step / "_CHECKPOINT_METADATA").read_text())
    del description["custom_metadata"]["listed"]
    (step / "_CHECKPOINT_METADATA").write_text(json.dumps(description))


def test_one_of_an_earlier_version_has_no_list_and_is_restored(tmp_path):
    with Checkpoints(tmp_path, metadata=METADATA) as checkpoints:
        checkpoints.save(3, state(3), iterator(3), loss=1.0, note={"sums": [2.5]})
    of_an_earlier_version(tmp_path / "3")
    assert load(tmp_path, 3) == (3.0, 3, 3)
    with Checkpoints(tmp_path, keep=2, keep_best=1, metadata=METADATA) as checkpoints:
        assert (checkpoints.note(3), checkpoints.best) == ({"sums": [2.5]}, 3)
        checkpoints.save(7, state(7), iterator(7), loss=2.0)
    assert load(tmp_path, 7) == (7.0, 7, 7)
    with pytest.raises(CheckpointError, match="vocabulary is"):
        load(tmp_path, 3, {"vocabulary": {"bins": 33}})


def test_a_list_that_is_gone_is_missed(tmp_path):
    save(tmp_path, 3, 7)
    (tmp_path / "7" / "checksums.json").unlink()
    with pytest.raises(CheckpointError, match=r"7 is refused: checksums.json is missing\. Whole are 3"):
        load(tmp_path, 7)


@pytest.mark.parametrize("part", ["agent", "optimizer", "data", "metrics", "checksums.json", "_CHECKPOINT_METADATA"])
def test_a_flipped_bit_is_refused_with_its_file_and_nothing_is_deleted(tmp_path, part):
    """Of the agent, the optimizer, the data position, the loss, and what describes them; a writer refuses it too."""
    with Checkpoints(tmp_path, keep_best=1, metadata=METADATA) as checkpoints:
        for step in (3, 7):
            checkpoints.save(step, state(step), iterator(step), loss=1.0)
    found = [path for path in [tmp_path / "7" / part, *(tmp_path / "7" / part).rglob("*")] if path.is_file()]
    file = max((path for path in found if path.name != "commit_success.txt"), key=lambda path: path.stat().st_size)
    content = file.read_bytes()
    file.write_bytes(content[:9] + bytes([content[9] ^ 2]) + content[10:])
    before = sorted(tmp_path.rglob("*"))
    message = rf"{tmp_path}/7 is refused: .*{file.name}.* Whole are 3\. Restore"
    with (
        pytest.raises(CheckpointError, match=message) as raised,
        Checkpoints(tmp_path, keep_best=1, metadata=METADATA, writes=False) as checkpoints,
    ):
        assert checkpoints.best is None or checkpoints.restore(7, state(0), iterator()) is None
    assert "delete" not in str(raised.value)
    assert sorted(tmp_path.rglob("*")) == before
    if part in ("metrics", "checksums.json", "_CHECKPOINT_METADATA"):
        with pytest.raises(CheckpointError, match="7 is refused"):
            Checkpoints(tmp_path, keep_best=1, metadata=METADATA)
    shutil.move(tmp_path / "7", tmp_path.with_name(f"{tmp_path.name}-aside"))
    assert load(tmp_path, 3) == (3.0, 3, 3)


def test_another_shape_is_told_by_name(tmp_path):
    save(tmp_path, 3)
    with (
        Checkpoints(tmp_path, metadata=METADATA) as checkpoints,
        pytest.raises(
            CheckpointError, match=r"agent/bias is missing in .*, \(2,\) here; agent/kernel is \(64, 64\) in"
        ),
    ):
        checkpoints.restore_agent(3, {"kernel": jnp.zeros((64, 32)), "bias": jnp.zeros(2)})


@contextlib.contextmanager
def files_of_at_most(size: int):
    """Writing beyond `size` bytes fails as on a full disk: EFBIG instead of ENOSPC, from the same system call."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_takes_no_more_is_told_and_leaves_the_older_checkpoint(tmp_path):
    save(tmp_path, 3)
    noise = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)
    with files_of_at_most(2048), pytest.raises(CheckpointError, match="could not be written"):  # noqa: SIM117
        with Checkpoints(tmp_path, metadata=METADATA) as checkpoints:
            checkpoints.save(7, ({"kernel": jnp.asarray(noise)}, {"step": jnp.asarray(7)}), iterator(7))
    with Checkpoints(tmp_path, metadata=METADATA) as checkpoints:
        assert checkpoints.latest == 3
    assert load(tmp_path, 3) == (3.0, 3, 3)


def test_opening_to_read_disturbs_no_writer(tmp_path):
    """Whoever evaluates must not remove what a training run is writing at that moment."""
    save(tmp_path, 3)
    unfinished = tmp_path / "7.orbax-checkpoint-tmp"
    unfinished.mkdir()
    with Checkpoints(tmp_path, metadata=METADATA, writes=False) as checkpoints:
        assert checkpoints.latest == 3
    assert unfinished.exists()
    with Checkpoints(tmp_path, metadata=METADATA) as checkpoints:
        assert checkpoints.latest == 3
        for _ in range(100):  # it is removed in the background
            if not unfinished.exists():
                return
            time.sleep(0.1)
    raise AssertionError("a writer leaves what a killed run has not finished")
