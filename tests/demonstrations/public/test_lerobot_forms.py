"""LeRobot data sets as people write them: other versions, names, numbers, instructions, and files that lie."""

import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gymnasium import spaces
from lerobot_sets import box, grey_frames, pictures, rows, shown, write_set

from generalist.demonstrations.public.convert import import_data, in_task_spaces, with_actions
from generalist.demonstrations.public.form import Form
from generalist.demonstrations.public.lerobot import open_lerobot
from generalist.demonstrations.storage import Demonstrations, dataset_folder

LENGTHS = (4, 2, 5)
TOTAL = sum(LENGTHS)
STATE = np.arange(2 * TOTAL, dtype=np.float32).reshape(-1, 2)
ACTION = STATE[:, ::-1] + 100
BOTH = {"observation.state": box(2), "action": box(2)}, {"observation.state": rows(STATE), "action": rows(ACTION)}
VERSIONS = ("v2.1", "v3.0")


def episodes(source, start=0):
    return list(source.episodes(start))


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_2_and_3_give_the_same_episodes(tmp_path, version):
    told = np.repeat([0, 1, 0], LENGTHS)
    folder = write_set(tmp_path / "arm", *BOTH, LENGTHS, version=version, texts=["open it", "close it"], told=told)
    source = open_lerobot(folder)
    for start in (0, 2, 1):
        for number, episode in enumerate(episodes(source, start), start):
            rows_of = slice(sum(LENGTHS[:number]), sum(LENGTHS[: number + 1]))
            np.testing.assert_array_equal(episode.observations["state"][:-1], STATE[rows_of])
            np.testing.assert_array_equal(episode.actions, ACTION[rows_of])
            assert set(episode.observations["task"]) == {["open it", "close it", "open it"][number]}
    import_data(source, tmp_path / "data", quiet=True)
    assert Demonstrations.open(dataset_folder(tmp_path / "data", "arm")).lengths.tolist() == list(LENGTHS)


@pytest.mark.parametrize("version", VERSIONS)
def test_films_of_both_versions(tmp_path, version):
    camera = "observation.images.wrist"
    features = BOTH[0] | {camera: {"dtype": "video", "shape": [3, 48, 64], "names": ["channels", "height", "width"]}}
    times = np.concatenate([np.arange(length) / 10 for length in LENGTHS])
    folder = write_set(
        tmp_path / "arm", features, BOTH[1], LENGTHS, version=version, films={camera: grey_frames(TOTAL)}, times=times
    )
    source = open_lerobot(folder)
    for start in (2, 0, 1):
        found = [shown(episode.observations["images.wrist"][:-1]) for episode in source.episodes(start)]
        assert [*itertools.chain(*found)] == list(range(sum(LENGTHS[:start]), TOTAL))


@pytest.mark.parametrize(
    ("version", "said"), [("v1.6", "python lerobot/.*convert_dataset_v1_to_v2"), ("v4.0", "v2.0, v2.1, v3.0")]
)
def test_another_version_is_refused_with_what_to_do(tmp_path, version, said):
    folder = write_set(tmp_path / "arm", *BOTH, LENGTHS, info={"codebase_version": version})
    with pytest.raises(ValueError, match=rf"{version}.*{said}"):
        open_lerobot(folder)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
@pytest.mark.parametrize("listed", [True, False])
def test_one_integer_is_one_choice(tmp_path, kind, listed):
    chosen = (np.arange(TOTAL) % 3).astype(kind)
    features = {"observation.state": box(2), "action": box(1, dtype=np.dtype(kind).name)}
    columns = {"observation.state": rows(STATE), "action": rows(chosen[:, None]) if listed else pa.array(chosen)}
    source = open_lerobot(write_set(tmp_path / "buttons", features, columns, LENGTHS))
    with pytest.raises(ValueError, match="--actions N"):
        import_data(source, tmp_path / "data", quiet=True)
    counted = with_actions(source, 3)
    assert counted.action_space == spaces.Discrete(3, dtype=kind)
    assert [*itertools.chain(*(episode.actions for episode in counted.episodes()))] == chosen.tolist()
    with pytest.raises(ValueError, match="from 0 to 2"):
        episodes(with_actions(source, 2))


def test_numbers_of_other_kinds(tmp_path):
    choices = np.stack([np.arange(TOTAL) % 4, np.arange(TOTAL) % 2], 1)
    features = {
        "observation.gripper": box(1, dtype="bool"),
        "observation.count": box(1, dtype="int32"),
        "action": box(2, dtype="int64"),
        "next.reward": box(1),
        "next.done": box(1, dtype="bool"),
    }
    columns = {
        "observation.gripper": pa.array(np.arange(TOTAL) % 2 == 0),
        "observation.count": rows(np.arange(TOTAL, dtype=np.int32)[:, None]),
        "action": rows(choices),
        "next.reward": rows(np.arange(TOTAL, dtype=np.float32)[:, None]),
        "next.done": rows(np.isin(np.arange(TOTAL), [3, 10])[:, None]),
    }
    source = open_lerobot(write_set(tmp_path / "set", features, columns, LENGTHS))
    assert source.observation_space["gripper"] == spaces.MultiBinary((1,))
    assert source.observation_space["count"].shape == (1,)
    assert source.action_space.shape == (2,)
    assert "--actions N" in source.note
    counted = with_actions(source, 4)
    assert counted.action_space == spaces.MultiDiscrete([4, 4])
    found = episodes(counted)
    np.testing.assert_array_equal(np.concatenate([episode.actions for episode in found]), choices)
    assert np.concatenate([episode.rewards for episode in found]).tolist() == list(range(TOTAL))
    assert [episode.terminated for episode in found] == [True, False, True]


def test_names_without_the_formats_prefixes(tmp_path):
    camera = np.random.default_rng(0).integers(0, 256, (TOTAL, 6, 8, 3), np.uint8)
    features = {"state": box(2), "actions": box(2), "image": {"dtype": "image", "shape": [6, 8, 3], "names": None}}
    columns = {"state": rows(STATE), "actions": rows(ACTION), "image": pictures(camera)}
    folder = write_set(tmp_path / "libero", features, columns, LENGTHS)
    with pytest.raises(ValueError, match=r"--action NAME\) of state, actions, image"):
        open_lerobot(folder)
    with pytest.raises(ValueError, match=r"--observation KEY=NAME\) of state"):
        open_lerobot(folder, form=Form(action="actions"))
    form = Form(observation=(("arm/state", "state"), ("camera", "image")), action="actions")
    source = open_lerobot(folder, form=form)
    first = next(source.episodes(1))
    assert list(source.observation_space) == ["arm", "camera", "task"]
    np.testing.assert_array_equal(first.observations["arm"]["state"][:-1], STATE[4:6])
    np.testing.assert_array_equal(first.observations["camera"][:-1], camera[4:6])
    np.testing.assert_array_equal(first.actions, ACTION[4:6])
    assert first.observations["task"][0] == "push the block"
    assert "left out" not in source.note
    whole = open_lerobot(folder, form=Form(observation=(("", "state"),), action="actions"))
    assert whole.observation_space.shape == (2,)
    assert "instruction is left out" in whole.note
    assert "left out: image" in whole.note
    with pytest.raises(ValueError, match="no column 'stat': the nearest are state"):
        open_lerobot(folder, form=Form(observation=(("s", "stat"),), action="actions"))
    with pytest.raises(ValueError, match="'a' is one value, so 'a/b' cannot be inside it"):
        open_lerobot(folder, form=Form(observation=(("a", "state"), ("a/b", "image")), action="actions"))
    with pytest.raises(ValueError, match=r"LeRobot the last action .* always taken"):
        open_lerobot(folder, form=Form(last_action_taken=False))


def test_no_name_replaces_another(tmp_path):
    names = (
        "observation.task",
        "observation.instruction",
        "observation.a/b",
        "observation.a.b",
        "action",
        "action.joint",
    )
    features, columns = {}, {}
    for number, name in enumerate(names):
        features[name], columns[name] = box(2), rows(STATE + number)
    source = open_lerobot(write_set(tmp_path / "set", features, columns, LENGTHS))
    first = next(source.episodes())
    assert first.observations["instruction_2"][0] == "push the block"
    found = sorted(values[0, 0] for key, values in first.observations.items() if key != "instruction_2")
    assert found == [0, 1, 2, 3]
    assert first.observations["task"][0, 0] == 0
    assert "'instruction_2'" in source.note
    assert (first.actions["action"][0, 0], first.actions["joint"][0, 0]) == (4, 5)
    group = open_lerobot(tmp_path / "set", form=Form(action="action.joint", observation=(("all", "observation"),)))
    assert group.action_space.shape == (2,)
    assert (
        set(group.observation_space["all"]) == {"task", "instruction", "a.b", "observation.a.b"}
        or len(group.observation_space["all"].spaces) == 4
    )


def test_the_instruction_is_the_users_column(tmp_path):
    said = [f"word {number // 3}" for number in range(TOTAL)]
    features = BOTH[0] | {
        "language_instruction": box(1, dtype="string"),
        "annotation.human.task": box(1, dtype="int64"),
        "annotation.human.validity": box(1, dtype="int64"),
    }
    numbers = np.arange(TOTAL) % 2
    columns = BOTH[1] | {
        "language_instruction": pa.array(said),
        "annotation.human.task": pa.array(numbers),
        "annotation.human.validity": pa.array(numbers + 5),
    }
    folder = write_set(tmp_path / "set", features, columns, LENGTHS, texts=["open é", "close"])
    by_rule = open_lerobot(folder)
    assert next(by_rule.episodes()).observations["task"].tolist() == ["open é"] * 5
    assert "left out: language_instruction, annotation.human.task, annotation.human.validity" in by_rule.note
    column = open_lerobot(folder, form=Form(instruction="language_instruction"))
    assert next(column.episodes()).observations["task"].tolist() == ["word 0"] * 3 + ["word 1"] * 2
    told = open_lerobot(folder, form=Form(instruction="annotation.human.task"))
    assert next(told.episodes()).observations["task"].tolist() == ["open é", "close", "open é", "close", "close"]
    with pytest.raises(ValueError, match=r"episode 0 .*meta/tasks has no text for 5"):
        next(open_lerobot(folder, form=Form(instruction="annotation.human.validity")).episodes())
    with pytest.raises(ValueError, match=r"observation\.state is neither text"):
        open_lerobot(folder, form=Form(instruction="observation.state"))
    goal = open_lerobot(folder, form=Form(observation=(("goal", "task"), ("state", "observation.state"))))
    assert list(goal.observation_space) == ["goal", "state"]
    assert next(goal.episodes()).observations["goal"][0] == "open é"
    silent = open_lerobot(write_set(tmp_path / "silent", *BOTH, LENGTHS, texts=()))
    assert "no instruction" in silent.note
    with pytest.raises(ValueError, match="no tasks"):
        open_lerobot(tmp_path / "silent", form=Form(instruction="task"))


def test_subtasks_have_a_table_of_their_own(tmp_path):
    features = BOTH[0] | {"subtask_index": box(1, dtype="int64")}
    columns = BOTH[1] | {"subtask_index": pa.array(np.arange(TOTAL) % 2)}
    folder = write_set(tmp_path / "set", features, columns, LENGTHS, texts=["one", "two"])
    with pytest.raises(ValueError, match=r"no subtasks"):
        open_lerobot(folder, form=Form(instruction="subtask_index"))
    table = pa.table({"subtask_index": [0, 1], "subtask": ["reach", "grasp"]})
    pq.write_table(table, folder / "meta" / "subtasks.parquet")
    source = open_lerobot(folder, form=Form(instruction="subtask_index"))
    assert next(source.episodes()).observations["task"].tolist() == ["reach", "grasp", "reach", "grasp", "grasp"]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_episode_without_steps_is_named_and_the_others_are_read(tmp_path, version):
    source = open_lerobot(write_set(tmp_path / "set", *BOTH, [4, 0, 7], version=version))
    reader = source.episodes()
    assert len(next(reader)) == 4
    with pytest.raises(ValueError, match=r"episode 1 has no steps"):
        next(reader)
    (last,) = source.episodes(2)
    np.testing.assert_array_equal(last.actions, ACTION[4:])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("length", [3, 5])
def test_rows_that_are_missing_or_too_many_are_named(tmp_path, version, length):
    folder = write_set(tmp_path / "set", *BOTH, LENGTHS, version=version)
    if version == "v2.1":
        about = folder / "meta" / "episodes.jsonl"
        about.write_text(about.read_text().replace('"length": 4', f'"length": {length}'))
    else:
        file = folder / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
        table = pq.read_table(file)
        for name, values in (("length", [length, 2, 5]), ("dataset_to_index", [length, 6, 11])):
            table = table.set_column(table.column_names.index(name), name, pa.array(values))
        pq.write_table(table, file)
    source = open_lerobot(folder)
    with pytest.raises(ValueError, match=r"episode 0 .*(rows|episode)"):
        next(source.episodes())
    assert len(next(source.episodes(1))) == 2


def test_files_and_groups_without_rows_are_passed_over(tmp_path):
    folder = write_set(tmp_path / "set", *BOTH, LENGTHS)
    for file in (folder / "data" / "chunk-000" / "file-000.parquet", *(folder / "meta" / "episodes").glob("*/*")):
        table = pq.read_table(file)
        with pq.ParquetWriter(file, table.schema) as out:
            for part in (table[:0], table[:2], table[:0], table[2:], table[:0]):
                out.write_table(part)
        pq.write_table(table[:0], file.with_name("file-001.parquet"))
    assert [len(episode) for episode in open_lerobot(folder).episodes()] == list(LENGTHS)


def test_rows_are_found_by_their_number_as_lerobots_conversion_needs_it(tmp_path):
    folder = write_set(tmp_path / "set", *BOTH, LENGTHS)
    file = folder / "data" / "chunk-000" / "file-000.parquet"
    table = pq.read_table(file)
    pq.write_table(table[:4], file)
    pq.write_table(table[4:], file.with_name("file-001.parquet"))
    about = folder / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
    places = pq.read_table(about)
    # episode 1 is the first of the second file, and is said to be in the first
    places = places.set_column(places.column_names.index("data/file_index"), "data/file_index", pa.array([0, 0, 1]))
    pq.write_table(places, about)
    source = open_lerobot(folder)
    for start in range(3):
        found = np.concatenate([episode.actions for episode in source.episodes(start)])
        np.testing.assert_array_equal(found, ACTION[sum(LENGTHS[:start]) :])


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{nothing}", "'nothing' in braces, need one of chunk_index, file_index"),
        ("{chunk_index:>9999999999}", "braces"),
        ("{chunk_index:099d}", "braces"),
        ("{chunk_index.__class__}", "braces"),
        ("{chunk_index!r}", "braces"),
        ("{}", "braces"),
        ("a{b", "not closed"),
        ("../{file_index}.parquet", "outside of the data set"),
        ("/etc/{file_index}", "outside of the data set"),
        ("a\0b", "outside of the data set"),
        (7, "no data_path"),
        (None, "no data_path"),
    ],
)
def test_only_the_formats_own_fields_are_replaced(tmp_path, pattern, said):
    folder = write_set(tmp_path / "set", *BOTH, LENGTHS, info={"data_path": pattern})
    with pytest.raises(ValueError, match=said) as error:
        episodes(open_lerobot(folder))
    assert "info.json" in str(error.value)


def test_a_set_of_links_as_hubs_keep_them_is_read(tmp_path):
    folder = write_set(tmp_path / "set", *BOTH, LENGTHS)
    file = folder / "data" / "chunk-000" / "file-000.parquet"
    file.symlink_to(file.rename(tmp_path / "blob"))
    assert len(episodes(open_lerobot(folder))) == 3


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        (box(100_000, 100_000), "more than"),
        (box(-1), "no shape"),
        ({"dtype": "float32", "shape": "ab"}, "no shape"),
        (box(2, dtype="O"), "cannot be read"),
        (box(2, dtype="S9999999999"), "cannot be read"),
        (box(2, dtype=["float32"]), "cannot be read"),
        ({"dtype": "image", "shape": [60_000, 60_000, 3]}, "more than"),
        ({"dtype": "image", "shape": [4]}, "height, width and channels"),
        (box(3, dtype="string"), "3 texts a step"),
        ({}, "no shape"),
    ],
)
def test_a_feature_that_no_value_has_is_refused(tmp_path, feature, said):
    folder = write_set(tmp_path / "set", BOTH[0] | {"observation.odd": feature}, BOTH[1], LENGTHS)
    with pytest.raises(ValueError, match=rf"observation\.odd.*{said}"):
        open_lerobot(folder)


def test_a_picture_is_measured_before_it_is_decoded(tmp_path):
    small = np.zeros((TOTAL, 6, 8, 3), np.uint8)
    features = BOTH[0] | {"observation.image": {"dtype": "image", "shape": [6, 8, 3], "names": None}}
    large = pictures([*small[:-1], np.zeros((3000, 3000, 3), np.uint8)])
    source = open_lerobot(write_set(tmp_path / "set", features, BOTH[1] | {"observation.image": large}, LENGTHS))
    with pytest.raises(
        ValueError, match=r"episode 2 .*observation\.image: a picture has shape \(3000, 3000\), need \(6, 8\)"
    ):
        next(source.episodes(2))


def test_no_module_is_imported_by_a_folders_name(tmp_path):
    folder = write_set(tmp_path / "gym:planted:Evil-v0", *BOTH, LENGTHS)
    source, said = in_task_spaces(open_lerobot(folder))
    assert source.task_id == "gym:planted:Evil-v0"
    assert "--trust planted" in said
    assert open_lerobot(folder, task="robot/arm").task_id == "robot/arm"


def test_a_column_that_swells_is_refused(tmp_path):
    folder = write_set(tmp_path / "set", *BOTH, LENGTHS)
    file = folder / "data" / "chunk-000" / "file-000.parquet"
    table = pq.read_table(file)
    many = 3_000_000
    swollen = rows(np.broadcast_to(np.float32(0), (many, 2)))
    table = pa.table(
        {name: [0] * many for name in table.column_names if name not in BOTH[0]} | dict.fromkeys(BOTH[0], swollen)
    )
    pq.write_table(table, file, compression="zstd", use_dictionary=False, row_group_size=many)
    about = json.loads((folder / "meta" / "info.json").read_text())
    assert about["features"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("generalist.demonstrations.public.distrust.MAX_EXPANDED", 2**20)
        with pytest.raises(ValueError, match="bytes and would become"):
            episodes(open_lerobot(folder))
