"""The playground's WebSocket: a viewer says what happens next, and is shown it.

The viewer sets the pace, so that a slow one is sent no more than it draws. Messages are JSON. From the viewer:
{"do": "begin", "seed": 7} and {"do": "step", "action": null or an index}; to it: what `Stage.seen` gives, or
{"error": ...}.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from generalist.envs.table import find_task
from generalist.envs.task import Task
from generalist.play.rollout import Policy
from generalist.play.server.engine import Engine, Seat
from generalist.play.server.stage import AGENT, AskedPolicy, Stage
from generalist.play.server.waiting import LetGoError, next_message

GOING_AWAY, TRY_LATER = 1001, 1013
MOST_VIEWERS = 4
MODES = ("as evaluated", "greedy", "sampled")
"""Ways of choosing discrete actions."""


def variant(task: str, mode: str, update: int) -> str:
    """What the playground's engine calls a task that is played in one way by one checkpoint."""
    return json.dumps([task, mode, update])


@dataclass(eq=False)
class StageRoom:
    """What the viewers of a server share.

    Args:
        engine: of the variants of all tasks, its answers explained.
        others: who plays beside the agent, by name: a policy for a task, None where the task has none.
        tasks: ids that can be watched.
        updates: checkpoints that can be, the newest last.
        idle: seconds without a request after which a viewer is let go.
        leaving: set once the server ends.
    """

    engine: Engine
    others: Mapping[str, Callable[[Task], Policy | None]]
    tasks: tuple[str, ...]
    updates: tuple[int, ...]
    idle: float
    leaving: asyncio.Event
    viewers: int = 0

    async def serve(self, socket: WebSocket) -> None:
        """One viewer, until it leaves."""
        await socket.accept()
        try:
            wanted = self._wanted(socket)
        except ValueError as error:
            await _bye(socket, TRY_LATER, str(error))
            return
        self.viewers += 1
        thread, stage, seat = ThreadPoolExecutor(1, "stage"), None, None
        run = partial(asyncio.get_running_loop().run_in_executor, thread)
        try:
            seat = await run(self.engine.join, variant(*wanted))
            stage = await run(self._stage, wanted[0], seat)
            about = {"task": wanted[0], "controls": stage.controls, "sides": list(stage.sides)}
            await socket.send_text(json.dumps(about))
            await self._watch(socket, stage, run)
        except WebSocketDisconnect:
            pass
        except Exception as error:  # an environment that cannot be made or drawn here
            logging.getLogger(__name__).warning("the playground's %s failed", wanted[0], exc_info=True)
            await _bye(socket, TRY_LATER, f"{wanted[0]} cannot be shown: {' '.join(str(error).split())[:300]}")
        finally:
            self.viewers -= 1
            if stage is not None:
                await run(stage.close)
            if seat is not None:
                self.engine.leave(seat)
            thread.shutdown(wait=False)

    def _wanted(self, socket: WebSocket) -> tuple[str, str, int]:
        asked = socket.query_params
        task, mode = asked.get("task", ""), asked.get("mode", MODES[0])
        update = asked.get("update", str(self.updates[-1]))
        if self.viewers >= MOST_VIEWERS:
            raise ValueError(f"{MOST_VIEWERS} viewers are watching, and no more can; try again later")
        if task not in self.tasks or mode not in MODES or update not in map(str, self.updates):
            raise ValueError("there is no such task, way of playing or checkpoint here")
        return task, mode, int(update)

    def _stage(self, name: str, seat: Seat) -> Stage:
        task = find_task(name)
        others = {who: make(task) for who, make in self.others.items()}
        beside = {who: policy for who, policy in others.items() if policy is not None}
        return Stage(task, {AGENT: AskedPolicy(self.engine, seat), **beside})

    async def _watch(self, socket: WebSocket, stage: Stage, run: Callable[..., Any]) -> None:
        while True:
            try:
                said = _said(await next_message(socket.receive_text(), self.leaving, self.idle))
            except LetGoError as why:
                await _bye(socket, GOING_AWAY, str(why))
                return
            except ValueError as error:
                await socket.send_text(json.dumps({"error": str(error)}))
                continue
            try:
                shown = await run(stage.begin if said["do"] == "begin" else stage.step, said["with"])
            except ValueError as error:
                shown = {"error": str(error)}
            await socket.send_text(json.dumps(shown))


def _said(text: str) -> dict[str, Any]:
    """What a viewer asks for. Raises ValueError where it cannot be told."""
    try:
        said = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        said = None
    if not isinstance(said, dict) or said.get("do") not in ("begin", "step"):
        raise ValueError('a request is {"do": "begin", "seed": N} or {"do": "step", "action": null or N}')
    begins = said["do"] == "begin"
    value = said.get("seed" if begins else "action")
    if value is None and not begins:
        return {"do": "step", "with": None}
    if type(value) is not int or not 0 <= value < 2**31:
        raise ValueError(f"{'seed' if begins else 'action'} must be a whole number from 0 on")
    return {"do": said["do"], "with": value}


async def _bye(socket: WebSocket, code: int, why: str) -> None:
    try:
        await socket.send_text(json.dumps({"error": why}))
        await socket.close(code, why[:100])
    except (WebSocketDisconnect, RuntimeError):  # it is gone already
        pass
