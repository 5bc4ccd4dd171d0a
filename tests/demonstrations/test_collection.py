import os

import pytest

from generalist.demonstrations.collection import check_folder, collection_settings, opened_collection, shard_count
from generalist.demonstrations.storage import COLLECTION, INDEX, dataset_folder, write_json
from generalist.envs.task import Task

TASK = Task(id="Some-v1", family="gym", make=dict, expert=None, horizon=5, score="return", has_success=False)


def settings(**changes):
    return collection_settings(TASK, **({"policy": "random", "noise": 0.0, "seed": 1, "episodes": 10} | changes))


@pytest.mark.parametrize(("episodes", "shards"), [(1, 1), (99, 2), (100, 4), (4000, 4), (4001, 5), (10**6, 1000)])
def test_number_of_shards(episodes, shards):
    assert shard_count(episodes) == shards


def test_shards_hold_every_episode_once(tmp_path):
    with opened_collection(TASK, settings(), tmp_path, overwrite=False) as collection:
        assert collection.missing() == [0, 1]
        assert [n for shard in range(2) for n in collection.shard_episodes(shard)] == list(range(10))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 2}, "seed was 1, now 2"),
        ({"episodes": 11}, "episodes was 10, now 11"),
        ({"noise": 0.5}, "noise was 0.0, now 0.5"),
        ({"policy": "expert"}, "policy was random, now expert"),
    ],
)
def test_other_settings_are_refused_and_named(tmp_path, change, message):
    with opened_collection(TASK, settings(), tmp_path, overwrite=False):
        pass
    folder = dataset_folder(tmp_path, TASK.id)
    check_folder(folder, settings())
    with pytest.raises(ValueError, match=message):
        check_folder(folder, settings(**change))
    with opened_collection(TASK, settings(**change), tmp_path, overwrite=True) as collection:
        assert collection.settings == settings(**change)
    check_folder(folder, settings(**change))


def test_an_unfinished_collection_is_not_continued_with_other_versions(tmp_path):
    other = settings() | {"versions": {"gymnasium": "0.0.1"}}
    with opened_collection(TASK, other, tmp_path, overwrite=False):
        pass
    with pytest.raises(ValueError, match="versions was"):
        check_folder(dataset_folder(tmp_path, TASK.id), settings())


def test_a_folder_with_other_things_is_never_touched(tmp_path):
    folder = dataset_folder(tmp_path, TASK.id)
    folder.mkdir(parents=True)
    (folder / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=r"holds thesis\.tex and is not a collection"):
            opened_collection(TASK, settings(), tmp_path, overwrite=overwrite).__enter__()
    assert (folder / "thesis.tex").read_text() == "years of work"


def test_leftovers_of_an_interrupted_writer_are_no_obstacle(tmp_path):
    folder = dataset_folder(tmp_path, TASK.id)
    folder.mkdir(parents=True)
    (folder / ".part-collection.json-77").write_text("{")
    with opened_collection(TASK, settings(), tmp_path, overwrite=False):
        assert sorted(os.listdir(folder)) == [".lock", COLLECTION]


def test_overwrite_removes_what_was_there(tmp_path):
    folder = dataset_folder(tmp_path, TASK.id)
    with opened_collection(TASK, settings(), tmp_path, overwrite=False):
        write_json(folder / INDEX, {})
    with opened_collection(TASK, settings(), tmp_path, overwrite=True):
        assert not (folder / INDEX).exists()


def test_two_processes_cannot_collect_into_one_folder(tmp_path):
    with (
        opened_collection(TASK, settings(), tmp_path, overwrite=False),
        pytest.raises(ValueError, match="another process is collecting"),
        opened_collection(TASK, settings(), tmp_path, overwrite=False),
    ):
        pass  # flock separates open files, so one process shows it
    with opened_collection(TASK, settings(), tmp_path, overwrite=False):
        pass
