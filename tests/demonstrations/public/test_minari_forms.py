"""Minari data sets as people write them, as strangers may, and as they are exported: odd keys, empty parts, links."""

import json
import sys

import gymnasium as gym
import h5py
import numpy as np
import pytest
from gymnasium import spaces

from generalist.demonstrations.episode import Episode, EpisodeMetadata
from generalist.demonstrations.public.convert import in_task_spaces
from generalist.demonstrations.public.form import Form
from generalist.demonstrations.public.minari import export_minari, open_minari
from generalist.demonstrations.rlds import encode_episode
from generalist.demonstrations.shards import shard_path, write_shard
from generalist.demonstrations.storage import (
    COLLECTION,
    Demonstrations,
    dataset_folder,
    ensure_spaces,
    finish_collection,
    read_shard_index,
)
from generalist.envs.files import write_json

minari = pytest.importorskip("minari")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:minari")

BOX = spaces.Box(-1, 1, (2,), np.float32)
EMPTY = spaces.Box(-1, 1, (0,), np.float32)
FORMATS = ("hdf5", "arrow", "parquet")


@pytest.fixture(autouse=True)
def _local_data_sets(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


def sampled(space, count):
    """`count` values of a space, every leaf as rows."""
    if isinstance(space, spaces.Dict):
        return {key: sampled(child, count) for key, child in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(sampled(child, count) for child in space.spaces)
    values = [space.sample() for _ in range(count)]
    return (
        np.array(values, object)
        if isinstance(space, spaces.Text)
        else np.array(values, space.dtype).reshape(count, *space.shape)
    )


def demonstrations(folder, observation_space, action_space, lengths=(4, 1)):
    """Random episodes in our own format."""
    folder = dataset_folder(folder, "test/task")
    folder.mkdir(parents=True)
    write_json(folder / COLLECTION, {"task": "test/task", "policy": "expert"})
    ensure_spaces(folder, observation_space, action_space)
    records = []
    for length in lengths:
        metadata = EpisodeMetadata(
            task_id="test/task", seed=1, episode_return=0.0, success=None, expert="expert", noise=0.0
        )
        episode = Episode(
            observations=sampled(observation_space, length + 1),
            actions=sampled(action_space, length),
            rewards=np.zeros(length, np.float32),
            terminated=True,
            truncated=False,
            metadata=metadata,
        )
        records.append(encode_episode(episode, observation_space, action_space))
    write_shard(shard_path(folder, 0, 1), records)
    finish_collection(folder, [read_shard_index(shard_path(folder, 0, 1))])
    return Demonstrations.open(folder)


def assert_same(space, given, found):
    if isinstance(space, spaces.Dict):
        assert set(given) == set(found) == set(space)
        for key, child in space.items():
            assert_same(child, given[key], found[key])
    elif isinstance(space, spaces.Tuple):
        for child, one, other in zip(space.spaces, given, found, strict=True):
            assert_same(child, one, other)
    else:
        np.testing.assert_array_equal(np.asarray(given), np.asarray(found))
        assert np.asarray(given).shape == np.asarray(found).shape


ODD = {
    "slash": (spaces.Dict({"m/n": BOX, "x": BOX}), {"hdf5"}),
    "only slash": (spaces.Dict({"/": BOX}), {"hdf5"}),
    "deep slash": (spaces.Dict({"a": spaces.Tuple([spaces.Dict({"./b": BOX})])}), {"hdf5"}),
    "no name": (spaces.Dict({"": BOX, "x": BOX}), {"hdf5"}),
    "dot": (spaces.Dict({".": BOX}), {"hdf5"}),
    "nothing byte": (spaces.Dict({"a\0b": BOX, "a": BOX}), {"hdf5"}),
    "surrogate": (spaces.Dict({"\udc80": BOX}), set(FORMATS)),
    "dots": (spaces.Dict({"..": BOX, "a.b": BOX}), set()),
    "letters": (spaces.Dict({"é": BOX, "漢 字\n": BOX, " ": BOX}), set()),
    "places": (spaces.Dict({"_index_0": BOX, "_index_1": BOX, "0": BOX}), set()),
    "empty box": (spaces.Dict({"none": EMPTY, "x": BOX}), {"arrow", "parquet"}),
    "flat box": (spaces.Box(0, 1, (3, 0), np.float32), {"arrow", "parquet"}),
    "empty dict": (spaces.Dict({"none": spaces.Dict({}), "x": BOX}), {"arrow", "parquet"}),
    "empty tuple": (spaces.Dict({"none": spaces.Tuple([]), "x": BOX}), {"arrow", "parquet"}),
    "tuple of twelve": (spaces.Tuple([spaces.Box(i, i + 1, (1,), np.float32) for i in range(12)]), set()),
    "nested": (spaces.Dict({"a": spaces.Dict({"b": spaces.Tuple([spaces.Discrete(3, start=-1), BOX])})}), set()),
    "counts": (
        spaces.Dict({"many": spaces.MultiDiscrete([[2, 3], [4, 5]]), "bits": spaces.MultiBinary([2, 3])}),
        set(),
    ),
    "words": (spaces.Dict({"say": spaces.Text(9, min_length=0)}), set()),
}


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("name", ODD)
def test_minari_reads_back_what_is_exported_or_nothing_is_written(tmp_path, name, data_format):
    space, refused = ODD[name]
    if data_format in refused:
        for part in ("observation", "action"):
            ours, other = Demonstrations.__new__(Demonstrations), {"observation", "action"} - {part}
            object.__setattr__(ours, f"{part}_space", space)
            object.__setattr__(ours, f"{other.pop()}_space", BOX)
            with pytest.raises(ValueError, match=rf"^{part}"):
                export_minari(ours, "mine/odd-v0", data_format=data_format)
        assert not (tmp_path / "minari").exists()
        return
    ours = demonstrations(tmp_path / "data", space, space)
    export_minari(ours, "mine/odd-v0", data_format=data_format)
    theirs = list(minari.load_dataset("mine/odd-v0").iterate_episodes())
    again = list(open_minari("mine/odd-v0").episodes())
    assert len(theirs) == len(again) == 2
    for number in range(2):
        episode = ours.episode(number)
        for found in (theirs[number], again[number]):
            assert_same(space, episode.observations, found.observations)
            assert_same(space, episode.actions, found.actions)


def written(observation_space, data_format="hdf5", lengths=(4, 3), id="mine/set-v0"):
    """As Minari's own class writes it; gives the folder of the data."""
    buffers = [
        minari.data_collector.EpisodeBuffer(
            observations=sampled(observation_space, length + 1),
            actions=np.arange(length) % 2,
            rewards=np.arange(length, dtype=float),
            terminations=np.arange(length) == length - 1,
            truncations=np.zeros(length, bool),
        )
        for length in lengths
    ]
    data_set = minari.create_dataset_from_buffers(
        id,
        buffers,
        observation_space=observation_space,
        action_space=spaces.Discrete(2),
        data_format=data_format,
    )
    return data_set.storage.data_path


class Maze(gym.Env):
    """Observation of two parts, as goal-conditioned robots have it."""

    observation_space = spaces.Dict({"goal": BOX, "see": spaces.Tuple([spaces.Discrete(4), BOX])})
    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._look(), {"success": False}

    def step(self, action):
        self.steps += 1
        return self._look(), float(action), self.steps == 3, False, {"success": self.steps == 3}

    def _look(self):
        return {"goal": np.float32([0.5, self.steps / 10]), "see": (self.steps % 4, np.full(2, 0.25, np.float32))}


def test_minaris_own_recorder(tmp_path):
    env = minari.DataCollector(Maze(), record_infos=True)
    for seed in range(2):
        env.reset(seed=seed)
        for action in (0, 2, 1):
            env.step(action)
    env.create_dataset("mine/maze-v0")
    env.close()
    source = open_minari("mine/maze-v0")
    (first, second) = source.episodes()
    assert (len(first), first.terminated, first.metadata.success) == (3, True, True)
    assert first.rewards.tolist() == [0, 2, 1]
    np.testing.assert_allclose(second.observations["goal"][:, 1], [0, 0.1, 0.2, 0.3])
    assert second.observations["see"][0].tolist() == [0, 1, 2, 3]


def test_parts_are_chosen_by_their_paths(tmp_path):
    folder = written(Maze.observation_space)
    whole = open_minari(folder)
    form = Form(observation=(("where/to", "observations/goal"), ("place", "see/0")), action="actions")
    source = open_minari(folder, form=form)
    assert source.observation_space == spaces.Dict({"where": spaces.Dict({"to": BOX}), "place": spaces.Discrete(4)})
    for one, other in zip(whole.episodes(), source.episodes(), strict=True):
        np.testing.assert_array_equal(one.observations["goal"], other.observations["where"]["to"])
        np.testing.assert_array_equal(one.observations["see"][0], other.observations["place"])
        np.testing.assert_array_equal(one.actions, other.actions)
    single = open_minari(folder, form=Form(observation=(("", "see/1"),)))
    assert single.observation_space == BOX
    for form, said in (
        (Form(observation=(("g", "gaol"),)), "no column 'gaol': the nearest are goal"),
        (Form(observation=(("g", "see/2"),)), "observations/see has no column '2'"),
        (Form(action="goal"), "actions has no column 'goal'"),
        (Form(instruction="goal"), "--observation KEY=goal"),
        (Form(last_action_taken=False), "always taken"),
    ):
        with pytest.raises(ValueError, match=said):
            open_minari(folder, form=form)


@pytest.mark.parametrize("data_format", FORMATS)
def test_an_episode_without_steps_is_named_and_the_others_are_read(data_format):
    folder = written(BOX, data_format)
    if data_format == "hdf5":
        with h5py.File(folder / "main_data.hdf5", "r+") as file:
            file["episode_1"].attrs["total_steps"] = 0
            for name in ("actions", "rewards", "terminations", "truncations"):
                del file["episode_1"][name]
            file.copy(file["episode_0"], "episode_2")
    else:
        about = folder / "1" / "metadata.json"
        about.write_text(json.dumps(json.loads(about.read_text()) | {"total_steps": 0}))
        for file in (folder / "1").glob(f"*.{data_format}"):
            file.unlink()
        (folder / "0").rename(folder / "2")
        (folder / "2" / "metadata.json").write_text((folder / "2" / "metadata.json").read_text())
    change(folder, total_episodes=3)
    source = open_minari(folder)
    with pytest.raises(ValueError, match="episode 1 has no steps"):
        list(source.episodes(1))
    (last,) = source.episodes(2)
    assert len(last) == 4


def change(folder, **said):
    about = folder / "metadata.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | said))


def test_no_module_is_imported_by_a_data_sets_name(tmp_path, monkeypatch):
    (tmp_path / "planted.py").write_text("raise SystemExit('code of a data set ran')")
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = written(BOX)
    change(folder, dataset_id="gym:planted:Evil-v0")
    assert "--trust planted" in in_task_spaces(open_minari(folder))[1]
    for id in ("\x1b[2Jset-v0", "\u202eset-v0"):
        change(folder, dataset_id=id)
        with pytest.raises(ValueError, match=r"metadata\.json names the data set .*--task ID"):
            in_task_spaces(open_minari(folder))
        source, _ = in_task_spaces(open_minari(folder, task="test/own"))
        assert source.task_id == "test/own"
        assert source.name.isprintable()
    assert "planted" not in sys.modules


DEEP = "[" * 100_000
HOSTILE = {
    "huge box": {"type": "Box", "dtype": "float32", "shape": [100_000, 100_000], "low": 0, "high": 1},
    "huge bits": {"type": "MultiBinary", "n": 10**12},
    "huge bits of two": {"type": "MultiBinary", "n": [10**6, 10**6]},
    "objects": {"type": "Box", "dtype": "O", "shape": [2], "low": 0, "high": 1},
    "strings": {"type": "MultiDiscrete", "dtype": "S9", "nvec": [2], "start": [0]},
    "no box": {"type": "Box"},
    "unknown": {"type": "os.system"},
    "number": 7,
    "deep": DEEP,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_space_that_no_value_has_is_refused(name):
    folder = written(BOX)
    change(folder, observation_space=HOSTILE[name] if name == "deep" else json.dumps(HOSTILE[name]))
    with pytest.raises(ValueError, match=r"metadata\.json, observation_space"):
        open_minari(folder)


def test_spaces_nested_without_end_are_refused():
    folder = written(BOX)
    inner = {"type": "Discrete", "n": 2, "start": 0}
    for _ in range(200):
        inner = {"type": "Tuple", "subspaces": [inner]}
    change(folder, observation_space=json.dumps(inner))
    with pytest.raises(ValueError, match="nested more than 32 deep"):
        open_minari(folder)
    (folder / "metadata.json").write_text(DEEP)
    with pytest.raises(ValueError, match=r"metadata\.json"):
        open_minari(folder)
    (folder / "metadata.json").write_text("[]")
    with pytest.raises(ValueError, match="no JSON object"):
        open_minari(folder)


@pytest.mark.parametrize("total", [-1, "2", None, True, 1.5])
def test_a_total_that_is_no_number_is_refused(total):
    folder = written(BOX)
    change(folder, total_episodes=total)
    with pytest.raises(ValueError, match="total_episodes"):
        open_minari(folder)


@pytest.mark.parametrize("how", ["external link", "soft link", "external storage", "virtual", "unwritten"])
def test_data_that_lies_elsewhere_is_not_read(tmp_path, how):
    folder, secret = written(BOX), tmp_path / "secret.hdf5"
    with h5py.File(secret, "w") as file:
        file["numbers"] = np.full((5, 2), 0.5, np.float32)
    (tmp_path / "secret.bin").write_bytes(np.full(10, 0.5, np.float32).tobytes())
    with h5py.File(folder / "main_data.hdf5", "r+") as file:
        episode = file["episode_0"]
        del episode["observations"]
        if how == "external link":
            episode["observations"] = h5py.ExternalLink(str(secret), "numbers")
        elif how == "soft link":
            episode["observations"] = h5py.SoftLink("/episode_1/observations")
        elif how == "external storage":
            episode.create_dataset("observations", (5, 2), np.float32, external=[(str(tmp_path / "secret.bin"), 0, 40)])
        elif how == "virtual":
            layout = h5py.VirtualLayout((5, 2), np.float32)
            layout[:] = h5py.VirtualSource(str(secret), "numbers", (5, 2))
            episode.create_virtual_dataset("observations", layout)
        else:
            episode.create_dataset("observations", (10**12, 2), np.float32, chunks=(1024, 2))
    said = "would become" if how == "unwritten" else "not followed|not read"
    with pytest.raises(ValueError, match=rf"episode 0 .*'observations' .*({said})"):
        list(open_minari(folder).episodes())
    assert len(next(open_minari(folder).episodes(1))) == 3


def test_hdf5_with_a_slash_in_a_key_as_minari_writes_it():
    folder = written(spaces.Dict({"m/n": BOX, "x": BOX}))
    first = next(open_minari(folder).episodes())
    with h5py.File(folder / "main_data.hdf5") as file:
        np.testing.assert_array_equal(first.observations["m/n"], file["episode_0/observations/m/n"][:])
