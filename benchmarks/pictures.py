"""How a picture is best kept for random access: bytes on disk, and microseconds to write and to read one.

Frames of three kinds: drawn (BabyAI), an old game's (Atari), and with noise as a camera's. Columns hold zstd where it
halves a picture and raw bytes where not.
"""

import io
import time
import zlib
from collections.abc import Callable

import gymnasium as gym
import numpy as np
import zstandard
from common import parser, save
from made_up import smooth
from PIL import Image

from generalist.envs.table import find_task


def played(task: str, count: int) -> np.ndarray:
    """Frames of random play, uint8[count, H, W, C]."""
    env, frames = find_task(task).make(), []
    observation, _ = env.reset(seed=0)
    env.action_space.seed(0)
    while len(frames) < count:
        found = observation["image"] if isinstance(env.observation_space, gym.spaces.Dict) else observation
        frames.append(np.array(found))
        observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            observation, _ = env.reset()
    env.close()
    return np.stack(frames)


def png(frame: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(frame.squeeze()).save(out, "PNG")
    return out.getvalue()


def forms() -> dict[str, tuple[Callable[[np.ndarray], bytes], Callable[[bytes], object]]]:
    made = {"raw": (np.ndarray.tobytes, lambda data: np.frombuffer(data, np.uint8).copy())}
    for level in (1, 3, 9):
        compressor, decompressor = zstandard.ZstdCompressor(level=level), zstandard.ZstdDecompressor()
        made[f"zstd {level}"] = (
            lambda frame, use=compressor: use.compress(frame.tobytes()),
            lambda data, use=decompressor: np.frombuffer(use.decompress(data), np.uint8),
        )
    made["zlib 1"] = (
        lambda frame: zlib.compress(frame.tobytes(), 1),
        lambda data: np.frombuffer(zlib.decompress(data), np.uint8),
    )
    made["png"] = (png, lambda data: np.asarray(Image.open(io.BytesIO(data))))
    return made


def microseconds(function: Callable, values: list) -> float:
    begun = time.perf_counter()
    for value in values:
        function(value)
    return 1e6 * (time.perf_counter() - begun) / len(values)


def main() -> None:
    given = parser(__doc__.split("\n")[0]).parse_args()
    count = 20 if given.small else 500
    kinds = {
        "drawn": played("babyai/GoToObj", count),
        "game": played("atari/MsPacman", count),
        "camera": smooth(np.random.default_rng(0), (count, 240, 320, 3)),
    }
    rows = []
    for kind, frames in kinds.items():
        for form, (encode, decode) in forms().items():
            kept = [encode(frame) for frame in frames]
            size = float(np.mean([len(data) for data in kept]))
            row = {
                "frames": f"{kind}, {' x '.join(map(str, frames.shape[1:]))}",
                "form": form,
                "bytes": size,
                "of raw": size / frames[0].nbytes,
            }
            rows.append(row | {"write us": microseconds(encode, list(frames)), "read us": microseconds(decode, kept)})
    save(given.out, "pictures", rows)


if __name__ == "__main__":
    main()
