"""Frames of a video file, decoded by PyAV (the extra `video`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from generalist.demonstrations.public.reader import REPAIR, BadDataError, naming
from generalist.envs.task import needs_extra


def read_frames(path: Path, begin: float, count: int, fps: float) -> np.ndarray:
    """uint8[count, height, width, 3]: the frames from `begin` seconds on, each the one shown at its time.

    Raises:
        MissingExtra: PyAV is not installed.
        BadDataError: the file is missing, damaged or too short.
    """
    with needs_extra("video"):
        import av
    if not path.is_file():
        raise BadDataError(f"{path} is missing: {REPAIR}")
    frames: list[np.ndarray] = []
    with naming(path), av.open(str(path), format="mp4") as file:
        stream = file.streams.video[0]
        if stream.time_base:
            file.seek(int(begin / stream.time_base), stream=stream)
        for frame in file.decode(stream):
            if frame.time is None or frame.time < begin - 0.5 / fps:
                continue
            frames.append(frame.to_ndarray(format="rgb24"))
            if len(frames) == count:
                return np.stack(frames)
        raise ValueError(f"it has {len(frames)} of {count} frames from {begin} s on")
