import io
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from gymnasium import spaces
from PIL import Image

from generalist.demonstrations.public.crc32c import masked_crc32c
from generalist.demonstrations.public.rlds import open_rlds

F = tfds.features
FLAGS = {"is_first": np.bool_, "is_last": np.bool_, "is_terminal": np.bool_}
CONTROL = {
    "steps": F.Dataset(
        {
            "observation": {
                "position": F.Tensor(shape=(3,), dtype=np.float32, encoding="zlib"),
                "velocity": F.Tensor(shape=(2,), dtype=np.float32),
            },
            "action": F.Tensor(shape=(1,), dtype=np.float32),
            "reward": np.float32,
            "discount": np.float32,
            **FLAGS,
        }
    ),
    "episode_id": np.int64,
}
ATARI = {
    "steps": F.Dataset(
        {"observation": F.Image(shape=(84, 84, 1)), "action": np.int64, "reward": np.float32, **FLAGS},
    ),
}
ROBOT = {
    "steps": F.Dataset(
        {
            "observation": {
                "image": F.Image(shape=(8, 6, 3)),
                "state": F.Tensor(shape=(4,), dtype=np.float32),
                "natural_language_instruction": F.Text(),
                "natural_language_embedding": F.Tensor(shape=(512,), dtype=np.float32),
            },
            "action": {
                "world_vector": F.Tensor(shape=(3,), dtype=np.float32),
                "rotation_delta": F.Tensor(shape=(3,), dtype=np.float32),
                "open_gripper": np.bool_,
                "terminate_episode": np.float32,
            },
            "reward": F.Scalar(dtype=np.float32),
            **FLAGS,
        }
    )
}


def picture(shape, rng, form="PNG"):
    pixels = rng.integers(0, 256, shape, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if shape[-1] == 1 else pixels).save(file, form)
    return pixels, file.getvalue()


def flags(length, terminal=True):
    last = np.arange(length) == length - 1
    return [{"is_first": t == 0, "is_last": last[t], "is_terminal": bool(last[t] and terminal)} for t in range(length)]


def control_episode(number):
    rng, length = np.random.default_rng(number), 4 + number
    steps = [
        {
            "observation": {"position": rng.random(3, np.float32), "velocity": rng.random(2, np.float32)},
            "action": rng.random(1, np.float32),
            "reward": np.float32(rng.random()),
            "discount": np.float32(1),
            **flag,
        }
        for flag in flags(length, terminal=number == 1)
    ]
    return {"steps": steps, "episode_id": number}


def place_of(folder: Path, name: str) -> Path:
    place = folder / name / "1.0.0"
    place.mkdir(parents=True)
    return place


def info_of(place, name, features):
    base, _, config = name.partition("/")
    identity = tfds.core.dataset_info.DatasetIdentity(
        name=base,
        config_name=config or None,
        version=tfds.core.Version("1.0.0"),
        data_dir=str(place),
        module_name="tests",
    )
    return tfds.core.DatasetInfo(builder=identity, features=F.FeaturesDict(features))


def write_array_record(folder, name, features, episodes, shard=2):
    """TFDS's own writer."""
    place = place_of(folder, name)
    info = info_of(place, name, features)
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=shard, overwrite=False, file_format="array_record")
    writer.initialize_splits(["train"], fail_if_exists=False)
    writer.add_examples({"train": list(episodes)})
    writer.close_all()
    return place


def write_tfrecord(folder, name, features, episodes, shard=2):
    """TFDS needs TensorFlow to write TFRecord: it serialises here, and the frames around the records are ours."""
    place, base, episodes = place_of(folder, name), name.split("/")[0], list(episodes)
    info = info_of(place, name, features)
    encode = tfds.core.example_serializer.ExampleSerializer(info.features.get_serialized_info()).serialize_example
    groups = [episodes[i : i + shard] for i in range(0, len(episodes), shard)]
    template = tfds.core.ShardedFileTemplate(
        data_dir=place, dataset_name=base, split="train", filetype_suffix="tfrecord"
    )
    for number, group in enumerate(groups):
        with open(place / f"{base}-train.tfrecord-{number:05d}-of-{len(groups):05d}", "wb") as file:
            for episode in group:
                data = encode(info.features.encode_example(episode))
                length = struct.pack("<Q", len(data))
                file.write(length + struct.pack("<I", masked_crc32c(length)))
                file.write(data + struct.pack("<I", masked_crc32c(data)))
    split = tfds.core.SplitInfo(
        name="train", shard_lengths=[len(g) for g in groups], num_bytes=1, filename_template=template
    )
    info.set_splits(tfds.core.SplitDict([split]))
    info.set_file_format("tfrecord")
    info.write_to_directory(place)
    return place


WRITERS = {"array_record": write_array_record, "tfrecord": write_tfrecord}
EPISODES = [control_episode(number) for number in range(5)]


@pytest.fixture(params=WRITERS)
def control(request, tmp_path):
    return WRITERS[request.param](tmp_path, "rlu_control_suite/cartpole_swingup", CONTROL, EPISODES)


def assert_control_episode(found, number):
    steps = EPISODES[number]["steps"]
    for key in ("position", "velocity"):
        np.testing.assert_array_equal(found.observations[key], [step["observation"][key] for step in steps])
    np.testing.assert_array_equal(found.actions, [step["action"] for step in steps[:-1]])
    np.testing.assert_array_equal(found.rewards, [step["reward"] for step in steps[:-1]])
    assert (found.terminated, found.truncated) == (number == 1, number != 1)
    assert found.metadata.episode_return == pytest.approx(float(sum(step["reward"] for step in steps[:-1])))
    assert found.metadata.expert == "rlds:rlu_control_suite/cartpole_swingup"


def test_both_file_formats_come_back_with_their_task(control):
    source = open_rlds(control)
    assert (len(source), source.task_id) == (5, "dm_control/cartpole-swingup")
    assert source.action_space == spaces.Box(-1, 1, (1,), np.float32)
    assert source.observation_space["position"].shape == (3,)
    for number, episode in enumerate(source.episodes()):
        assert_control_episode(episode, number)
    assert "tensorflow" not in sys.modules


@pytest.mark.parametrize("start", [1, 2, 3, 5])
def test_reading_begins_anywhere(control, start):
    found = list(open_rlds(control).episodes(start))
    assert len(found) == 5 - start
    for number, episode in enumerate(found, start):
        assert_control_episode(episode, number)


def damage(file: Path, how: str) -> None:
    data = bytearray(file.read_bytes())
    if how == "cut":
        data = data[: len(data) // 2]
    elif how == "flipped":
        written = [place for place, byte in enumerate(data) if byte]  # array_record pads blocks with zeros
        data[written[len(written) // 2]] ^= 0x40
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(data)


@pytest.mark.parametrize("how", ["cut", "flipped", "gone"])
def test_a_damaged_shard_is_named_and_earlier_ones_can_be_read(control, how):
    file = sorted(control.glob("*-00001*"))[0]
    damage(file, how)
    episodes = open_rlds(control).episodes()
    assert_control_episode(next(episodes), 0)
    assert_control_episode(next(episodes), 1)
    said = {"cut": "is cut off", "flipped": "is corrupt", "gone": "is missing"}[how]
    with pytest.raises(ValueError, match=rf"{file.name} {said}"):
        list(episodes)


def test_a_wrong_length_in_a_tfrecord_is_found_before_it_is_believed(tmp_path):
    place = write_tfrecord(tmp_path, "rlu_control_suite/cartpole_swingup", CONTROL, EPISODES)
    file = next(place.glob("*-00001-*"))
    file.write_bytes(b"\xff" * 7 + file.read_bytes()[7:])
    with pytest.raises(ValueError, match=rf"{file.name} is corrupt at record 0 \(the length"):
        next(open_rlds(place).episodes(2))


def test_frames_are_decoded_and_actions_count_through_the_full_joystick(tmp_path):
    rng = np.random.default_rng(0)
    frames = [picture((84, 84, 1), rng) for _ in range(6)]
    steps = [
        {"observation": io.BytesIO(frame[1]), "action": t, "reward": np.float32(t), **flag}
        for t, (frame, flag) in enumerate(zip(frames, flags(6), strict=True))
    ]
    place = write_tfrecord(tmp_path, "rlu_atari/Pong_run_1", ATARI, [{"steps": steps}])
    source = open_rlds(place)
    (episode,) = source.episodes()
    assert (source.task_id, source.action_space) == ("atari/Pong", spaces.Discrete(18))
    np.testing.assert_array_equal(episode.observations[:-1], [pixels for pixels, _ in frames])
    np.testing.assert_array_equal(episode.observations[-1], frames[-1][0])  # the set has no final observation
    assert episode.actions.tolist() == [0, 1, 3, 4, 11, 12]  # Pong's six, as ALE numbers them
    np.testing.assert_array_equal(episode.rewards, range(6))


def robot_steps(rng, pictures, instruction="put the é in the bowl"):
    return [
        {
            "observation": {
                "image": io.BytesIO(data),
                "state": rng.random(4, np.float32),
                "natural_language_instruction": instruction,
                "natural_language_embedding": np.zeros(512, np.float32),
            },
            "action": {
                "world_vector": rng.random(3, np.float32),
                "rotation_delta": rng.random(3, np.float32),
                "open_gripper": bool(rng.integers(2)),
                "terminate_episode": np.float32(0),
            },
            "reward": np.float32(flag["is_last"]),
            **flag,
        }
        for (_, data), flag in zip(pictures, flags(3), strict=True)
    ]


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_an_open_x_set_gives_picture_state_and_instruction(tmp_path, form):
    rng = np.random.default_rng(1)
    pictures = [picture((8, 6, 3), rng, form) for _ in range(3)]
    steps = robot_steps(rng, pictures)
    source = open_rlds(write_array_record(tmp_path, "bridge", ROBOT, [{"steps": steps}]))
    (episode,) = source.episodes()
    assert set(source.observation_space) == {"image", "state", "natural_language_instruction"}
    assert set(source.action_space) == {"world_vector", "rotation_delta", "open_gripper"}
    decoded = [np.array(Image.open(io.BytesIO(data))) for _, data in pictures]
    np.testing.assert_array_equal(episode.observations["image"], [*decoded, decoded[-1]])
    assert episode.observations["natural_language_instruction"].tolist() == ["put the é in the bowl"] * 4
    assert episode.actions["open_gripper"].tolist() == [int(step["action"]["open_gripper"]) for step in steps]
    np.testing.assert_array_equal(episode.actions["world_vector"], [step["action"]["world_vector"] for step in steps])
    assert episode.rewards.tolist() == [0, 0, 1]  # every action was taken, the last too


def test_other_open_x_sets_give_all_they_show_but_embeddings(tmp_path):
    features = {
        "steps": F.Dataset(
            {
                "observation": {
                    "state": F.Tensor(shape=(4,), dtype=np.float32),
                    "wrist": {"pose": F.Tensor(shape=(2, 2), dtype=np.float64, encoding="bytes")},
                    "state_embedding": F.Tensor(shape=(9,), dtype=np.float32),
                },
                "language_instruction": F.Text(),
                "language_embedding": F.Tensor(shape=(512,), dtype=np.float32),
                "action": F.Tensor(shape=(7,), dtype=np.float32),
                "reward": np.float32,
                **FLAGS,
            }
        ),
        "episode_metadata": {"file_path": F.Text(), "language_embedding": F.Tensor(shape=(2,), dtype=np.float32)},
    }
    rng = np.random.default_rng(2)
    steps = [
        {
            "observation": {
                "state": rng.random(4, np.float32),
                "wrist": {"pose": rng.random((2, 2))},
                "state_embedding": np.zeros(9, np.float32),
            },
            "language_instruction": "stack the cups",
            "language_embedding": np.zeros(512, np.float32),
            "action": rng.random(7, np.float32),
            "reward": np.float32(0),
            **flag,
        }
        for flag in flags(3)
    ]
    metadata = {"file_path": "x", "language_embedding": np.zeros(2, np.float32)}
    name = "toy_converted_externally_to_rlds"
    source = open_rlds(write_tfrecord(tmp_path, name, features, [{"steps": steps, "episode_metadata": metadata}]))
    (episode,) = source.episodes()
    assert set(source.observation_space) == {"state", "wrist", "language_instruction"}
    assert episode.observations["language_instruction"].tolist() == ["stack the cups"] * 4
    poses = [step["observation"]["wrist"]["pose"] for step in steps]
    np.testing.assert_array_equal(episode.observations["wrist"]["pose"], [*poses, poses[-1]])
    np.testing.assert_array_equal(episode.actions, [step["action"] for step in steps])


def test_a_set_that_no_row_knows_is_read_as_rlds_has_it(tmp_path):
    source = open_rlds(write_array_record(tmp_path, "mine", CONTROL, EPISODES), task="gym:Mine-v0")
    assert (source.task_id, source.name) == ("gym:Mine-v0", "rlds:mine")
    assert [len(episode) for episode in source.episodes()] == [4, 5, 6, 7, 8]  # each ends with an action and a reward


def test_what_is_not_such_a_set_is_refused(tmp_path, control):
    with pytest.raises(ValueError, match=r"splits train, not 'test'"):
        open_rlds(control, split="test")
    with pytest.raises(ValueError, match=r"dataset_info\.json"):
        open_rlds(tmp_path / "nowhere")
    shutil.copytree(control, control.parent / "2.0.0")
    with pytest.raises(ValueError, match="choose one of"):
        open_rlds(control.parent)
    features = {"steps": F.Dataset({"observations": np.float32, "action": np.float32, **FLAGS})}
    steps = [{"observations": np.float32(0), "action": np.float32(0), **flag} for flag in flags(2)]
    wrong = write_array_record(tmp_path, "wrong", features, [{"steps": steps}])
    with pytest.raises(ValueError, match=r"no column 'observation': the nearest are observations"):
        open_rlds(wrong)


def test_features_of_other_packages_are_not_imported(control, tmp_path):
    (tmp_path / "planted.py").write_text("raise SystemExit('code of a data set ran')")
    file = control / "features.json"
    file.write_text(
        file.read_text().replace("tensorflow_datasets.core.features.tensor_feature.Tensor", "planted.Tensor")
    )
    with pytest.raises(ValueError, match=r"features\.json needs planted\.Tensor"):
        open_rlds(control)
    assert "planted" not in sys.modules
