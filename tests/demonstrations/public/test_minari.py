import json
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from generalist.demonstrations.episode import Episode, EpisodeMetadata
from generalist.demonstrations.public.convert import import_data
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
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:minari")  # it wants an author, an e-mail and a link

FORMATS = ("hdf5", "arrow", "parquet")
OBSERVATION = spaces.Dict(
    {
        "frame": spaces.Box(0, 255, (40, 36, 3), np.uint8),
        "state": spaces.Box(-1, 1, (2, 2)),
        "mission": spaces.Text(40, charset="abcdefghijklmnopqrstuvwxyz é"),
        "pair": spaces.Tuple([spaces.Discrete(3), spaces.MultiBinary(4)]),
    }
)
ACTION = spaces.Tuple([spaces.Discrete(5), spaces.Box(-1, 1, (2,))])


@pytest.fixture(autouse=True)
def _local_data_sets(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


def buffer(number):
    rng, steps = np.random.default_rng(number), 3 + number
    return minari.data_collector.EpisodeBuffer(
        seed=100 + number,
        observations={
            "frame": rng.integers(0, 256, (steps + 1, 40, 36, 3), dtype=np.uint8),
            "state": rng.random((steps + 1, 2, 2), np.float32),
            "mission": ["go é", "stay"] * 9 if steps == 17 else ["go é", *["stay"] * steps],
            "pair": (rng.integers(0, 3, steps + 1), rng.integers(0, 2, (steps + 1, 4), dtype=np.int8)),
        },
        actions=(rng.integers(0, 5, steps), rng.random((steps, 2), np.float32)),
        rewards=rng.random(steps),
        terminations=np.arange(steps) == (steps - 1 if number == 1 else -1),
        truncations=np.arange(steps) == (steps - 1 if number != 1 else -1),
        # A list: Minari 0.5.4 cannot read arrays of single numbers back from Arrow.
        infos={"success": [number == 1 and t == 2 for t in range(steps + 1)]},
    )


BUFFERS = [buffer(number) for number in range(12)]


def create(data_format, id="test/mixed-v0", jpeg=False):
    spaces = {"observation_space": OBSERVATION, "action_space": ACTION}
    return minari.create_dataset_from_buffers(id, BUFFERS, data_format=data_format, jpeg_encoding=jpeg, **spaces)


def assert_buffer(episode, given):
    for key in ("frame", "state"):
        np.testing.assert_array_equal(episode.observations[key], given.observations[key])
    assert episode.observations["mission"].tolist() == given.observations["mission"]
    for part in range(2):
        np.testing.assert_array_equal(episode.observations["pair"][part], given.observations["pair"][part])
        np.testing.assert_array_equal(episode.actions[part], given.actions[part])
    np.testing.assert_array_equal(episode.rewards, np.float32(given.rewards))
    assert (episode.terminated, episode.truncated) == (given.terminations[-1], given.truncations[-1])
    assert episode.metadata.seed == given.seed
    assert episode.metadata.success == bool(any(given.infos["success"]))


@pytest.mark.parametrize("data_format", FORMATS)
def test_every_format_comes_back_in_its_order(data_format):
    data_set = create(data_format)
    source = open_minari("test/mixed-v0")
    assert (len(source), source.name, source.task_id) == (12, "minari:test/mixed-v0", "test/mixed-v0")
    assert (source.observation_space, source.action_space) == (OBSERVATION, ACTION)
    for number, episode in enumerate(source.episodes()):
        assert_buffer(episode, BUFFERS[number])
    assert len(list(source.episodes(10))) == 2  # among them folder "10", which Arrow would list before "2"
    assert_buffer(next(source.episodes(10)), BUFFERS[10])
    assert_buffer(next(open_minari(data_set.storage.data_path).episodes(2)), BUFFERS[2])


@pytest.mark.parametrize("data_format", FORMATS)
def test_jpegs_are_decoded_as_minari_does(data_format):
    data_set = create(data_format, jpeg=True)
    for episode, theirs in zip(open_minari("test/mixed-v0").episodes(), data_set, strict=True):
        np.testing.assert_array_equal(episode.observations["frame"], theirs.observations["frame"])


def test_a_recorded_environment_comes_back(tmp_path):
    env = minari.DataCollector(gym.make("CartPole-v1"))
    recorded = []
    for seed in range(2):
        observation, _ = env.reset(seed=seed)
        env.action_space.seed(seed)
        rows, actions, ended = [observation], [], False
        while not ended:
            actions.append(env.action_space.sample())
            observation, _, terminated, truncated, _ = env.step(actions[-1])
            rows.append(observation)
            ended = terminated or truncated
        recorded.append((rows, actions))
    env.create_dataset("mujoco/halfcheetah/random-v0")
    env.close()
    source = open_minari("mujoco/halfcheetah/random-v0")
    assert source.task_id == "HalfCheetah-v5"  # of the id: the data set's own environment is not asked
    for episode, (rows, actions) in zip(source.episodes(), recorded, strict=True):
        np.testing.assert_array_equal(episode.observations, rows)
        np.testing.assert_array_equal(episode.actions, actions)
        assert episode.terminated
        assert len(episode.rewards) == len(actions)


@pytest.mark.parametrize("data_format", FORMATS)
def test_a_damaged_or_missing_file_is_named(data_format):
    folder = create(data_format).storage.data_path
    file = folder / "main_data.hdf5" if data_format == "hdf5" else next((folder / "3").glob(f"*.{data_format}"))
    file.write_bytes(file.read_bytes()[:-1000])
    episodes = open_minari(folder).episodes()
    if data_format != "hdf5":  # one file an episode
        for number in range(3):
            assert_buffer(next(episodes), BUFFERS[number])
    with pytest.raises(ValueError, match=rf"data, episode {0 if data_format == 'hdf5' else 3} cannot be read"):
        next(episodes)
    file.unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        list(open_minari(folder).episodes())


def test_no_environment_is_made_and_nothing_is_imported(tmp_path):
    folder = create("hdf5").storage.data_path
    (tmp_path / "planted.py").write_text("raise SystemExit('code of a data set ran')")
    about = json.loads((folder / "metadata.json").read_text())
    spec = {"id": "planted:Evil-v0", "entry_point": "planted:Evil"}
    write_json(folder / "metadata.json", about | {"env_spec": json.dumps(spec)})
    assert len(list(open_minari(folder).episodes())) == 12
    del about["observation_space"]
    write_json(folder / "metadata.json", about | {"env_spec": json.dumps(spec)})
    with pytest.raises(ValueError, match="no environment is made"):
        open_minari(folder)
    assert "planted" not in sys.modules


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="minari download D4RL/door/human-v2"):
        open_minari("D4RL/door/human-v2")
    folder = create("hdf5").storage.data_path
    about = json.loads((folder / "metadata.json").read_text())
    write_json(folder / "metadata.json", about | {"data_format": "pickle"})
    with pytest.raises(ValueError, match="pickle"):
        open_minari(folder)


def demonstrations(tmp_path, observation_space, task_id="test/task"):
    """Two episodes of noise in our own format."""
    folder = dataset_folder(tmp_path / "data", task_id)
    folder.mkdir(parents=True)
    write_json(folder / COLLECTION, {"task": task_id, "policy": "expert"})
    ensure_spaces(folder, observation_space, ACTION)
    episodes = []
    for given in BUFFERS[:2]:
        metadata = EpisodeMetadata(
            task_id=task_id, seed=given.seed, episode_return=0.0, success=given.seed == 101, expert="expert", noise=0.0
        )
        observations = given.observations | {"mission": np.array(given.observations["mission"], object)}
        episodes.append(
            Episode(
                observations=observations,
                actions=given.actions,
                rewards=np.float32(given.rewards),
                terminated=bool(given.terminations[-1]),
                truncated=bool(given.truncations[-1]),
                metadata=metadata,
            )
        )
    write_shard(shard_path(folder, 0, 1), [encode_episode(episode, observation_space, ACTION) for episode in episodes])
    finish_collection(folder, [read_shard_index(shard_path(folder, 0, 1))])
    return Demonstrations.open(folder)


@pytest.mark.parametrize("data_format", FORMATS)
def test_what_is_exported_is_lossless_for_minari_and_for_us(tmp_path, data_format):
    ours = demonstrations(tmp_path, OBSERVATION)
    folder = export_minari(ours, "mine/noise-v0", data_format=data_format)
    theirs = minari.load_dataset("mine/noise-v0")
    assert theirs.storage.data_path == folder / "data"
    assert (theirs.observation_space, theirs.action_space) == (OBSERVATION, ACTION)
    assert [next(iter(theirs.storage.get_episode_metadata([i])))["seed"] for i in range(2)] == [100, 101]
    for number in range(2):
        episode = ours.episode(number)
        np.testing.assert_array_equal(theirs[number].observations["frame"], episode.observations["frame"])
        assert list(theirs[number].observations["mission"]) == episode.observations["mission"].tolist()
        np.testing.assert_array_equal(theirs[number].actions[1], episode.actions[1])
    for number, again in enumerate(open_minari("mine/noise-v0").episodes()):
        assert_buffer(again, BUFFERS[number])
    with pytest.raises(ValueError, match="already"):
        export_minari(ours, "mine/noise-v0")


def test_a_mission_space_is_exported_as_text(tmp_path):
    pytest.importorskip("minigrid")
    from minigrid.core.mission import MissionSpace

    mission = MissionSpace(mission_func=lambda: "go é")
    ours = demonstrations(tmp_path, spaces.Dict(OBSERVATION.spaces | {"mission": mission}))
    object.__setattr__(ours, "observation_space", spaces.Dict(OBSERVATION.spaces | {"mission": mission}))
    export_minari(ours, "mine/babyai-v0")
    theirs = minari.load_dataset("mine/babyai-v0")
    assert isinstance(theirs.observation_space["mission"], spaces.Text)
    assert list(theirs[0].observations["mission"]) == BUFFERS[0].observations["mission"]


def test_an_export_that_fails_leaves_nothing(tmp_path):
    ours = demonstrations(tmp_path, OBSERVATION)
    for id in ("no version", "mine/noise", "../up-v0"):
        with pytest.raises(ValueError, match="no id of Minari"):
            export_minari(ours, id)
    with pytest.raises(ValueError, match="need one of hdf5"):
        export_minari(ours, "mine/noise-v0", data_format="zarr")
    shard = shard_path(ours.folder, 0, 1)
    shard.write_bytes(b"")
    with pytest.raises(ValueError, match=shard.name):
        export_minari(ours, "mine/noise-v0")
    assert [path.name for path in (tmp_path / "minari" / "mine").iterdir() if path.is_dir()] == []


def test_there_and_back_again(tmp_path):
    ours = demonstrations(tmp_path, OBSERVATION)
    export_minari(ours, "mine/noise-v0")
    import_data(open_minari("mine/noise-v0", task="test/task"), tmp_path / "again", quiet=True)
    again = Demonstrations.open(dataset_folder(tmp_path / "again", "test/task"))
    for number in range(2):
        assert_buffer(again.episode(number), BUFFERS[number])
