import io
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gymnasium import spaces
from PIL import Image

from generalist.demonstrations.public.lerobot import open_lerobot
from generalist.envs.files import write_json
from generalist.envs.task import MissingExtra

LENGTHS = (5, 3, 4, 6, 2)
FILES = (0, 0, 0, 1, 1)
"""Data file of each episode."""
FEATURES = {
    "observation.images.top": {"dtype": "image", "shape": [6, 8, 3], "names": ["height", "width", "channels"]},
    "observation.state": {"dtype": "float32", "shape": [2], "names": ["x", "y"]},
    "observation.touch": {"dtype": "int64", "shape": [1], "names": None},
    "action": {"dtype": "float32", "shape": [2], "names": ["x", "y"]},
    "next.reward": {"dtype": "float32", "shape": [1], "names": None},
    "next.done": {"dtype": "bool", "shape": [1], "names": None},
    "next.success": {"dtype": "bool", "shape": [1], "names": None},
    **{
        name: {"dtype": "int64", "shape": [1], "names": None} for name in ("frame_index", "episode_index", "task_index")
    },
    "index": {"dtype": "int64", "shape": [1], "names": None},
    "timestamp": {"dtype": "float32", "shape": [1], "names": None},
}
TASKS = ["push the T", "pick é up"]
SCHEMA = pa.schema(
    {
        "observation.images.top": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        "observation.state": pa.list_(pa.float32(), 2),
        "observation.touch": pa.int64(),
        "action": pa.list_(pa.float32(), 2),
        "next.reward": pa.float32(),
        "next.done": pa.bool_(),
        "next.success": pa.bool_(),
        "frame_index": pa.int64(),
        "episode_index": pa.int64(),
        "task_index": pa.int64(),
        "index": pa.int64(),
        "timestamp": pa.float32(),
    }
)


def steps(number):
    rng = np.random.default_rng(number)
    rows = []
    for t in range(LENGTHS[number]):
        pixels, file = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        rows.append(
            {
                "pixels": pixels,
                "observation.images.top": {"bytes": file.getvalue(), "path": f"frame-{t:06d}.png"},
                "observation.state": rng.random(2, np.float32),
                "observation.touch": int(rng.integers(9)),
                "action": rng.random(2, np.float32),
                "next.reward": float(np.float32(rng.random())),
                "next.done": t == LENGTHS[number] - 1,
                "next.success": number == 1 and t == LENGTHS[number] - 1,
                "frame_index": t,
                "episode_index": number,
                "task_index": number % 2,
                "index": sum(LENGTHS[:number]) + t,
                "timestamp": t / 10,
            }
        )
    return rows


EPISODES = [steps(number) for number in range(len(LENGTHS))]


def write(folder, features=FEATURES, schema=SCHEMA, videos=(), group=4):
    """The layout of version 3.0, as LeRobot writes it with pyarrow and pandas."""
    (folder / "meta" / "episodes" / "chunk-000").mkdir(parents=True)
    (folder / "data" / "chunk-000").mkdir(parents=True)
    info = {
        "codebase_version": "v3.0",
        "total_episodes": len(LENGTHS),
        "fps": 10,
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": features,
    }
    write_json(folder / "meta" / "info.json", info)
    # pandas's index, which `DataFrame.to_parquet` writes as a column of this name
    pq.write_table(pa.table({"task_index": [0, 1], "__index_level_0__": TASKS}), folder / "meta" / "tasks.parquet")
    for file in set(FILES):
        rows = [row for number, where in enumerate(FILES) if where == file for row in EPISODES[number]]
        table = pa.Table.from_pylist([{name: row[name] for name in schema.names} for row in rows], schema=schema)
        path = folder / "data" / "chunk-000" / f"file-{file:03d}.parquet"
        pq.write_table(table, path, row_group_size=group, write_page_checksum=True)
    ends = np.cumsum(LENGTHS)
    places = {
        "episode_index": range(len(LENGTHS)),
        "tasks": [[TASKS[number % 2]] for number in range(len(LENGTHS))],
        "length": LENGTHS,
        "data/chunk_index": [0] * len(LENGTHS),
        "data/file_index": FILES,
        "dataset_from_index": (ends - LENGTHS).tolist(),
        "dataset_to_index": ends.tolist(),
        "stats/action/mean": [[0.0, 0.0]] * len(LENGTHS),
    }
    for name in videos:
        places |= {f"videos/{name}/{kind}_index": [0] * len(LENGTHS) for kind in ("chunk", "file")}
        places[f"videos/{name}/from_timestamp"] = ((ends - LENGTHS) / 10).tolist()
        places[f"videos/{name}/to_timestamp"] = (ends / 10).tolist()
    table = pa.table({name: list(values) for name, values in places.items()})
    for number, part in enumerate((table.slice(0, 2), table.slice(2))):
        pq.write_table(part, folder / "meta" / "episodes" / "chunk-000" / f"file-{number:03d}.parquet")
    return folder


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "pusht")


def assert_episode(episode, number):
    rows = EPISODES[number]
    pictures = [row["pixels"] for row in rows]
    np.testing.assert_array_equal(episode.observations["images.top"], [*pictures, pictures[-1]])
    np.testing.assert_array_equal(episode.observations["state"][:-1], [row["observation.state"] for row in rows])
    assert episode.observations["touch"][:-1, 0].tolist() == [row["observation.touch"] for row in rows]
    assert episode.observations["task"].tolist() == [TASKS[number % 2]] * (len(rows) + 1)
    np.testing.assert_array_equal(episode.actions, [row["action"] for row in rows])
    np.testing.assert_array_equal(episode.rewards, np.float32([row["next.reward"] for row in rows]))
    assert (episode.terminated, episode.truncated, episode.metadata.success) == (number == 1, number != 1, number == 1)


@pytest.mark.parametrize("group", [1, 4, 100])
def test_episodes_come_back_whatever_the_groups_of_rows(tmp_path, group):
    source = open_lerobot(write(tmp_path / "pusht", group=group))
    assert (len(source), source.name, source.task_id) == (5, "lerobot:pusht", "pusht")
    assert source.observation_space["images.top"] == spaces.Box(0, 255, (6, 8, 3), np.uint8)
    for start in range(6):
        found = list(source.episodes(start))
        assert len(found) == 5 - start
        for number, episode in enumerate(found, start):
            assert_episode(episode, number)


@pytest.mark.parametrize("how", ["cut", "flipped", "gone"])
def test_a_damaged_file_is_named_and_earlier_episodes_can_be_read(folder, how):
    file = folder / "data" / "chunk-000" / "file-001.parquet"
    data = bytearray(file.read_bytes())
    if how == "flipped":
        group = pq.ParquetFile(file).metadata.row_group(0)
        columns = [group.column(i) for i in range(group.num_columns)]
        (action,) = (column for column in columns if column.path_in_schema.startswith("action"))
        begin = action.dictionary_page_offset or action.data_page_offset
        data[begin + action.total_compressed_size - 2] ^= 1  # inside the last page, past its header
    file.write_bytes(data if how == "flipped" else data[: len(data) // 2])
    if how == "gone":
        file.unlink()
    episodes = open_lerobot(folder).episodes()
    for number in range(3):
        assert_episode(next(episodes), number)
    with pytest.raises(ValueError, match=file.name):
        next(episodes)


def test_only_the_rows_of_an_episode_are_read(folder, monkeypatch):
    read = []
    plain = pq.ParquetFile.iter_batches

    def counting(self, *args, row_groups, **options):
        read.extend(row_groups)
        return plain(self, *args, row_groups=row_groups, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counting)
    assert_episode(next(open_lerobot(folder).episodes(2)), 2)
    assert read == [2]  # rows 8 to 11


def test_what_is_not_such_a_set_is_refused(tmp_path, folder):
    with pytest.raises(ValueError, match=r"info\.json"):
        open_lerobot(tmp_path / "nowhere")
    info = (folder / "meta" / "info.json").read_text()
    for old, new, said in (
        ("v3.0", "v1.5", r"need one of v2\.0, v2\.1, v3\.0"),
        ('"total_episodes": 5', '"total_episodes": 6', "describes 5 episodes, info.json 6"),
        ("observation.", "observed.", "no feature that begins with 'observation': .* observed.state"),
        ("data/chunk", "../data/chunk", "outside of the data set"),
    ):
        (folder / "meta" / "info.json").write_text(info.replace(old, new))
        with pytest.raises(ValueError, match=said):
            list(open_lerobot(folder).episodes())
    (folder / "meta" / "info.json").write_text(info.replace("observation.touch", "observation.tough"))
    with pytest.raises(
        ValueError, match=r"file-000\.parquet.* has no column 'observation.tough': .* observation.touch"
    ):
        list(open_lerobot(folder).episodes())


def test_meta_data_that_does_not_fit_the_rows_is_an_error(folder):
    file = folder / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
    table = pq.read_table(file)

    def change(**columns):
        changed = table
        for name, values in columns.items():
            changed = changed.set_column(table.column_names.index(name), name, pa.array(values))
        pq.write_table(changed, file)
        return open_lerobot(folder).episodes()

    with pytest.raises(ValueError, match=r"episode 0 .*it has 5 rows, and 4 steps"):
        next(change(length=[4, 3]))
    episodes = change(dataset_from_index=[0, 4], dataset_to_index=[5, 7])
    next(episodes)
    with pytest.raises(ValueError, match=r"file-000\.parquet, episode 1 .* rows are of episode"):
        next(episodes)


VIDEO = FEATURES | {"observation.images.top": FEATURES["observation.images.top"] | {"dtype": "video"}}


def test_videos_without_a_decoder_name_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    schema = SCHEMA.remove(0)
    source = open_lerobot(write(tmp_path / "pusht", VIDEO, schema, videos=["observation.images.top"]))
    with pytest.raises(MissingExtra, match=r"generalist\[video\]"):
        next(source.episodes())


def test_videos_are_decoded_from_the_episodes_first_frame(tmp_path):
    av = pytest.importorskip("av")
    folder = write(tmp_path / "pusht", VIDEO, SCHEMA.remove(0), videos=["observation.images.top"])
    path = folder / "videos" / "observation.images.top" / "chunk-000" / "file-000.mp4"
    path.parent.mkdir(parents=True)
    levels = np.linspace(20, 230, sum(LENGTHS)).astype(np.uint8)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 8, 6, "yuv420p", 7
        for level in levels:
            frame = av.VideoFrame.from_ndarray(np.full((6, 8, 3), level, np.uint8), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    source = open_lerobot(folder)
    for number, episode in enumerate(source.episodes()):
        begin = sum(LENGTHS[:number])
        shown = episode.observations["images.top"].astype(float).mean((1, 2, 3))[:-1]
        np.testing.assert_allclose(shown, levels[begin : begin + LENGTHS[number]], atol=5)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match=path.name):
        next(source.episodes())
