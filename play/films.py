"""Short films of rollouts, as animated WebP for the report.

A film is decoration: whatever goes wrong while drawing (no OpenGL, an environment without `rgb_array`) becomes a
reason, in words, in place of the film, and the evaluation goes on.
"""

import base64
import functools
import io
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from html import escape
from typing import Any

import gymnasium as gym
import numpy as np
from PIL import Image

from generalist.envs.failures import in_words, is_of_one_part
from generalist.envs.files import staying_here
from generalist.envs.spaces import own
from generalist.envs.task import Task
from generalist.play.rollout import EpisodeResult, Policy, Slot, begin_episode, step_slot


@dataclass(frozen=True, kw_only=True)
class Film:
    """An animated WebP and its first frame as a still WebP; both None, and a `reason`, if nothing could be drawn.

    `frames` were kept of `length` steps; `result` is the episode's own, None if it could not be played.
    """

    task_id: str
    animation: bytes | None = field(default=None, repr=False)
    still: bytes | None = field(default=None, repr=False)
    width: int = 0
    height: int = 0
    frames: int = 0
    result: EpisodeResult | None = None
    reason: str | None = None

    def _repr_html_(self) -> str:
        """The film in a notebook, with what came of the episode."""
        if self.animation is None or self.result is None:
            return f"<p>{escape(self.task_id)}: {escape(self.reason or 'no film')}</p>"
        data = base64.b64encode(self.animation).decode()
        won = {None: "", True: ", succeeded", False: ", did not succeed"}[self.result.success]
        played = f"return {self.result.episode_return:.4g} in {self.result.length} steps"
        said = f"{self.task_id}, seed {self.result.seed}: {played}"
        return (
            f'<figure style="margin: 0"><img alt="{escape(self.task_id)}" width="{self.width}" height="{self.height}" '
            f'src="data:image/webp;base64,{data}"><figcaption>{escape(said + won)}</figcaption></figure>'
        )


def film(
    task: Task,
    policy: Policy,
    seed: int,
    *,
    frames: int = 60,
    fps: int = 12,
    width: int = 220,
    seconds: float = 2.5,
    max_bytes: int = 280_000,
) -> Film:
    """Plays one episode of `task` and films it.

    Frames are spread evenly over the episode: whenever there are too many, every second one is dropped and from then on
    half as many are drawn. The last frame is always there, and stands for a second before the film starts again.

    Args:
        policy: played in one slot, its index 0.
        frames: at most so many.
        width: of the picture in pixels; the height follows.
        seconds: drawing may take about so long; slow drawing means fewer frames.
        max_bytes: a larger film is encoded again with half the frames.
    """
    if frames < 2 or width < 16:
        raise ValueError(f"a film needs at least 2 frames and 16 pixels of width, got {frames} and {width}")
    try:
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame draws into memory; without a display it complains
        if problem := _problem(task):
            return Film(task_id=task.id, reason=problem)
        with staying_here():
            pictures, result = _play(task, policy, seed, frames, width, seconds)
        return _encode(task.id, pictures, result, fps, max_bytes)
    except BaseException as problem:
        if not is_of_one_part(problem):
            raise
        return Film(task_id=task.id, reason=f"could not be drawn: {in_words(problem)}"[:300])


FOREVER = 10**9
"""Steps that an environment of one's own may take, which ends its episodes itself."""


class _KeptOpen(gym.Wrapper):
    """An environment of somebody else's."""

    def close(self) -> None:
        pass


def as_task(env: gym.Env) -> Task:
    """The environment as a task that is played once. Raises ValueError where it does not draw."""
    if env.render_mode != "rgb_array":
        raise ValueError('a film needs an environment that draws: make it with render_mode="rgb_array"')
    id = env.spec.id if env.spec else type(env.unwrapped).__name__
    row = {"family": "gym", "expert": None, "horizon": FOREVER, "score": "return", "has_success": False}
    return Task(id=id, make=lambda render_mode=None: _KeptOpen(env), **row)


def _play(
    task: Task, policy: Policy, seed: int, most: int, width: int, seconds: float
) -> tuple[list[Image.Image], EpisodeResult]:
    slot = Slot(env=task.make(render_mode="rgb_array"))
    try:
        if (attach := getattr(policy, "attach", None)) is not None:
            attach([slot])
        draw_fast(slot.env)
        begin_episode(slot, seed)
        policy.reset(0)
        pictures, stride, spent = [draw(slot.env, width)], 1, 0.0
        result = None
        while result is None:
            [action] = policy.act([own(slot.observation)], [0])
            _, result = step_slot(task, slot, action)
            if result is not None or slot.length % stride == 0:
                started = time.perf_counter()
                pictures.append(draw(slot.env, width))
                spent += time.perf_counter() - started
            if len(pictures) > most or spent > seconds:
                last = pictures[-1]
                pictures = pictures[::2]
                if result is not None and pictures[-1] is not last:
                    pictures[-1] = last
                stride *= 2
                spent /= 2
        return pictures, result
    finally:
        slot.env.close()


def draw_fast(env: Any) -> None:
    """MuJoCo without shadows and antialiasing: eight times faster in software, and no different at this size."""
    visual = getattr(getattr(env.unwrapped, "model", None), "vis", None)
    if visual is not None:
        visual.quality.shadowsize = 0
        visual.quality.offsamples = 0


def draw(env: Any, width: int) -> Image.Image:
    """The environment as a picture of the given width."""
    pixels = env.render()
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 3 or pixels.shape[-1] != 3:
        raise ValueError(f"render() gave {type(pixels).__name__} instead of pixels [height, width, 3]")
    height = max(1, round(pixels.shape[0] * width / pixels.shape[1]))
    picture = Image.fromarray(np.ascontiguousarray(pixels, np.uint8))
    return picture.resize(
        (width, height), Image.Resampling.BOX if picture.width > 2 * width else Image.Resampling.BICUBIC
    )


def _encode(id: str, pictures: list[Image.Image], result: EpisodeResult, fps: int, max_bytes: int) -> Film:
    pictures = pictures if len(pictures) > 1 else pictures * 2  # an animation has two frames or more
    still = io.BytesIO()
    pictures[0].save(still, "WEBP", quality=60)
    while True:
        data = io.BytesIO()
        # A handful of frames is shown more slowly: two seconds in all, but at least four a second.
        playing = min(max(1000 // fps, 2000 // len(pictures)), 250)
        durations = [playing] * (len(pictures) - 1) + [1000]
        pictures[0].save(
            data, "WEBP", save_all=True, append_images=pictures[1:], duration=durations, loop=0, quality=55, method=3
        )
        if data.tell() <= max_bytes or len(pictures) <= 8:
            break
        pictures = [*pictures[:-1:2], pictures[-1]]
    return Film(
        task_id=id,
        animation=data.getvalue(),
        still=still.getvalue(),
        width=pictures[0].width,
        height=pictures[0].height,
        frames=len(pictures),
        result=result,
    )


def _problem(task: Task) -> str | None:
    """Why this task cannot be drawn here, as far as can be known without trying."""
    if task.family in ("mujoco", "metaworld"):
        task.make().close()  # sets the OpenGL backend, and needs none itself
        return _opengl_problem()
    return None


@functools.cache
def _opengl_problem() -> str | None:
    """MuJoCo's drawing tried in a process of its own, because a broken OpenGL may end the process that asks for it."""
    probe = [sys.executable, "-c", "import mujoco; mujoco.GLContext(64, 64).make_current()"]
    try:
        done = subprocess.run(probe, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return "no film: OpenGL did not answer within a minute"
    if done.returncode == 0:
        return None
    said = done.stderr.strip().splitlines()
    return f"no film: OpenGL is not available ({said[-1] if said else f'exit code {done.returncode}'})"
