import json
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from gymnasium import spaces

from generalist.demonstrations.collect import collect
from generalist.demonstrations.episode import Episode, EpisodeMetadata
from generalist.demonstrations.rlds import encode_episode
from generalist.demonstrations.shards import shard_path, write_shard
from generalist.demonstrations.storage import (
    COLLECTION,
    INDEX,
    SPACES,
    STEPS,
    Demonstrations,
    dataset_folder,
    ensure_spaces,
    finish_collection,
    read_shard_index,
    write_json,
)

OBSERVATION = spaces.Dict(
    {
        "image": spaces.Box(0, 255, (4, 4, 3), np.uint8),
        "mission": spaces.Text(9),
        "joints/left": spaces.Box(-1, 1, (2,)),
    }
)
ACTION = spaces.Tuple([spaces.Discrete(5), spaces.Box(-1, 1, (2,))])
LENGTHS = [3, 1, 4, 1, 5, 9, 2]
SHARDS = 3


def make_episode(number: int) -> Episode:
    rng, length = np.random.default_rng(number), LENGTHS[number]
    missions = np.array([*["go left", "go right"] * 9][: length + 1], object)
    observations = {
        "image": rng.integers(0, 256, (length + 1, 4, 4, 3), dtype=np.uint8),
        "mission": missions,
        "joints/left": rng.random((length + 1, 2), np.float32),
    }
    metadata = EpisodeMetadata(
        task_id="babyai/GoToObj",
        seed=100 + number,
        episode_return=number / 3,
        success=number % 2 == 0,
        expert="expert",
        noise=0.5,
    )
    return Episode(
        observations=observations,
        actions=(rng.integers(0, 5, length), rng.random((length, 2), np.float32)),
        rewards=rng.random(length, np.float32),
        terminated=number % 2 == 0,
        truncated=number % 2 == 1,
        metadata=metadata,
    )


EPISODES = [make_episode(number) for number in range(len(LENGTHS))]


@pytest.fixture
def folder(tmp_path):
    folder = dataset_folder(tmp_path, "babyai/GoToObj")
    folder.mkdir(parents=True)
    write_json(folder / COLLECTION, {"task": "babyai/GoToObj", "seed": 7})
    ensure_spaces(folder, OBSERVATION, ACTION)
    for shard, numbers in enumerate(np.array_split(range(len(LENGTHS)), SHARDS)):
        write_shard(
            shard_path(folder, shard, SHARDS), [encode_episode(EPISODES[i], OBSERVATION, ACTION) for i in numbers]
        )
    finish_collection(folder, [read_shard_index(shard_path(folder, shard, SHARDS)) for shard in range(SHARDS)])
    return folder


def assert_same_episode(one: Episode, other: Episode):
    assert one.metadata == other.metadata
    assert (one.terminated, one.truncated) == (other.terminated, other.truncated)
    np.testing.assert_array_equal(one.rewards, other.rewards)
    for key in OBSERVATION:
        np.testing.assert_array_equal(one.observations[key], other.observations[key])
    for a, b in zip(one.actions, other.actions, strict=True):
        np.testing.assert_array_equal(a, b)


def test_episodes_come_back_with_their_facts(folder):
    demonstrations = Demonstrations.open(folder)
    assert len(demonstrations) == len(LENGTHS)
    assert demonstrations.task_id == "babyai/GoToObj"
    assert demonstrations.observation_space == OBSERVATION
    assert demonstrations.action_space == ACTION
    assert demonstrations.settings["seed"] == 7
    np.testing.assert_array_equal(demonstrations.lengths, LENGTHS)
    np.testing.assert_array_equal(demonstrations.returns, [e.metadata.episode_return for e in EPISODES])
    assert demonstrations.successes == tuple(e.metadata.success for e in EPISODES)
    for number, episode in enumerate(EPISODES):
        assert_same_episode(demonstrations.episode(number), episode)


def test_a_notebook_is_told_what_there_is(folder):
    demonstrations = Demonstrations.open(folder)
    shown = demonstrations._repr_html_()

    assert f"Demonstrations of {demonstrations.task_id}" in shown
    assert f"{int(demonstrations.lengths.sum()):,}, {demonstrations.lengths.mean():.1f} an episode" in shown
    assert "<script" not in Demonstrations._repr_html_(replace(demonstrations, task_id="<script>x</script>"))


def test_episodes_are_a_table_of_pandas(folder):
    demonstrations = Demonstrations.open(folder)
    table = demonstrations.to_pandas()
    assert table["length"].tolist() == demonstrations.lengths.tolist()
    assert table["return"].tolist() == demonstrations.returns.tolist()
    assert table.index.name == "episode"
    assert list(table["success"]) == list(demonstrations.successes)


def test_an_index_beyond_the_end_is_an_error(folder):
    demonstrations = Demonstrations.open(folder)
    for index in (-1, len(LENGTHS)):
        with pytest.raises(IndexError):
            demonstrations.episode(index)


def test_columns_are_the_episodes_end_to_end_without_final_observations(folder):
    assert (folder / STEPS).exists(), "made when the collection was finished"
    columns = Demonstrations.open(folder).columns()
    assert columns.starts.tolist() == np.cumsum([0, *LENGTHS]).tolist()
    assert len(columns) == sum(LENGTHS)
    observations, actions = columns.take(np.arange(len(columns)))
    for key in OBSERVATION:
        expected = [row for e in EPISODES for row in e.observations[key][:-1]]
        assert len(observations[key]) == len(expected)
        for found, row in zip(observations[key], expected, strict=True):
            np.testing.assert_array_equal(found, row)
    for part in range(2):
        expected = [row for e in EPISODES for row in e.actions[part]]
        for found, row in zip(actions[part], expected, strict=True):
            np.testing.assert_array_equal(found, row)


def test_columns_are_made_again_where_they_are_missing_or_of_other_data(folder):
    demonstrations = Demonstrations.open(folder)
    made = (folder / STEPS).read_bytes()
    (folder / STEPS).unlink()
    demonstrations.columns()
    assert (folder / STEPS).read_bytes() == made
    settings = json.loads((folder / COLLECTION).read_text())
    write_json(folder / COLLECTION, settings | {"seed": 8})
    demonstrations.columns()
    assert (folder / STEPS).read_bytes() != made


def test_reading_leaves_no_descriptors_open(folder):
    demonstrations = Demonstrations.open(folder)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(len(LENGTHS)):
        demonstrations.episode(number)
    again = Demonstrations.open(folder)
    again.columns().file.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_opened_set_can_be_sent_to_another_process(folder):
    again = pickle.loads(pickle.dumps(Demonstrations.open(folder)))
    assert_same_episode(again.episode(4), EPISODES[4])


def test_the_folder_above_opens_too(folder):
    assert len(Demonstrations.open(folder.parent)) == len(LENGTHS)


def test_tfds_reads_the_folder(folder):
    builder = tfds.builder_from_directory(folder)
    source = builder.as_data_source("train")
    assert builder.info.splits["train"].num_examples == len(source) == len(EPISODES)
    for found, episode in zip(source, EPISODES, strict=True):
        assert found["task_id"] == b"babyai/GoToObj"
        assert int(found["seed"]) == episode.metadata.seed
        assert float(found["return"]) == episode.metadata.episode_return
        steps = list(found["steps"])
        assert len(steps) == len(episode) + 1
        for t, step in enumerate(steps):
            np.testing.assert_array_equal(step["observation"]["image"], episode.observations["image"][t])
            np.testing.assert_array_equal(step["observation"]["joints%2Fleft"], episode.observations["joints/left"][t])
            assert step["observation"]["mission"].decode() == episode.observations["mission"][t]
        for t in range(len(episode)):
            assert int(steps[t]["action"]["0"]) == episode.actions[0][t]
            assert steps[t]["reward"] == episode.rewards[t]
    assert len(builder.as_data_source("train[:50%]")) == 4


def test_tfds_finds_it_by_name(folder):
    assert tfds.builder("babyai_go_to_obj", data_dir=folder.parent.parent).info.splits["train"].num_shards == SHARDS


def test_nothing_but_json_array_record_and_columns_is_written(folder):
    assert {Path(p.name.split("-")[1] if "-" in p.name else p.name).suffix for p in folder.iterdir()} == {
        ".json",
        ".array_record",
        ".columns",
    }


def test_a_missing_or_truncated_shard_is_named_when_opened(folder):
    shard = shard_path(folder, 1, SHARDS)
    data = shard.read_bytes()
    shard.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"array_record-00001-of-00003 is truncated or corrupt"):
        Demonstrations.open(folder)
    shard.unlink()
    with pytest.raises(ValueError, match=r"array_record-00001-of-00003 is missing"):
        Demonstrations.open(folder)


def test_a_shard_of_another_collection_is_named(folder):
    shard = shard_path(folder, 1, SHARDS)
    write_shard(shard, [b"not an example"] * 2)
    (folder / STEPS).unlink()
    with pytest.raises(ValueError, match=r"00001-of-00003 does not hold what the collection says"):
        Demonstrations.open(folder).columns()
    assert not (folder / STEPS).exists()
    assert not list(folder.glob(".part*"))
    write_shard(shard, [b"x"])
    with pytest.raises(ValueError, match=r"00001-of-00003 has 1 episodes instead of 2"):
        Demonstrations.open(folder)


@pytest.mark.parametrize(
    ("name", "message"), [(COLLECTION, "generalist collect"), (INDEX, "unfinished"), (SPACES, "restore it from a copy")]
)
def test_a_missing_or_damaged_description_says_what_to_do(folder, name, message):
    (folder / name).write_text("{")
    with pytest.raises(ValueError, match=rf"{name} is damaged"):
        Demonstrations.open(folder)
    (folder / name).unlink()
    with pytest.raises(ValueError, match=message):
        Demonstrations.open(folder)


def test_other_spaces_are_refused(folder):
    ensure_spaces(folder, OBSERVATION, ACTION)
    with pytest.raises(ValueError, match="spaces differ"):
        ensure_spaces(folder, OBSERVATION, spaces.Discrete(3))


@pytest.mark.parametrize(
    ("task_id", "name"),
    [
        ("CartPole-v1", "cart_pole_v1"),
        ("babyai/GoToLocalS5N2", "babyai_go_to_local_s5_n2"),
        ("metaworld/drawer-close-v3", "metaworld_drawer_close_v3"),
        ("gym:some.module:MyEnv-v0", "gym_some_module_my_env_v0"),
        ("3D", "task_3_d"),
    ],
)
def test_folder_names(tmp_path, task_id, name):
    assert dataset_folder(tmp_path, task_id) == tmp_path / name / "1.0.0"


def test_a_data_folder_can_be_moved_and_its_data_sets_renamed(tmp_path):
    collect(["CartPole-v1"], tmp_path / "data", episodes=3, policy="random", workers=0, quiet=True)
    before = Demonstrations.open(dataset_folder(tmp_path / "data", "CartPole-v1")).episode(2)
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "cart_pole_v1").rename(tmp_path / "elsewhere" / "my poles")
    folder = dataset_folder(tmp_path / "elsewhere", "CartPole-v1")
    assert folder == tmp_path / "elsewhere" / "my poles" / "1.0.0"
    opened = Demonstrations.open(folder)
    assert opened.task_id == "CartPole-v1"
    np.testing.assert_array_equal(opened.episode(2).observations, before.observations)
    assert len(opened.columns(quiet=True)) == opened.lengths.sum()
    [again] = collect(["CartPole-v1"], tmp_path / "elsewhere", episodes=3, policy="random", workers=0, quiet=True)
    assert (again.folder, again.kept) == (folder, 3)
    shutil.copytree(tmp_path / "elsewhere" / "my poles", tmp_path / "elsewhere" / "copy")
    with pytest.raises(ValueError, match=r"copy.* and .*my poles.* both are data sets of CartPole-v1: keep one"):
        dataset_folder(tmp_path / "elsewhere", "CartPole-v1")
    (tmp_path / "elsewhere" / "copy").rename(tmp_path / "elsewhere" / "cart_pole_v1")
    assert dataset_folder(tmp_path / "elsewhere", "CartPole-v1").parent.name == "cart_pole_v1"


def test_a_renamed_unfinished_collection_goes_on_under_its_shards_names(tmp_path):
    collect(["CartPole-v1"], tmp_path, episodes=4, policy="random", workers=0, quiet=True)
    old = dataset_folder(tmp_path, "CartPole-v1")
    (old / "index.json").unlink()
    shard_path(old, 1, 2).unlink()
    old.parent.rename(tmp_path / "other")
    [again] = collect(["CartPole-v1"], tmp_path, episodes=4, policy="random", workers=0, quiet=True)
    assert again.folder.parent.name == "other"
    names = sorted(path.name for path in again.folder.glob("*array_record*"))
    assert [name.split("-")[0] for name in names] == ["cart_pole_v1", "cart_pole_v1"]
