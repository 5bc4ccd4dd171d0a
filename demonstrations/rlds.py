"""One episode as one RLDS record: a `tf.train.Example` as TensorFlow Datasets writes it, without TensorFlow.

    steps: observation, action, reward, discount, is_first, is_last, is_terminal     N + 1 of each
    task_id, seed, return, success (1, 0, or -1: the task has none), expert, noise, truncated

The last step carries the final observation; its action, reward and discount are zero (Ramos et al. 2021, "RLDS").
Whole fields are coded at once, ten times faster than TFDS's step by step decoding of the same bytes.
Tuples become dicts with keys "0", "1", ...; "/" in a key is written "%2F", because TFDS joins keys with it.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import tensorflow_datasets as tfds
from gymnasium import spaces
from tensorflow_datasets.proto import tf_example_pb2

from generalist.demonstrations.episode import Episode, EpisodeMetadata
from generalist.envs.spaces import Path, build_value, is_text, space_leaves, value_at

# Made by protobuf when the module is imported, so type checkers cannot see it.
Example: Any = tf_example_pb2.Example  # pyright: ignore[reportAttributeAccessIssue]

SUCCESS_CODES = {None: -1, False: 0, True: 1}


def rlds_features(observation_space: gym.Space, action_space: gym.Space) -> tfds.features.FeaturesDict:
    """The TFDS features of episodes with these spaces: what `features.json` holds."""
    scalar = {name: tfds.features.Scalar(np.bool_) for name in ("is_first", "is_last", "is_terminal")}
    number = {name: _tensor((), np.float32) for name in ("reward", "discount")}
    parts = {"observation": observation_space, "action": action_space}
    step = {name: _feature(space) for name, space in parts.items() if space_leaves(space)} | number | scalar
    return tfds.features.FeaturesDict(
        {
            "steps": tfds.features.Dataset(step),
            "task_id": tfds.features.Text(),
            "seed": tfds.features.Scalar(np.int64),
            "return": _tensor((), np.float64),
            "success": tfds.features.Scalar(np.int64, doc="1: reached, 0: not reached, -1: the task has no success"),
            "expert": tfds.features.Text(),
            "noise": _tensor((), np.float64),
            "truncated": tfds.features.Scalar(np.bool_),
        }
    )


def encode_episode(episode: Episode, observation_space: gym.Space, action_space: gym.Space) -> bytes:
    """The episode as a serialised `tf.train.Example`."""
    steps = len(episode)
    fields: dict[str, list[Any]] = {"steps/reward": _rows(np.append(episode.rewards, np.float32(0)))}
    discount = np.ones(steps + 1, np.float32)
    discount[-1] = 0
    discount[-2] = 0 if episode.terminated else 1
    fields["steps/discount"] = _rows(discount)
    fields["steps/is_first"] = [1] + [0] * steps
    fields["steps/is_last"] = [0] * steps + [1]
    fields["steps/is_terminal"] = [0] * steps + [int(episode.terminated)]
    for path, _ in space_leaves(observation_space):
        fields[_name("observation", path)] = _rows(value_at(episode.observations, path))
    for path, leaf in space_leaves(action_space):
        actions = value_at(episode.actions, path)
        final = np.array([""], object) if is_text(leaf) else np.zeros((1, *actions.shape[1:]), actions.dtype)
        fields[_name("action", path)] = _rows(np.concatenate([actions, final]))
    return _serialised(fields | _metadata_fields(episode))


class Record:
    """A serialised episode, decoded field by field as they are asked for.

    Raises:
        ValueError: (from every method) not an episode of these spaces.
    """

    def __init__(self, data: bytes):
        try:
            self._fields = Example.FromString(data).features.feature
        except Exception as cause:  # google.protobuf.message.DecodeError, whose place varies with the version
            raise ValueError(f"not a tf.train.Example: {cause}") from cause

    def __len__(self) -> int:
        """Number of steps N, the final observation not counted."""
        return len(self._bytes("steps/reward")) - 1

    def metadata(self) -> EpisodeMetadata:
        return EpisodeMetadata(
            task_id=self._bytes("task_id")[0].decode(),
            seed=int(self._integers("seed")[0]),
            episode_return=float(np.frombuffer(self._bytes("return")[0], np.float64)[0]),
            success={code: value for value, code in SUCCESS_CODES.items()}[int(self._integers("success")[0])],
            expert=self._bytes("expert")[0].decode(),
            noise=float(np.frombuffer(self._bytes("noise")[0], np.float64)[0]),
        )

    def leaf(self, part: str, path: Path, space: gym.Space, count: int) -> np.ndarray:
        """The first `count` rows of the leaf at `path` of `part` ("observation" or "action"), leading axis `count`."""
        rows = self._bytes(_name(part, path))[:count]
        if len(rows) != count:
            raise ValueError(f"field {_name(part, path)} has {len(rows)} rows, need {count}")
        if is_text(space):
            return np.array([row.decode() for row in rows] + [None], object)[:-1]
        data = np.frombuffer(bytearray().join(rows), _dtype(space))
        return data.reshape(count, *_shape(space))

    def rewards(self, count: int) -> np.ndarray:
        """float32[count]: the first rewards."""
        return np.frombuffer(bytearray().join(self._bytes("steps/reward")[:count]), np.float32)

    def episode(self, observation_space: gym.Space, action_space: gym.Space) -> Episode:
        steps = len(self)
        observations = (self.leaf("observation", path, s, steps + 1) for path, s in space_leaves(observation_space))
        actions = (self.leaf("action", path, s, steps) for path, s in space_leaves(action_space))
        return Episode(
            observations=build_value(observation_space, observations),
            actions=build_value(action_space, actions),
            rewards=self.rewards(steps),
            terminated=bool(self._integers("steps/is_terminal")[-1]),
            truncated=bool(self._integers("truncated")[0]),
            metadata=self.metadata(),
        )

    def _bytes(self, name: str) -> Any:
        return self._field(name).bytes_list.value

    def _integers(self, name: str) -> Any:
        return self._field(name).int64_list.value

    def _field(self, name: str) -> Any:
        if name not in self._fields:
            raise ValueError(f"the record has no field {name!r}")
        return self._fields[name]


def stack_leaf(space: gym.Space, rows: list[Any]) -> np.ndarray:
    """Values of one leaf space as one array with leading axis len(rows): of the space's dtype, text as objects.

    Raises:
        ValueError: a value's shape differs from the space's, or its dtype cannot be converted without loss of meaning.
    """
    if is_text(space):
        if wrong := [row for row in rows if not isinstance(row, str)]:
            raise ValueError(f"a text space holds str, got {type(wrong[0]).__name__}")
        return np.array([*rows, None], object)[:-1]
    dtype, shape = _dtype(space), (len(rows), *_shape(space))
    try:
        given = np.array(rows).reshape(shape) if 0 in shape else np.array(rows)
    except ValueError:  # rows of several shapes, or too few values
        odd = next((i for i, row in enumerate(rows) if _shape_of(row) != shape[1:]), 0)
        said = f"at step {odd} the value has shape {_shape_of(rows[odd])}, the space has {shape[1:]}"
        raise ValueError(said) from None
    if given.shape != shape:
        raise ValueError(f"values have shape {given.shape[1:]}, the space has {shape[1:]}")
    values = given.astype(dtype, copy=False)
    if dtype.kind != "f" and given.dtype != dtype and not np.array_equal(values, given):
        raise ValueError(f"values of dtype {given.dtype} do not fit the space's {dtype}")
    return values


def _shape_of(row: Any) -> tuple[int, ...] | str:
    try:
        return np.shape(row)
    except ValueError:
        return "that is not regular"


def _dtype(space: gym.Space) -> np.dtype:
    return np.dtype(space.dtype)


def _shape(space: gym.Space) -> tuple[int, ...]:
    return tuple(space.shape or ())


def _feature(space: gym.Space) -> Any:
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        children = space.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        # Parts without any leaf are left out: TFDS cannot read an empty FeaturesDict.
        return tfds.features.FeaturesDict({_escape(str(k)): _feature(s) for k, s in children if space_leaves(s)})
    if is_text(space):
        return tfds.features.Text()
    return _tensor(_shape(space), _dtype(space))


def _tensor(shape: tuple[int, ...], dtype: Any) -> tfds.features.Tensor:
    # Raw bytes: TFDS's default encoding turns integers into int64 and is twenty times slower to write.
    return tfds.features.Tensor(shape=shape, dtype=np.dtype(dtype), encoding="bytes")


def _name(part: str, path: Path) -> str:
    return "/".join(["steps", part, *(_escape(str(key)) for key in path)])


def _escape(key: str) -> str:
    return key.replace("%", "%25").replace("/", "%2F")


def _rows(values: np.ndarray) -> list[bytes]:
    """One entry per row."""
    if values.dtype == object:
        return [text.encode() for text in values]
    if not values.nbytes:
        return [b""] * len(values)
    # As raw items of a row's size, whose list NumPy makes at once: ten times faster than a slice for each row.
    row = np.dtype(f"V{values.nbytes // len(values)}")
    return np.ascontiguousarray(values).reshape(len(values), -1).view(row).ravel().tolist()


def _serialised(fields: dict[str, list[Any]]) -> bytes:
    example = Example()
    features = example.features.feature
    for name, values in fields.items():
        feature = features[name]  # filled in place: a message that is given to another is copied
        (feature.bytes_list if isinstance(values[0], bytes) else feature.int64_list).value.extend(values)
    return example.SerializeToString(deterministic=True)


def _metadata_fields(episode: Episode) -> dict[str, list[Any]]:
    metadata = episode.metadata
    return {
        "task_id": [metadata.task_id.encode()],
        "seed": [metadata.seed],
        "return": [np.float64(metadata.episode_return).tobytes()],
        "success": [SUCCESS_CODES[metadata.success]],
        "expert": [metadata.expert.encode()],
        "noise": [np.float64(metadata.noise).tobytes()],
        "truncated": [int(episode.truncated)],
    }
