import json
import shutil
from pathlib import Path

import pytest
from imported import EPISODES, TASK, imported
from tiny import TASKS, demonstrations

from generalist.demonstrations.data_folder import check_known, data_sets, is_recorded, recorded_tasks
from generalist.demonstrations.storage import dataset_folder
from generalist.envs.task import UnknownTask


@pytest.fixture
def data(tmp_path) -> Path:
    """Two recorded data sets and an imported one."""
    folder = Path(shutil.copytree(demonstrations(), tmp_path / "data"))
    shutil.copytree(imported(), folder, dirs_exist_ok=True)
    return folder


def test_every_data_set_is_listed_with_what_it_holds(data):
    found = {each.task: each for each in data_sets(data)}
    assert set(found) == {*TASKS, TASK}
    arm, pole = found[TASK], found[TASKS[0]]
    assert (arm.episodes, arm.policy, arm.success, arm.problem) == (EPISODES, "own:arm", None, "")
    assert arm.steps == sum(6 + number % 4 for number in range(EPISODES))
    assert (pole.episodes, pole.policy) == (10, "random")
    assert pole.mean_return is not None
    assert pole.mean_return > 5
    assert pole.observation_space is not None
    assert pole.observation_space.shape == (4,)


@pytest.mark.parametrize("damage", ["unfinished", "shard", "collection"])
def test_what_cannot_be_read_is_listed_with_its_reason(data, damage):
    folder = dataset_folder(data, TASKS[0])
    if damage == "unfinished":
        (folder / "index.json").unlink()
        said = "the same command again goes on"
    elif damage == "shard":
        shard = next(folder.glob("*.array_record*"))
        shard.write_bytes(shard.read_bytes()[:100])
        said = shard.name
    else:
        (folder / "collection.json").write_text("{")
        said = "collection.json"
    [broken] = [each for each in data_sets(data) if each.problem]
    assert broken.folder == folder
    assert said in broken.problem
    assert set(recorded_tasks(data)) == {TASKS[1], TASK}


def test_other_folders_are_no_data_sets(data):
    (data / "notes" / "1.0.0").mkdir(parents=True)
    (data / "notes" / "1.0.0" / "index.json").write_text(json.dumps({}))
    assert len(data_sets(data)) == 3
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        data_sets(data / "elsewhere")
    assert recorded_tasks(data / "elsewhere") == ()


def test_a_task_is_known_by_its_data_or_by_its_environment(data):
    assert is_recorded(data, TASK)
    assert not is_recorded(data, "robot/other")
    check_known(TASK, data)
    check_known("Acrobot-v1", data)
    check_known("Acrobot-v1", data / "elsewhere")
    with pytest.raises(UnknownTask, match=rf"robot/own-armm.*the nearest in .*data are {TASK}.*tasks --data"):
        check_known("robot/own-armm", data)
    with pytest.raises(UnknownTask, match="has no demonstrations of it"):
        check_known("quite something else", data)
