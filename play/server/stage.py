"""A task played before somebody's eyes: the agent beside others, all from the same seed, step by step, drawn.

Everything of one viewer is called by one thread: a drawing context belongs to the thread that made it.
"""

import base64
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import EnumType
from typing import Any

import numpy as np
from gymnasium import spaces

from generalist.envs.spaces import own
from generalist.envs.task import Task
from generalist.play.films import draw, draw_fast
from generalist.play.policy import AgentPolicy
from generalist.play.rollout import EpisodeResult, Policy, Slot, begin_episode, step_slot
from generalist.play.server.engine import Answer, Engine, Request, Seat
from generalist.tokenizers.space import is_text, leaves, pick

AGENT = "agent"
WIDTH, QUALITY = 360, 80
BARS = 64
"""Bars in which the bins of a continuous action are shown."""
PATIENCE = 120.0


class AskedPolicy:
    """The agent, asked as a client asks it; `answer` is its last one. Follows `generalist.play.rollout.Policy`."""

    def __init__(self, engine: Engine, seat: Seat):
        self.engine, self.seat = engine, seat
        self.answer: Answer | None = None
        self.played: Any = None
        """The action that somebody else chose at the timestep before."""
        self._first = True

    def attach(self, slots: Sequence[Slot]) -> None:
        self._slots = slots

    def reset(self, index: int) -> None:
        self._first, self.answer, self.played = True, None, None
        self._seed, self._returned = self._slots[index].seed % 2**32, 0.0

    def act(self, observations: list[Any], active: list[int]) -> list[Any]:
        slot = self._slots[0]
        reward, self._returned = slot.episode_return - self._returned, slot.episode_return
        request = Request(
            observation=observations[0],
            reset=self._first,
            seed=self._seed if self._first else None,
            reward=None if self._first else reward,
            played=None if self._first else self.played,
        )
        self._first, self.played = False, None
        self.answer = self.engine.ask(self.seat, request).result(PATIENCE)
        return [self.answer.actions[0]]


@dataclass(eq=False)
class Side:
    """One of those who play; `result` is there once its episode has ended."""

    policy: Policy
    slot: Slot
    result: EpisodeResult | None = None
    action: Any = None


class Stage:
    """The environments of one viewer.

    Args:
        task: what is played.
        policies: who plays, by name; "agent" is an `AskedPolicy`, and whoever watches can play in its place.
    """

    def __init__(self, task: Task, policies: Mapping[str, Policy]):
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame draws into memory
        self.task = task
        self.sides: dict[str, Side] = {}
        try:
            for name, policy in policies.items():
                slot = Slot(env=task.make(render_mode="rgb_array"))
                self.sides[name] = Side(policy, slot)
                draw_fast(slot.env)
                if (attach := getattr(policy, "attach", None)) is not None:
                    attach([slot])
        except BaseException:
            self.close()
            raise

    @property
    def controls(self) -> list[str] | None:
        """Names of the actions, where a person can choose one: those of a discrete space of few."""
        space = self._any.env.action_space
        if not isinstance(space, spaces.Discrete) or space.n > 40:
            return None
        return action_names(self._any.env, space)

    @property
    def _any(self) -> Slot:
        return next(iter(self.sides.values())).slot

    def begin(self, seed: int) -> dict[str, Any]:
        """A new episode of everybody."""
        for side in self.sides.values():
            begin_episode(side.slot, seed)
            side.policy.reset(0)
            side.result = side.action = None
        return self.seen(tuple(self.sides))

    def step(self, chosen: int | None = None) -> dict[str, Any]:
        """One timestep of everybody whose episode goes on.

        Args:
            chosen: index of the action that is played in the agent's place; what it would have done is shown all the
                same.

        Raises:
            ValueError: there is no such action.
        """
        moved = tuple(name for name, side in self.sides.items() if side.result is None)
        for name in moved:
            side = self.sides[name]
            [action] = side.policy.act([own(side.slot.observation)], [0])
            if name == AGENT and chosen is not None:
                action = self._chosen(chosen)
                side.policy.played = action  # pyright: ignore[reportAttributeAccessIssue]
            side.action = action
            _, side.result = step_slot(self.task, side.slot, action)
        return self.seen(moved)

    def _chosen(self, index: int) -> Any:
        controls, space = self.controls, self._any.env.action_space
        if controls is None or not 0 <= index < len(controls) or not isinstance(space, spaces.Discrete):
            raise ValueError(f"there is no action {index} to choose here")
        return space.start + index

    def seen(self, drawn: Sequence[str]) -> dict[str, Any]:
        """What a viewer is shown: of those who moved a new picture, and what the agent thought."""
        sides = {name: self._side(self.sides[name], name in drawn) for name in self.sides}
        over = all(side.result is not None for side in self.sides.values())
        return {"sides": sides, "over": over, "thought": self._thought(), "said": self._said()}

    def _said(self) -> str:
        """The texts of the first side's observation: its mission."""
        slot = self._any
        texts = [leaf for leaf in leaves(slot.env.observation_space, "observation") if is_text(leaf.space)]
        return "; ".join(str(pick(slot.observation, leaf)) for leaf in texts)

    def _side(self, side: Side, drawn: bool) -> dict[str, Any]:
        result, slot = side.result, side.slot
        found = {
            "return": slot.episode_return,
            "length": slot.length,
            "over": result is not None,
            "success": result.success if result is not None else None,
            "action": None if side.action is None else shown_action(slot.env, side.action),
        }
        return found | ({"picture": picture_of(slot.env)} if drawn else {})

    def _thought(self) -> list[dict[str, Any]]:
        """The probabilities of the agent's last action."""
        policy = self.sides[AGENT].policy if AGENT in self.sides else None
        if not isinstance(policy, AskedPolicy) or policy.answer is None or policy.answer.chances is None:
            return []
        return thoughts(policy.seat.table.policy, policy.answer.chances, self.controls)

    def close(self) -> None:
        for side in self.sides.values():
            side.slot.env.close()


def picture_of(env: Any) -> str:
    """The environment as a data: URL."""
    file = io.BytesIO()
    draw(env, WIDTH).save(file, "WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def action_names(env: Any, space: spaces.Discrete) -> list[str]:
    """Names of discrete actions, where the environment has some; else their numbers."""
    named = getattr(env.unwrapped, "actions", None)
    if isinstance(named, EnumType) and len(named) >= space.n:
        return list(named.__members__)[: space.n]
    if hasattr(env.unwrapped, "get_action_meanings") and len(found := env.unwrapped.get_action_meanings()) == space.n:
        return [str(each).lower() for each in found]
    return [str(space.start + index) for index in range(space.n)]


def shown_action(env: Any, action: Any) -> str:
    """An action in words."""
    space = env.action_space
    if isinstance(space, spaces.Discrete):
        return action_names(env, space)[int(action) - int(space.start)]
    if isinstance(action, np.ndarray) and action.dtype.kind == "f":
        return " ".join(f"{value:+.2f}" for value in action.ravel()[:8])
    return str(action)[:80]


def thoughts(policy: AgentPolicy, chances: np.ndarray, names: Sequence[str] | None) -> list[dict[str, Any]]:
    """The probabilities of an action's tokens as bars: of each legal value, or of stretches of a continuous one."""
    layout, found = policy.layout, []
    for token, (each, (start, stop)) in enumerate(zip(chances, layout.action_ranges, strict=False)):
        legal = each[: int(stop - start)]
        if layout.action_is_continuous[token]:
            groups = np.array_split(legal, min(BARS, len(legal)))
            found.append({"kind": "continuous", "bars": [round(float(group.sum()), 4) for group in groups]})
        else:
            labels = list(names) if names and len(names) == len(legal) else [str(value) for value in range(len(legal))]
            found.append(
                {"kind": "discrete", "bars": [round(float(p), 4) for p in legal[:BARS]], "names": labels[:BARS]}
            )
    return found
