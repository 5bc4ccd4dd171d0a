"""Published data of LIBERO in the spaces of the tasks that are seen by cameras."""

import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from lerobot_sets import box, pictures, rows, write_set
from PIL import Image
from tfds_sets import FLAGS, SCALARS, ending, prepare

from generalist.configs.commands.arguments import parse
from generalist.configs.commands.import_command import Import
from generalist.demonstrations.public.lerobot import open_lerobot
from generalist.demonstrations.public.libero import as_seen_by
from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.envs.task_spaces import stored_spaces

F = tfds.features
TASK = "libero_object_pixels/pick_up_the_milk_and_place_it_in_the_basket"
TOLD = "pick up the milk and place it in the basket"
STEPS = 3
RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (2, STEPS, 256, 256, 3), np.uint8)
STATE = RNG.normal(size=(STEPS, 8)).astype(np.float32)
ACTION = RNG.uniform(-1, 1, (STEPS, 7)).astype(np.float32)


def png(frame):
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "PNG")
    return io.BytesIO(file.getvalue())


def rlds(folder):
    """As OpenVLA has it."""
    features = {
        "observation": {
            "image": F.Image(shape=(256, 256, 3)),
            "wrist_image": F.Image(shape=(256, 256, 3)),
            "state": F.Tensor(shape=(8,), dtype=np.float32),
            "joint_state": F.Tensor(shape=(7,), dtype=np.float32),
        },
        "action": F.Tensor(shape=(7,), dtype=np.float32),
        "language_instruction": F.Text(),
        **SCALARS,
        **FLAGS,
    }
    steps = [
        {
            "observation": {
                "image": png(FRAMES[0, step]),
                "wrist_image": png(FRAMES[1, step]),
                "state": STATE[step],
                "joint_state": np.zeros(7, np.float32),
            },
            "action": ACTION[step],
            "language_instruction": TOLD,
            **ending(step, STEPS, step == STEPS - 1),
        }
        for step in range(STEPS)
    ]
    return f"rlds:{prepare(folder, 'libero_object_no_noops', {'steps': F.Dataset(features)}, [{'steps': steps}])}"


def lerobot(folder, names=("observation.images.image", "observation.images.image2", "observation.state", "action")):
    image = {"dtype": "image", "shape": [256, 256, 3], "names": ["height", "width", "channel"]}
    features = dict(zip(names, (image, image, box(8), box(7)), strict=True))
    columns = (pictures(FRAMES[0]), pictures(FRAMES[1]), rows(STATE), rows(ACTION))
    folder = folder / "arms"
    return f"lerobot:{write_set(folder, features, dict(zip(names, columns, strict=True)), [STEPS], texts=[TOLD])}"


def plain(folder):
    """As openpi has it, without the format's prefixes."""
    return lerobot(folder, ("image", "wrist_image", "state", "actions"))


NAMED = ("--action", "actions", "--observation", "image=image", "wrist_image=wrist_image", "state=state")


@pytest.mark.parametrize(("write", "options"), [(rlds, ()), (lerobot, ()), (plain, NAMED)])
def test_published_data_is_what_the_task_shows(tmp_path, capsys, write, options):
    parse(Import, [write(tmp_path), "--suite", "libero_object_pixels", *options], prog="generalist import")()
    said = " ".join(capsys.readouterr().err.split())
    assert "image and wrist halved to 128 pixels" in said
    assert "was not checked" in said
    opened = Demonstrations.open(dataset_folder("data", TASK))
    assert (opened.observation_space, opened.action_space) == stored_spaces()[TASK]
    episode = opened.episode(0)
    assert episode.metadata.task_id == TASK
    assert set(episode.observations["instruction"]) == {TOLD}
    np.testing.assert_array_equal(episode.observations["robot"][:STEPS], STATE)
    np.testing.assert_array_equal(episode.actions, ACTION)
    for key, frames in zip(("image", "wrist"), FRAMES, strict=True):
        four = frames.reshape(STEPS, 128, 2, 128, 2, 3).mean(axis=(2, 4))
        assert abs(episode.observations[key][:STEPS] - four).max() <= 0.5


def test_data_that_lacks_a_camera_or_is_for_another_task_is_kept_as_it_is(tmp_path):
    source = open_lerobot(lerobot(tmp_path).removeprefix("lerobot:"))
    assert as_seen_by(source, "libero_object") is source
    lacking = source.observation_space
    del lacking.spaces["images.image2"]
    assert as_seen_by(source, "libero_object_pixels") is source
