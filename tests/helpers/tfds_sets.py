"""RLDS data sets as their makers write them: TFDS's own `GeneratorBasedBuilder`, with array_record files."""

import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

F = tfds.features
SCALARS = {name: F.Scalar(dtype=np.float32) for name in ("reward", "discount")}
FLAGS = {name: F.Scalar(dtype=np.bool_) for name in ("is_first", "is_last", "is_terminal")}


def png(rng, shape):
    """Pixels and the bytes of a PNG of them."""
    pixels = rng.integers(0, 256, shape, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return pixels, file.getvalue()


def ending(step, length, reward=0.0):
    """Reward, discount and flags of a step, as the usual builders of robots' data have them."""
    last = step == length - 1
    rewards = {"reward": np.float32(reward), "discount": np.float32(1)}
    return rewards | {"is_first": step == 0, "is_last": last, "is_terminal": last}


def prepare(folder, name, features, episodes):
    """Prepare NAME/1.0.0 of these episodes (dicts as the features have them) under a folder; gives its folder."""

    class Own(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=F.FeaturesDict(features), disable_shuffling=True)

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            yield from enumerate(episodes)

    Own.name = name
    builder = Own(data_dir=str(folder), file_format="array_record")
    builder.download_and_prepare()
    return folder / name / "1.0.0"


PUSHES = {
    "steps": F.Dataset(
        {
            "observation": {"image": F.Image(shape=(12, 10, 3)), "state": F.Tensor(shape=(2,), dtype=np.float32)},
            "action": F.Tensor(shape=(2,), dtype=np.float32),
            **SCALARS,
            **FLAGS,
        }
    )
}


def pushes(lengths=(5, 3, 4)):
    """PushT: a picture, where the arm is and where it shall go, in pixels up to 512; reward 1 at the goal."""
    rng = np.random.default_rng(3)
    return [
        {
            "steps": [
                {
                    "observation": {
                        "image": io.BytesIO(png(rng, (12, 10, 3))[1]),
                        "state": rng.uniform(0, 512, 2).astype(np.float32),
                    },
                    "action": rng.uniform(0, 512, 2).astype(np.float32),
                    **ending(step, length, reward=step == length - 1),
                }
                for step in range(length)
            ]
        }
        for length in lengths
    ]


ARMS = {
    "steps": F.Dataset(
        {
            "observation": {
                "image_0": F.Image(shape=(8, 6, 3)),
                "image_1": F.Image(shape=(8, 6, 3), encoding_format="jpeg"),
                "depth": F.Image(shape=(8, 6, 1), dtype=np.uint16),
                "state": F.Tensor(shape=(7,), dtype=np.float32),
            },
            "action": F.Tensor(shape=(7,), dtype=np.float32),
            "language_instruction": F.Text(),
            "language_embedding": F.Tensor(shape=(512,), dtype=np.float32),
            "boxes": F.Tensor(shape=(None, 2), dtype=np.int32, encoding="zlib"),
            **SCALARS,
            **FLAGS,
        }
    ),
    "episode_metadata": {"file_path": F.Text(), "episode_id": F.Scalar(dtype=np.int32)},
}


def arms(lengths=(4, 2)):
    """BridgeData: two cameras and a depth picture, seven values, an instruction and its embedding."""
    rng = np.random.default_rng(4)
    depth = io.BytesIO()
    Image.fromarray(np.full((8, 6), 40_000, np.uint16)).save(depth, "PNG")
    return [
        {
            "steps": [
                {
                    "observation": {
                        "image_0": io.BytesIO(png(rng, (8, 6, 3))[1]),
                        "image_1": io.BytesIO(png(rng, (8, 6, 3))[1]),
                        "depth": io.BytesIO(depth.getvalue()),
                        "state": rng.normal(size=7).astype(np.float32),
                    },
                    "action": rng.normal(size=7).astype(np.float32),
                    "language_instruction": f"put the pot {number} to the left",
                    "language_embedding": np.ones(512, np.float32),
                    "boxes": np.full((step, 2), step, np.int32),
                    **ending(step, length),
                }
                for step in range(length)
            ],
            "episode_metadata": {"file_path": f"/raw/{number}.npy", "episode_id": number},
        }
        for number, length in enumerate(lengths)
    ]


GAME = {
    "steps": F.Dataset(
        {
            "observation": F.Tensor(shape=(5,), dtype=np.float32),
            "action": F.ClassLabel(num_classes=4),
            **SCALARS,
            **FLAGS,
        }
    )
}


def games(lengths=(6, 0, 3)):
    """RLDS proper: the last step holds the final observation only. An episode of length 0 has no step at all."""
    rng = np.random.default_rng(5)

    def step(number, length):
        last = number == length - 1
        return {
            "observation": rng.normal(size=5).astype(np.float32),
            "action": 0 if last else int(rng.integers(4)),
            **ending(number, length, reward=0 if last else 1),
            "discount": np.float32(0 if last else 1),
            "is_terminal": False,
        }

    return [{"steps": [step(number, length) for number in range(length)]} for length in lengths]
