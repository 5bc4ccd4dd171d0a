"""Small public data sets of the kinds people have, written by pyarrow, PyAV and Minari; each gives a SCHEME:PATH.

Actions follow from observations, so that what is trained on them has something to learn.
"""

import numpy as np
import pyarrow as pa
from gymnasium import spaces
from lerobot_sets import box, pictures, rows, write_set

LENGTHS = (12, 9, 15, 11)


def _dots(places, size, channel=0):
    """Frames uint8[N, size, size, 3] with a square at each place, in units of 512 as PushT has them."""
    frames = np.full((len(places), size, size, 3), 230, np.uint8)
    for frame, place in zip(frames, places, strict=True):
        row, column = (place / 512 * (size - 8)).astype(int)
        frame[row : row + 8, column : column + 8] = np.eye(3, dtype=np.uint8)[channel] * 200
    return frames


def pusht(folder, *, version="v3.0", lengths=LENGTHS, film=True):
    """PushT: a film of 96 x 96, the pusher's place and where it should go, in pixels from 0 to 512; 10 a second."""
    rng, total = np.random.default_rng(0), sum(lengths)
    state = np.clip(256 + np.cumsum(rng.normal(0, 15, (total, 2)), 0), 0, 512).astype(np.float32)
    action = np.clip(state + (256 - state) * 0.2, 0, 512).astype(np.float32)
    last = np.isin(np.arange(total), np.cumsum([length for length in lengths if length]) - 1)
    features = {
        "observation.image": {"dtype": "video" if film else "image", "shape": [96, 96, 3], "names": None},
        "observation.state": box(2, names=["x", "y"]),
        "action": box(2, names=["x", "y"]),
        "next.reward": box(1),
        "next.done": box(1, dtype="bool"),
        "next.success": box(1, dtype="bool"),
    }
    columns = {
        "observation.state": rows(state),
        "action": rows(action),
        "next.reward": pa.array(rng.random(total, np.float32)),
        "next.done": pa.array(last),
        "next.success": pa.array(last & (np.arange(total) > total // 2)),
    }
    frames = _dots(state, 96)
    if not film:
        columns["observation.image"] = pictures(frames)
    times = np.concatenate([np.arange(length) / 10 for length in lengths])
    films = {"observation.image": list(frames)} if film else {}
    texts = ["Push the T-shaped block onto the T-shaped target."]
    write_set(folder, features, columns, lengths, version=version, texts=texts, films=films, times=times)
    return f"lerobot:{folder}"


def bridge(folder, *, version="v2.1", lengths=LENGTHS):
    """Bridge: seven numbers an action (move, turn, grip), two cameras of 64 x 64, an instruction an episode."""
    rng, total = np.random.default_rng(1), sum(lengths)
    state = rng.uniform(0, 512, (total, 7)).astype(np.float32)
    action = np.concatenate([(state[:, :6] - 256) / 10_000, state[:, 6:] > 256], 1).astype(np.float32)
    names = ["x", "y", "z", "roll", "pitch", "yaw", "gripper"]
    features = {
        f"observation.images.image_{number}": {"dtype": "image", "shape": [64, 64, 3], "names": None}
        for number in (0, 1)
    } | {"observation.state": box(7, names=names), "action": box(7, names=names)}
    columns = {f"observation.images.image_{number}": pictures(_dots(state[:, :2], 64, number)) for number in (0, 1)}
    columns |= {"observation.state": rows(state), "action": rows(action)}
    texts = ["put the carrot on the plate", "open the drawer", "fold the cloth"]
    told = np.repeat(np.arange(len(lengths)) % len(texts), lengths)
    write_set(folder, features, columns, lengths, version=version, fps=5, texts=texts, told=told)
    return f"lerobot:{folder}"


def game(id="atari/own-game/expert-v0", *, shape=(84, 84, 4), data_format="hdf5", lengths=LENGTHS):
    """A game: stacked grey frames (or one in colour), six actions, rewards; a local Minari data set."""
    import minari

    rng = np.random.default_rng(2)
    buffers = []
    for length in lengths:
        actions = rng.integers(0, 6, length)
        frames = np.zeros((length + 1, *shape), np.uint8)
        for frame, action in zip(frames, actions, strict=False):
            frame[10 * action : 10 * action + 10, 20:60] = 255
        buffers.append(
            minari.data_collector.EpisodeBuffer(
                observations=frames,
                actions=actions,
                rewards=(actions == 3).astype(float),
                terminations=np.arange(length) == length - 1,
                truncations=np.zeros(length, bool),
            )
        )
    made = {"observation_space": spaces.Box(0, 255, shape, np.uint8), "action_space": spaces.Discrete(6)}
    made["jpeg_encoding"] = shape[-1] == 3  # Minari cannot write others as JPEG
    minari.create_dataset_from_buffers(id, buffers, data_format=data_format, **made)
    return f"minari:{id}"
