"""Worlds as an agent draws them: the next frame of an environment, and a film of many, beside the real ones."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from generalist.agent.sampling import SamplingConfig
from generalist.corpora.worlds import Worlds
from generalist.play.painter import Painter
from generalist.tokenizers.parts import Document, Part, Picture
from generalist.tokenizers.pictures import PictureOptions, sized

LIKELIEST = SamplingConfig(temperature=0.0)
"""How a frame is drawn: most environments have one next frame."""
MILLISECONDS = 200
"""That a frame of a film stands."""


def imagine(painter: Painter, worlds: Worlds, episode: int, count: int, *, start: int = 0) -> np.ndarray:
    """uint8[n, 2, height, width, channels]: the real frames of an episode, and those that are drawn, one from another.

    Drawn are all but the first `worlds.past` frames, each from drawn ones and the actions that were really taken.

    Args:
        episode: number among those of `worlds`.
        count: frames at most, from number `start` on.

    Raises:
        ValueError: the episode has no frame after those that are shown.
    """
    length = int(worlds.columns.lengths[worlds.episodes[episode]])
    stop = min(start + count, length)
    if stop - start <= worlds.past:
        raise ValueError(f"episode {episode} has {length} frames from 0 on: nothing is left to draw after {start}")
    real = np.stack([in_size(painter, frame) for frame in worlds.frames(episode, start, stop)])
    actions, drawn = worlds.actions(episode, start, stop), list(real[: worlds.past])
    for at in range(worlds.past, len(real)):
        drawn.append(next_frame(painter, drawn[-worlds.past :], actions[at - worlds.past : at]))
    return np.stack([real, np.stack(drawn)], axis=1)


def next_frame(painter: Painter, seen: Sequence[np.ndarray], done: Sequence[Part]) -> np.ndarray:
    """uint8[height, width, channels]: what comes of frames and the action that was taken at each."""
    return painter.draw([prompt_of(seen, done)], LIKELIEST, guidance=1.0)[0]


def prompt_of(seen: Sequence[np.ndarray], done: Sequence[Part]) -> Document:
    """Frames and actions in turn."""
    return tuple(part for frame, action in zip(seen, done, strict=True) for part in (Picture(frame), action))


def in_size(painter: Painter, pixels: np.ndarray) -> np.ndarray:
    """uint8[height, width, channels] of the visual tokenizer, which the drawn ones have."""
    return sized(pixels, PictureOptions(images="conv", shape=painter.visual.config.shape))[0]


def film(pairs: np.ndarray, scale: int = 4) -> bytes:
    """An animated WebP of frames [n, 2, height, width, channels]: the real ones on the left, the drawn on the right."""
    n, _, height, _, channels = pairs.shape
    gap = np.full((n, height, 2, channels), 128, np.uint8)
    rows = np.concatenate([pairs[:, 0], gap, pairs[:, 1]], axis=2)
    size = (scale * rows.shape[2], scale * height)
    frames = [
        Image.fromarray(row if channels == 3 else row[..., 0]).resize(size, Image.Resampling.NEAREST) for row in rows
    ]
    stream = io.BytesIO()
    options = {"save_all": True, "append_images": frames[1:], "duration": MILLISECONDS, "loop": 0, "lossless": True}
    frames[0].save(stream, "WEBP", **options)
    return stream.getvalue()
