import io
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gymnasium import spaces
from PIL import Image

from generalist.demonstrations.public.convert import in_task_spaces, with_actions
from generalist.demonstrations.public.form import Form
from generalist.demonstrations.public.jat import open_jat
from generalist.envs.task import MissingExtra


def write(folder, task, columns, rows, *, files=2, group=2):
    """As `datasets` writes it: typed columns, several row groups a file."""
    place = folder / task
    place.mkdir()
    schema = pa.schema([pa.field(name, kind) for name, kind in columns.items()])
    for number, part in enumerate(np.array_split(range(len(rows)), files)):
        table = pa.Table.from_pylist([rows[i] for i in part], schema=schema)
        name = f"train-{number:05d}-of-{files:05d}.parquet"
        pq.write_table(table, place / name, row_group_size=group, write_page_checksum=True)
    return place


NUMBERS = {
    "continuous_observations": pa.list_(pa.list_(pa.float32())),
    "continuous_actions": pa.list_(pa.list_(pa.float32())),
    "rewards": pa.list_(pa.float32()),
}


def row(number, width=39):
    rng, steps = np.random.default_rng(number), 3 + number
    return {
        "continuous_observations": rng.random((steps, width), np.float32).tolist(),
        "continuous_actions": rng.random((steps, 4), np.float32).tolist(),
        "rewards": rng.random(steps, np.float32).tolist(),
    }


ROWS = [row(number) for number in range(9)]


@pytest.fixture
def metaworld(tmp_path):
    return write(tmp_path, "metaworld-push", NUMBERS, ROWS)


def assert_episode(episode, number):
    given = {name: np.array(values, np.float32) for name, values in ROWS[number].items()}
    observations = given["continuous_observations"]
    np.testing.assert_array_equal(episode.observations, [*observations, observations[-1]])
    np.testing.assert_array_equal(episode.actions, given["continuous_actions"])
    np.testing.assert_array_equal(episode.rewards, given["rewards"])


def test_continuous_episodes_come_back(metaworld):
    source = open_jat(metaworld)
    assert (len(source), source.task_id, source.name) == (9, "metaworld/push-v3", "jat:metaworld-push")
    assert source.action_space == spaces.Box(-1, 1, (4,), np.float32)
    for number, episode in enumerate(source.episodes()):
        assert_episode(episode, number)
        assert (episode.terminated, episode.truncated, episode.metadata.success) == (False, True, None)
        assert (episode.metadata.seed, episode.metadata.expert) == (-1, "jat:metaworld-push")
    for start in (1, 4, 5, 8, 9):
        found = list(source.episodes(start))
        assert len(found) == 9 - start
        for number, episode in enumerate(found, start):
            assert_episode(episode, number)


def test_frames_are_the_newest_of_the_stack(tmp_path):
    rng = np.random.default_rng(0)
    stacks = rng.integers(0, 256, (4, 84, 84, 4), dtype=np.uint8)
    pictures = []
    for stack in stacks:
        file = io.BytesIO()
        Image.fromarray(stack).save(file, "PNG")
        pictures.append({"bytes": file.getvalue(), "path": None})
    columns = {
        "image_observations": pa.list_(pa.struct({"bytes": pa.binary(), "path": pa.string()})),
        "discrete_actions": pa.list_(pa.int64()),
        "rewards": pa.list_(pa.float32()),
    }
    rows = [{"image_observations": pictures, "discrete_actions": [0, 5, 2, 1], "rewards": [0.0, 1.0, 0.0, 0.0]}]
    source = open_jat(write(tmp_path, "atari-bankheist", columns, rows, files=1))
    (episode,) = source.episodes()
    assert (source.task_id, source.action_space) == ("atari/BankHeist", spaces.Discrete(18))
    np.testing.assert_array_equal(episode.observations[:-1], stacks[..., 3:])
    assert episode.actions.tolist() == [0, 5, 2, 1]
    pictures[2]["bytes"] = pictures[2]["bytes"][:1000]
    (tmp_path / "cut").mkdir()
    cut = write(tmp_path / "cut", "atari-bankheist", columns, rows, files=1)
    with pytest.raises(ValueError, match=r"train-00000-of-00001\.parquet, row 0 .*column image_observations.*picture"):
        open_jat(cut)


def test_symbols_are_without_the_compass_and_a_reward_is_a_success(tmp_path):
    rng = np.random.default_rng(0)
    symbols = rng.integers(0, 3, (3, 148))
    columns = {
        "text_observations": pa.list_(pa.string()),
        "discrete_observations": pa.list_(pa.list_(pa.int64())),
        "discrete_actions": pa.list_(pa.int64()),
        "rewards": pa.list_(pa.float32()),
    }
    given = {
        "text_observations": ["go to the red ball"] * 3,
        "discrete_observations": symbols.tolist(),
        "discrete_actions": [0, 1, 2],
        "rewards": [0.0, 0.0, 0.9],
    }
    rows = [given, given | {"rewards": [0.0] * 3}]
    source = open_jat(write(tmp_path, "babyai-go-to-obj", columns, rows, files=1))
    reached, missed = source.episodes()
    assert (source.task_id, source.action_space) == ("babyai_symbolic/GoToObj", spaces.Discrete(7))
    np.testing.assert_array_equal(reached.observations["symbols"][:-1], symbols[:, 1:])
    assert reached.observations["mission"].tolist() == ["go to the red ball"] * 4
    assert (reached.metadata.success, reached.terminated) == (True, True)
    assert (missed.metadata.success, missed.terminated, missed.truncated) == (False, False, True)
    pytest.importorskip("minigrid")
    adapted, differs = in_task_spaces(source)
    assert differs == ""  # it is what our task shows
    np.testing.assert_array_equal(next(adapted.episodes()).observations["symbols"][:-1], symbols[:, 1:])


@pytest.mark.parametrize("how", ["cut", "flipped"])
def test_a_damaged_file_is_named_and_earlier_rows_can_be_read(metaworld, how):
    file = metaworld / "train-00001-of-00002.parquet"
    source, data = open_jat(metaworld), bytearray(file.read_bytes())
    if how == "cut":
        data = data[:-20]
    else:
        column = pq.ParquetFile(file).metadata.row_group(1).column(0)
        begin = column.dictionary_page_offset or column.data_page_offset
        data[begin + column.total_compressed_size - 2] ^= 1  # inside the last page, past its header
    file.write_bytes(data)
    episodes = source.episodes()
    for number in range(7 if how == "flipped" else 5):  # the flipped byte is in the second file's second group
        assert_episode(next(episodes), number)
    with pytest.raises(ValueError, match=file.name):
        list(episodes)


def test_only_the_groups_that_are_needed_are_read(metaworld, monkeypatch):
    read = []
    plain = pq.ParquetFile.iter_batches

    def counting(self, *args, row_groups, **options):
        read.extend(row_groups)
        return plain(self, *args, row_groups=row_groups, **options)

    source = open_jat(metaworld)
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counting)
    episodes = source.episodes(2)
    assert_episode(next(episodes), 2)
    assert read == [1]


def test_without_pyarrow_the_extra_is_named(metaworld, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtra, match=r"generalist\[data\]"):
        open_jat(metaworld)


def test_what_is_not_such_a_set_is_refused(tmp_path, metaworld):
    with pytest.raises(ValueError, match="train-"):
        open_jat(tmp_path)
    renamed = {
        ("continuous_observation" if name == "continuous_observations" else name): k for name, k in NUMBERS.items()
    }
    rows = [{"continuous_observation": r["continuous_observations"], **r} for r in ROWS]
    (tmp_path / "other").mkdir()
    wrong = write(tmp_path / "other", "metaworld-push", renamed, rows)
    with pytest.raises(ValueError, match="no column 'continuous_observations': the nearest are continuous_observation"):
        open_jat(wrong)
    (tmp_path / "ragged").mkdir()
    rows = [ROWS[0], ROWS[1] | {"continuous_observations": [[1.0, 2.0], [3.0], [4.0], [5.0]]}]
    ragged = open_jat(write(tmp_path / "ragged", "metaworld-push", NUMBERS, rows, files=1))
    with pytest.raises(ValueError, match=r"row 1 .*lists have 1 to 2 values"):
        list(ragged.episodes())
    (tmp_path / "short").mkdir()
    rows = [ROWS[0] | {"continuous_actions": ROWS[0]["continuous_actions"][1:]}]
    short = open_jat(write(tmp_path / "short", "metaworld-push", NUMBERS, rows, files=1))
    with pytest.raises(ValueError, match=r"row 0 .*action has 2 rows, need 3"):
        list(short.episodes())


EMPTY = {"continuous_observations": [], "continuous_actions": [], "rewards": []}


def test_an_episode_without_steps_is_named_and_the_others_are_read(tmp_path):
    source = open_jat(write(tmp_path, "metaworld-push", NUMBERS, [EMPTY, ROWS[0], ROWS[1], EMPTY, ROWS[2]], group=1))
    assert source.observation_space.shape == (39,)  # of the first episode that has steps
    for number, file, row in ((0, 0, 0), (3, 1, 0)):
        with pytest.raises(ValueError, match=rf"train-0000{file}-.*row {row}, episode {number} has no steps"):
            next(source.episodes(number))
    first, second = next(source.episodes(1)), next(source.episodes(2))
    assert_episode(first, 0)
    assert_episode(second, 1)
    (last,) = source.episodes(4)
    assert_episode(last, 2)
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="no episode with steps"):
        open_jat(write(tmp_path / "none", "metaworld-push", NUMBERS, [EMPTY, EMPTY]))


def test_files_and_groups_without_rows_are_passed_over(tmp_path):
    folder = tmp_path / "metaworld-push"
    folder.mkdir()
    schema = pa.schema(NUMBERS)
    none = schema.empty_table()
    for number, groups in enumerate([[none], [none, ROWS[:2], none, ROWS[2:3]], [], [ROWS[3:4]], [none]]):
        with pq.ParquetWriter(folder / f"train-{number:05d}-of-00005.parquet", schema) as file:
            for group in groups:
                file.write_table(group if group is none else pa.Table.from_pylist(group, schema))
    source = open_jat(folder)
    for start in range(5):
        for number, episode in enumerate(source.episodes(start), start):
            assert_episode(episode, number)
    assert len(source) == 4


def test_a_bad_first_episode_is_an_error_only_when_it_is_read(tmp_path):
    bad = ROWS[0] | {"continuous_observations": [[1.0, 2.0], [3.0], [4.0]]}
    source = open_jat(write(tmp_path, "metaworld-push", NUMBERS, [bad, ROWS[1]], files=1))
    with pytest.raises(ValueError, match=r"row 0 .*lists have 1 to 2 values"):
        next(source.episodes())
    assert_episode(next(source.episodes(1)), 1)


def test_columns_are_chosen_by_name(tmp_path):
    columns = {
        "continuous_observations": pa.list_(pa.list_(pa.float32())),
        "text_observations": pa.list_(pa.string()),
        "discrete_actions": pa.list_(pa.list_(pa.int64())),
        "rewards": pa.list_(pa.float32()),
    }
    row = {
        "continuous_observations": [[0.5, 1.5]] * 3,
        "text_observations": ["go", "go", "stop"],
        "discrete_actions": [[2], [0], [1]],
        "rewards": [0.0, 1.0, 2.0],
    }
    folder = write(tmp_path, "own-set", columns, [row], files=1)
    by_rule = open_jat(folder)
    assert list(by_rule.observation_space) == ["continuous", "text"]
    assert with_actions(by_rule, 3).action_space == spaces.Discrete(3)  # [1] is one choice
    assert next(with_actions(by_rule, 3).episodes()).actions.tolist() == [2, 0, 1]
    source = open_jat(
        folder, form=Form(observation=(("say/now", "text_observations"),), action="continuous_observations")
    )
    episode = next(source.episodes())
    assert episode.observations["say"]["now"].tolist() == ["go", "go", "stop", "stop"]
    assert episode.actions.shape == (3, 2)
    assert "left out: discrete_actions" in source.note
    for form, said in (
        (
            Form(observation=(("x", "text_observation"),)),
            "no column 'text_observation': the nearest are text_observations",
        ),
        (Form(action="acts"), "no column 'acts'"),
        (Form(observation=(("", "text_observations"), ("x", "rewards"))), "cannot be inside it"),
        (Form(instruction="text_observations"), "--observation KEY=text_observations"),
        (Form(last_action_taken=False), "always taken"),
    ):
        with pytest.raises(ValueError, match=said):
            open_jat(folder, form=form)


def test_no_module_is_imported_by_a_folders_name(tmp_path):
    folder = write(tmp_path, "gym:planted:Evil-v0", NUMBERS, ROWS[:2])
    source, said = in_task_spaces(open_jat(folder))
    assert source.task_id == "gym:planted:Evil-v0"
    assert "--trust planted" in said
    assert open_jat(folder, task="own/task").task_id == "own/task"


@pytest.mark.parametrize("place", [0, 1])
def test_a_picture_is_measured_before_it_is_decoded(tmp_path, place, monkeypatch):
    def png(height, width):
        file = io.BytesIO()
        Image.new("L", (width, height)).save(file, "PNG")
        return {"bytes": file.getvalue(), "path": None}

    columns = {
        "image_observations": pa.list_(pa.struct({"bytes": pa.binary(), "path": pa.string()})),
        "discrete_actions": pa.list_(pa.int64()),
        "rewards": pa.list_(pa.float32()),
    }
    row = {"image_observations": [png(84, 84)] * 2, "discrete_actions": [0, 1], "rewards": [0.0, 0.0]}
    large = row | {"image_observations": [png(84, 84), png(9000, 9000)]}
    rows = [large, row] if place == 0 else [row, large]
    source = open_jat(write(tmp_path, "own-pictures", columns, rows, files=1), task="own/pictures")
    decoded = []
    monkeypatch.setattr(
        Image.Image, "load", lambda self, plain=Image.Image.load: (decoded.append(self.size), plain(self))[1]
    )
    with pytest.raises(ValueError, match=rf"row {place} .*a picture has shape \(9000, 9000\), need \(84, 84\)"):
        next(source.episodes(place))
    assert (9000, 9000) not in decoded
    assert len(next(source.episodes(1 - place)).actions) == 2
