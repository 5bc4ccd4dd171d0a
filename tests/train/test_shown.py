"""Pictures that are kept shrunk are exactly those that the layout would have shrunk at every draw."""

import dataclasses
import os
import pickle

import numpy as np
import pytest
from gymnasium import spaces

from generalist.demonstrations.columns import Columns
from generalist.demonstrations.episode import Episode, EpisodeMetadata
from generalist.demonstrations.rlds import encode_episode
from generalist.demonstrations.shards import shard_path, write_shard
from generalist.demonstrations.storage import (
    COLLECTION,
    STEPS,
    Demonstrations,
    dataset_folder,
    ensure_spaces,
    finish_collection,
    read_shard_index,
    write_json,
)
from generalist.envs.spaces import space_leaves, take
from generalist.tokenizers.image import ShownImages, WholeImageField
from generalist.tokenizers.layout import Layout, LayoutOptions
from generalist.train import shown
from generalist.train.config import PromptConfig
from generalist.train.data import TaskSource, packed_rows
from generalist.train.packing import to_batch
from generalist.train.shown import ShownSteps, shown_steps
from generalist.train.step_tokens import column_tokens
from generalist.train.windows import EpisodeTable

OBSERVATION = spaces.Dict(
    {
        "view": spaces.Box(0, 255, (40, 44, 3), np.uint8),
        "n": spaces.Discrete(5),
        "stack": spaces.Box(0, 255, (4, 24, 20), np.uint8),
        "first": spaces.Box(0, 255, (3, 30, 18), np.uint8),
        "wide": spaces.Box(0, 255, (9, 60), np.uint8),
        "small": spaces.Box(0, 255, (9, 9, 3), np.uint8),
    }
)
ACTION = spaces.Discrete(3)
LENGTHS = [70, 1, 5, 20]
FACTS = {"task_id": "Some-v1", "episode_return": 0.0, "success": None, "expert": "", "noise": 0.0}
LARGER = {"view", "stack", "first", "wide"}


def episode(number: int) -> Episode:
    rng, length = np.random.default_rng(number), LENGTHS[number]
    observations = {"n": rng.integers(0, 5, length + 1)}
    for key, space in OBSERVATION.items():
        if key != "n":
            observations[key] = rng.integers(0, 256, (length + 1, *space.shape), np.uint8)
    return Episode(
        observations=observations,
        actions=rng.integers(0, 3, length),
        rewards=np.zeros(length, np.float32),
        terminated=True,
        truncated=False,
        metadata=EpisodeMetadata(**FACTS, seed=number),
    )


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory) -> Demonstrations:
    folder = dataset_folder(tmp_path_factory.mktemp("shown"), "Some-v1")
    folder.mkdir(parents=True)
    write_json(folder / COLLECTION, {"task": "Some-v1"})
    ensure_spaces(folder, OBSERVATION, ACTION)
    write_shard(shard_path(folder, 0, 1), [encode_episode(episode(number), OBSERVATION, ACTION) for number in range(4)])
    finish_collection(folder, [read_shard_index(shard_path(folder, 0, 1))])
    return Demonstrations.open(folder)


@pytest.fixture
def columns(demonstrations) -> Columns:
    for path in demonstrations.folder.glob("pictures-*"):
        path.unlink()
    return demonstrations.columns()


def layout(shape=(16, 16, 3), images="conv") -> Layout:
    return Layout.from_spaces(OBSERVATION, ACTION, options=LayoutOptions(images=images, image_shape=shape))


def pictures(demonstrations: Demonstrations) -> dict[str, int]:
    """Times of the files of shrunk pictures."""
    return {path.name: path.stat().st_mtime_ns for path in demonstrations.folder.glob("pictures-*")}


@pytest.mark.parametrize("shape", [(16, 16, 3), (8, 8, 1), (12, 30, 3), (9, 10, 1)])
def test_kept_pictures_are_exactly_what_the_layout_shows(demonstrations, columns, shape, monkeypatch):
    monkeypatch.setattr(shown, "TOGETHER", 4)  # more pieces than threads
    made, steps = layout(shape), np.array([0, 95, 70, 71, 3, 69, 3])
    found = shown_steps(demonstrations, columns, made).observations(steps)
    plain = columns.observations(steps)
    fields = {part.leaf.keys[0]: part for part in made.image_fields}
    kept = {key for key, values in found.items() if isinstance(values, ShownImages)}
    assert kept == {key for key, part in fields.items() if shape[0] * shape[1] < part.form.height * part.form.width}
    for key, part in fields.items():
        np.testing.assert_array_equal(part.encode(found[key]), part.encode(plain[key]), key)
    np.testing.assert_array_equal(found["n"], plain["n"])


def test_every_kept_picture_is_of_its_step(demonstrations, columns):
    made = layout()
    steps = np.arange(len(columns))
    found, plain = shown_steps(demonstrations, columns, made).observations(steps), columns.observations(steps)
    for part in made.image_fields:
        np.testing.assert_array_equal(part.encode(found[part.leaf.keys[0]]), part.encode(plain[part.leaf.keys[0]]))


def test_batches_are_the_same_with_and_without(demonstrations, columns):
    made = layout()
    source = TaskSource(
        index=0,
        layout=made,
        steps=shown_steps(demonstrations, columns, made),
        table=EpisodeTable(columns.starts[:-1], columns.lengths),
        step_tokens=column_tokens(made, columns),
        sequence_length=64,
        prompt=PromptConfig(),
        seed=0,
    )
    plain = dataclasses.replace(source, steps=ShownSteps(columns))
    one, other = (packed_rows([each], [1.0], each.capacity, rows=2) for each in (source, plain))
    for _ in range(3):
        first, second = (to_batch([next(rows)], source.capacity) for rows in (one, other))
        assert first.images.any()
        for name, values in first.arrays().items():
            np.testing.assert_array_equal(values, getattr(second, name), name)


def test_pictures_are_shrunk_once_for_each_size(demonstrations, columns):
    keys = [path[0] for path, _ in space_leaves(OBSERVATION)]
    first = {f"pictures-{keys.index(key)}-16x16x3.columns" for key in LARGER}
    shown_steps(demonstrations, columns, layout())
    made = pictures(demonstrations)
    assert set(made) == first
    shown_steps(demonstrations, columns, layout())
    assert pictures(demonstrations) == made
    shown_steps(demonstrations, columns, layout((8, 8, 1)))
    later = pictures(demonstrations)
    assert {name: later[name] for name in made} == made
    assert set(later) - first == {f"pictures-{keys.index(key)}-8x8x1.columns" for key in {*LARGER, "small"}}


def test_another_version_of_the_shrinking_makes_them_anew(demonstrations, columns, monkeypatch):
    shown_steps(demonstrations, columns, layout())
    made = pictures(demonstrations)
    monkeypatch.setattr(WholeImageField, "VERSION", 2)
    shown_steps(demonstrations, columns, layout())
    later = pictures(demonstrations)
    assert set(later) == set(made)
    assert not set(later.values()) & set(made.values())


@pytest.mark.parametrize(("shape", "images"), [((48, 48, 3), "conv"), ((56, 56, 1), "conv"), ((8, 8, 3), "patches")])
def test_nothing_is_kept_where_nothing_shrinks(demonstrations, columns, shape, images):
    found = shown_steps(demonstrations, columns, layout(shape, images))
    assert not found.shrunk
    assert not pictures(demonstrations)


def test_a_picture_of_the_size_that_is_shown_is_not_kept_twice(demonstrations, columns):
    shown_steps(demonstrations, columns, layout((24, 20, 1)))
    keys = [path[0] for path, _ in space_leaves(OBSERVATION)]
    kept = {keys[int(name.split("-")[1])] for name in pictures(demonstrations)}
    assert kept == {"view", "first", "wide"}


def test_sent_to_another_process_files_are_opened_again(demonstrations, columns):
    made = shown_steps(demonstrations, columns, layout())
    sent = pickle.dumps(made)
    assert len(sent) < 4000
    again, steps = pickle.loads(sent), np.array([71, 2])
    for key, values in made.observations(steps).items():
        other = again.observations(steps)[key]
        same = (values.values, other.values) if isinstance(values, ShownImages) else (values, other)
        np.testing.assert_array_equal(*same)
    np.testing.assert_array_equal(again.actions(steps), take(columns.actions(np.arange(96)), steps))


@pytest.mark.parametrize("name", ["pictures", STEPS])
def test_a_file_that_is_replaced_is_named_at_the_next_read(demonstrations, columns, name):
    made, steps = shown_steps(demonstrations, columns, layout()), np.array([0])
    made.observations(steps)
    path = next(demonstrations.folder.glob(f"{name}*"))
    os.utime(path, ns=(1, 1))
    with pytest.raises(ValueError, match=rf"{path.name} was replaced or changed"):
        made.observations(steps)
