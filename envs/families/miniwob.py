"""MiniWoB++ (Shi et al. 2017, Liu et al. 2018): small web tasks in a real browser, told as an instruction.

The pages are those of the package `miniwob`; the browser is the system's Chromium, without a window, spoken to by
`generalist.envs.chromium` in place of Selenium and its driver. What differs from the package: an episode ends by steps
and not by seconds, so that it is the same on any machine; a step is `STEP` milliseconds on the page's clock, which
stands still between steps. So rewards do not shrink with time: they are the page's raw ones.
"""

from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from generalist.envs.chromium import PATIENCE, Chromium, ChromiumFailed, find_chromium
from generalist.envs.experts.web_experts import EXPERTS
from generalist.envs.families.miniwob_table import HORIZON, HORIZONS, NAMES, NOTES
from generalist.envs.task import Task, needs_extra
from generalist.envs.web_page import (
    ACTION_SPACE,
    AWAY,
    LONGEST_INSTRUCTION,
    OBSERVATION_SPACE,
    PIXELS,
    PRESS,
    RELEASE,
    SCRIPT,
    SHRINK,
    SIDE,
    TOP,
    TYPE,
    Element,
    calls_of,
    mouse,
    page_text,
    point_of,
)

STEP = 500
"""Milliseconds on the page's clock that a step takes: the pages give ten seconds where they count them, 20 steps."""
WINDOW = (500, 320)
"""Pixels, as in the package."""
MODE = "train"
"""Of the tasks that keep some of their data for tests, as in the package."""
READY = 40
"""Tries of 50 ms on the page's clock until a page is ready, as in the package."""


def make(name: str, horizon: int, render_mode: str | None = None) -> gym.Env:
    """A task by its name in `NAMES`; frames of `render` show the instruction too, at double size.

    Observations: {"instruction": text, "page": text, "pixels": uint8[80, 80, 3]}, actions: MultiDiscrete (see
    `generalist.envs.web_page`). Rewards: 0 until the page ends the episode, then its raw reward, mostly 1 or -1.
    Success is one above 0.

    Raises:
        MissingExtra: miniwob is not installed.
        NoChromium: there is no browser on this machine.
    """
    return MiniWob(name, horizon, render_mode)


class MiniWob(gym.Env):
    """One task in a browser of its own, which starts with the first episode.

    `step` and `reset` raise `ChromiumFailed`, one line, where the browser ends or the page does not answer within
    `patience` seconds; nothing is left of it then, and the next `reset` starts another one.
    """

    def __init__(self, name: str, horizon: int, render_mode: str | None = None, *, patience: float = PATIENCE):
        with needs_extra("web"):
            import miniwob  # pyright: ignore[reportMissingImports]
            from miniwob.fields import get_field_extractor  # pyright: ignore[reportMissingImports]
        find_chromium()
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 2}
        self.observation_space, self.action_space = OBSERVATION_SPACE, ACTION_SPACE
        self.render_mode = render_mode
        self.name = name
        self.elements: tuple[Element, ...] = ()
        self.instruction = ""
        self.fields: tuple[tuple[str, str], ...] = ()
        """Names and values that the instruction gives, as the package reads it; none where it cannot."""
        self._fields_of = get_field_extractor(name)
        self._url = (Path(str(miniwob.__file__)).parent / "html" / "miniwob" / f"{name}.html").as_uri()
        self._horizon, self._patience = horizon, patience
        self._browser: Chromium | None = None
        self._steps, self._held, self._mouse = 0, False, AWAY

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        chosen = int(self.np_random.integers(2**31 - 1))
        try:
            return self._begin(chosen), {}
        except ChromiumFailed as failed:
            raise ChromiumFailed(f"miniwob/{self.name}: {failed}") from None

    def step(self, action: Any):
        try:
            seen = self._play(action)
        except ChromiumFailed as failed:
            raise ChromiumFailed(f"miniwob/{self.name}: {failed}") from None
        self._steps += 1
        over = bool(seen["done"])
        reward = float(seen["reward"]) if over else 0.0
        truncated = self._steps >= self._horizon and not over
        return self._observation(), reward, over, truncated, {"success": over and reward > 0}

    def render(self):
        if self.render_mode is None or self._browser is None:
            return None
        return self._picture(0, TOP + SIDE).repeat(2, axis=0).repeat(2, axis=1)

    def close(self):
        if self._browser is not None:
            self._browser.close()
            self._browser = None

    @property
    def _here(self) -> Chromium:
        if self._browser is None:
            raise ChromiumFailed("call reset first")
        return self._browser

    def _begin(self, seed: int) -> dict[str, Any]:
        if self._browser is None or not self._browser.alive:
            self._browser = Chromium(*WINDOW, SCRIPT, patience=self._patience)
        browser, self._steps = self._here, 0
        browser.open(self._url)
        # Where the mouse was left it would point at something of the new page.
        if self._held:
            browser.call_all([mouse("mouseReleased", AWAY)])
        self._mouse, self._held = AWAY, False
        self._point()
        browser.evaluate(f"webPage.begun({seed}, {MODE!r})")
        for _ in range(READY):
            if browser.evaluate("webPage.pass(50), WOB_TASK_READY"):
                break
        else:
            raise ChromiumFailed("the page does not get ready")
        seen = self._look(0)
        self.instruction = seen["instruction"]
        try:
            self.fields = tuple(self._fields_of(self.instruction))
        except ValueError:
            self.fields = ()
        return self._observation()

    def _play(self, action: Any) -> dict[str, Any]:
        calls = calls_of(action, [value for _, value in self.fields])
        # Movements that are sent together the browser makes one of, or not: each waits for the one before.
        for some in [calls] if action[0] == TYPE and calls else [[one] for one in calls]:
            self._here.call_all(some)
            self._here.settle()
        if action[0] in (PRESS, RELEASE):
            self._held = bool(action[0] == PRESS)
        self._mouse = point_of(action) or self._mouse
        self._point()
        return self._look(STEP)

    def _point(self) -> None:
        """Tell the page where the mouse is: what comes to lie under it notices that itself, but some frames later."""
        method, parameters = mouse("mouseMoved", self._mouse, held=self._held)
        self._here.call(method, **parameters)

    def _look(self, milliseconds: int) -> dict[str, Any]:
        """Let time pass on the page, and see what it shows with the pictures that it asked for."""
        browser = self._here
        browser.evaluate(f"webPage.pass({milliseconds})")
        self._point()
        seen = browser.evaluate("webPage.look()")
        if browser.loading:
            browser.settle()
            seen = browser.evaluate("webPage.look()")
        self.elements = tuple(
            Element(**each | {name: tuple(each[name]) for name in ("scroll", "spot")}) for each in seen["elements"]
        )
        return seen

    def _observation(self) -> dict[str, Any]:
        # [row, y, column, x, 3] -> [row, column, 3]
        pixels = self._picture(TOP, SIDE).reshape(PIXELS, SHRINK, PIXELS, SHRINK, 3).mean((1, 3))
        return {
            "instruction": self.instruction[:LONGEST_INSTRUCTION],
            "page": page_text(self.elements),
            "pixels": np.rint(pixels).astype(np.uint8),
        }

    def _picture(self, top: int, height: int) -> np.ndarray:
        """uint8[height, SIDE, 3] of the page."""
        import base64

        from PIL import Image

        clip = {"x": 0, "y": top, "width": SIDE, "height": height, "scale": 1}
        shot = self._here.call("Page.captureScreenshot", format="png", clip=clip, optimizeForSpeed=True)
        return np.asarray(Image.open(BytesIO(base64.b64decode(shot["data"]))).convert("RGB"))


def _task(name: str) -> Task:
    horizon = HORIZONS.get(name, HORIZON)
    return Task(
        id=f"miniwob/{name}",
        family="miniwob",
        make=partial(make, name, horizon),
        expert=EXPERTS.get(name),
        horizon=horizon,
        score="success",
        has_success=True,
        episodes=500,
        note=NOTES.get(name, "") or ("" if name in EXPERTS else "no expert: none is written for its page"),
        extra="web",
        provenance="MiniWoB++ (Shi et al. 2017, Liu et al. 2018), pages of the package miniwob in the system's "
        "Chromium" + ("; an expert that reads the page's elements" if name in EXPERTS else ""),
    )


TASKS: tuple[Task, ...] = tuple(map(_task, NAMES))
