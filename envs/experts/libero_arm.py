"""The Panda arm of LIBERO's tasks as the scripted expert moves it: where to grip a thing, and the actions on the way.

It looks at the simulation, not at the observation: at the boxes of which LIBERO's things are made where they collide.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

STEP, TURN = 0.05, 0.5
"""Metres and radians that an action of 1 asks for. The arm gets as far as 1.5 cm in one step."""
GAIN = 20.0
"""Of the distance that is left, in actions a metre."""
OPENING, DEPTH = 0.072, 0.035
"""Metres: what the open fingers reach around, and how deep a thing can be between them."""
WIDTH = 0.14
"""Metres to both sides that the gripper and what hangs from it keep free."""
HOLLOW = ("bowl", "mug", "ramekin")
"""Words in the names of what is gripped at its rim."""
DOWN = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
"""The gripper's rotation when it points down; its fingers open along the world's y."""
Actions = Iterator[np.ndarray]


@dataclass(frozen=True)
class Grip:
    """Where the gripper closes (metres) and how it is turned about the vertical (radians, 0 as it hangs)."""

    place: np.ndarray
    yaw: float


class Arm:
    """What the expert sees and does. One for each episode."""

    def __init__(self, base: Any):
        self.base, self.model, self.data = base, base.model, base.data
        self.yaw, self.closed, self.tries = 0.0, -1.0, 0

    @property
    def place(self) -> np.ndarray:
        """float64[3] between the finger tips."""
        return self.data.site("gripper0_grip_site").xpos.copy()

    def action(self, target: np.ndarray, speed: float = 1.0) -> np.ndarray:
        """One step towards a place, with the gripper turned and closed as it is to be now."""
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        wanted = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]]) @ DOWN
        error = wanted @ self.data.site("gripper0_grip_site").xmat.reshape(3, 3).T
        move = np.clip(GAIN * (target - self.place), -speed, speed)
        turn = np.clip(_rotation_vector(error) / TURN, -1, 1)
        return np.concatenate([move, turn, [self.closed]]).astype(np.float32)

    def go(self, target: np.ndarray, *, near: float = 0.01, patience: int = 80, speed: float = 1.0) -> Actions:
        """To a place; shorter where something is in the way."""
        still, lag, last = 0, np.zeros(3), self.place
        for step in range(patience):
            before = self.place
            if np.linalg.norm(target - before) < near and self._turned():
                return
            if np.linalg.norm(before - last) < 0.004 and step > 4:
                # It has all but stopped short of its goal: what it carries or its joints hold it back.
                lag[:2] = np.clip(lag[:2] + 0.2 * (target - before)[:2], -0.03, 0.03)
            last = before
            yield self.action(target + lag, speed)
            still = still + 1 if np.linalg.norm(self.place - before) < 0.0012 and step > 4 else 0
            if still > 5:
                return

    def hold(self, steps: int) -> Actions:
        """Here, while the fingers move."""
        here = self.place
        for _ in range(steps):
            yield self.action(here)

    def corners(self, thing: str) -> np.ndarray:
        """float64[N, 3]: of the boxes of a thing."""
        boxes = self._boxes[self._thing[self._boxes] == self.body(thing)]
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
        rotations = self.data.geom_xmat[boxes].reshape(-1, 3, 3)
        local = signs * self.model.geom_size[boxes][:, None]
        return (self.data.geom_xpos[boxes][:, None] + np.einsum("bij,bkj->bki", rotations, local)).reshape(-1, 3)

    def highest_between(self, one: np.ndarray, other: np.ndarray, thing: str) -> float:
        """How high all but this thing reaches on the way over the table, and a hand's width beside it."""
        corners = np.concatenate([self.corners(each) for each in self.base.things if each != thing])
        way = (other - one)[:2]
        along = np.clip((corners[:, :2] - one[:2]) @ way / max(way @ way, 1e-9), 0, 1)
        beside = np.linalg.norm(corners[:, :2] - one[:2] - along[:, None] * way, axis=1)
        return float(corners[beside < WIDTH, 2].max(initial=0.0))

    def body(self, thing: str) -> int:
        return int(self.base.simulation.obj_body_id[thing])

    def grip_of(self, thing: str) -> Grip:
        """Where to grip a thing from above, with the least in the way; after a failure another one of the best four."""
        grips = list(self._at_rim(thing) if any(word in thing for word in HOLLOW) else self._around(thing))
        grips.sort(key=lambda grip: (self._in_the_way(grip, thing), abs(grip.yaw)))
        return grips[self.tries % min(4, len(grips))]

    def _around(self, thing: str) -> Iterator[Grip]:
        corners = self.corners(thing)
        low, high = corners[:, 2].min(), corners[:, 2].max()
        height = max(high - DEPTH, low + 0.012)
        middles, widths = {}, {}
        for yaw in np.deg2rad(np.arange(-75, 91, 15)):
            across, along = np.array([-np.sin(yaw), np.cos(yaw)]), np.array([np.cos(yaw), np.sin(yaw)])
            spread, length = corners[:, :2] @ across, corners[:, :2] @ along
            widths[yaw] = np.ptp(spread)
            middle = (spread.max() + spread.min()) / 2 * across + (length.max() + length.min()) / 2 * along
            middles[yaw] = Grip(np.append(middle, height), float(yaw))
        narrow = min(widths.values())
        yield from (middles[yaw] for yaw, width in widths.items() if width < max(OPENING * 0.8, narrow + 0.005))

    def _at_rim(self, thing: str) -> Iterator[Grip]:
        corners = self.corners(thing)
        middle = self.data.xpos[self.body(thing)][:2]
        rim = corners[corners[:, 2] > corners[:, 2].max() - 0.012]
        radius = np.linalg.norm(rim[:, :2] - middle, axis=1)
        far = corners[np.argmax(np.linalg.norm(corners[:, :2] - middle, axis=1))][:2] - middle
        handle = np.arctan2(far[1], far[0]) if "mug" in thing else None
        height = corners[:, 2].max() - 0.02
        for angle in np.deg2rad(np.arange(-180, 180, 30)):
            if handle is not None and np.cos(angle - handle) > 0.4:
                continue
            outward = np.array([np.cos(angle), np.sin(angle)])
            place = middle + (np.median(radius) - 0.004) * outward
            yaw = (angle - np.pi / 2 + np.pi / 2) % np.pi - np.pi / 2
            yield Grip(np.append(place, height), float(yaw))

    def _in_the_way(self, grip: Grip, thing: str) -> int:
        """How many points of the open gripper are inside of something else."""
        across = np.array([-np.sin(grip.yaw), np.cos(grip.yaw), 0.0])
        along = np.array([np.cos(grip.yaw), np.sin(grip.yaw), 0.0])
        shape = [
            (u, v, w) for u in (-0.055, -0.045, 0.045, 0.055) for v in (-0.01, 0.01) for w in (-0.008, 0.02, 0.05)
        ] + [(u, v, w) for u in (-0.1, -0.05, 0.0, 0.05, 0.1) for v in (-0.03, 0.03) for w in (0.06, 0.1)]
        points = np.array([grip.place + u * across + v * along + np.array([0, 0, w]) for u, v, w in shape])
        others = self._boxes[self._thing[self._boxes] != self.body(thing)]
        rotations = self.data.geom_xmat[others].reshape(-1, 3, 3)
        local = np.einsum("bji,bpj->bpi", rotations, points[None] - self.data.geom_xpos[others][:, None])
        return int((np.abs(local) < self.model.geom_size[others][:, None] + 0.004).all(-1).any(0).sum())

    def _turned(self) -> bool:
        matrix = self.data.site("gripper0_grip_site").xmat.reshape(3, 3)
        return bool(matrix[:, 0] @ np.array([-np.sin(self.yaw), np.cos(self.yaw), 0.0]) > 0.99)

    @cached_property
    def _boxes(self) -> np.ndarray:
        """Of all things and fixtures: what they are made of where they collide."""
        bodies = [self.body(thing) for thing in self.base.things]
        model = self.model
        return np.flatnonzero((model.geom_type == 6) & (model.geom_contype > 0) & np.isin(self._thing, bodies))

    @cached_property
    def _thing(self) -> np.ndarray:
        """The body of the thing that each geometry belongs to."""
        return self.model.body_rootid[self.model.geom_bodyid]


def _rotation_vector(matrix: np.ndarray) -> np.ndarray:
    """float64[3]: axis times angle, of angles below pi."""
    axis = np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]]) / 2
    sine, cosine = np.linalg.norm(axis), (np.trace(matrix) - 1) / 2
    return axis / max(sine, 1e-9) * np.arctan2(sine, cosine)


Target = Callable[[], np.ndarray]
