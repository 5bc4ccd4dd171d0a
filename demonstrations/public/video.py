"""Frames of a video file at given times, decoded by PyAV (the extra `video`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from generalist.demonstrations.public.reader import REPAIR, BadDataError, naming
from generalist.envs.task import needs_extra

TOLERANCE = 0.1
"""How far a frame may be from its step's time, in frames; LeRobot's own reader allows 1e-4 s."""
MIN_PIXELS = 2**22
"""The least that a decoder is bounded by, in pixels a frame."""
PIXELS = {1: "gray", 3: "rgb24"}


def read_frames(path: Path, times: np.ndarray, fps: float, shape: tuple[int, ...], detail: str = "") -> np.ndarray:
    """uint8[N, height, width, channels]: the frame of each of the times, which follow each other in the film.

    Args:
        times: [N] seconds from the film's zero, increasing.
        fps: frames per second, for `TOLERANCE`.
        shape: height, width and channels (1 or 3) that the film must have, compared before it is decoded.
        detail: what is read, for messages.

    Raises:
        MissingExtra: PyAV is not installed.
        BadDataError: the file is missing, damaged or of another size; a frame is missing, or is there twice as often.
    """
    with needs_extra("video"):
        import av
    if not path.is_file():
        raise BadDataError(f"{path} is missing: {REPAIR}")
    with naming(path, detail), av.open(str(path), format="mp4") as file:
        if not file.streams.video:
            raise ValueError("it has no film")
        stream = file.streams.video[0]
        if shape[-1] not in PIXELS:
            raise ValueError(f"a film has 1 or 3 channels, info.json says {shape[-1]}")
        _check_size(stream, shape)
        if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise ValueError("the steps' times do not increase")
        # A frame inside may be larger than the file says; some decoders need room beside the frame.
        stream.codec_context.options = {"max_pixels": str(max(MIN_PIXELS, 4 * shape[0] * shape[1]))}
        found = np.empty((len(times), *shape), np.uint8)
        for index, frame in enumerate(_frames_at(file, stream, times, TOLERANCE / fps)):
            _check_size(frame, shape)
            found[index] = frame.to_ndarray(format=PIXELS[shape[-1]]).reshape(shape)
        return found


def _frames_at(file: Any, stream: Any, times: np.ndarray, tolerance: float) -> Iterator[Any]:
    """One frame for each time. Raises ValueError where there is none, or where one between two belongs to no step."""
    step, last = 0, None
    if times[0] > tolerance and stream.time_base:  # to the last key frame that is shown before
        file.seek(int((times[0] - tolerance) / stream.time_base), stream=stream)
    for frame in file.decode(stream):
        if frame.time is None:
            raise ValueError("a frame has no time")
        if frame.time < times[step] - tolerance:
            if step:
                raise ValueError(
                    f"the frame at {frame.time:.4f} s is of no step: steps are at {times[step - 1]:.4f} and "
                    f"{times[step]:.4f} s, so its frames per second are not those of info.json"
                )
            last = frame.time
            continue
        if frame.time > times[step] + tolerance:
            raise ValueError(
                f"there is no frame at {times[step]:.4f} s (step {step}): the nearest are at "
                f"{'none' if last is None else f'{last:.4f}'} and {frame.time:.4f} s"
            )
        yield frame
        step, last = step + 1, frame.time
        if step == len(times):
            return
    ended = "it has no frame there" if last is None else f"its last frame is at {last:.4f} s"
    raise ValueError(f"there is no frame at {times[step]:.4f} s (step {step}): {ended}")


def _check_size(picture: Any, shape: tuple[int, ...]) -> None:
    if (picture.height, picture.width) != tuple(shape[:2]):
        raise ValueError(f"its frames are {picture.height}x{picture.width}, info.json says {shape[0]}x{shape[1]}")
