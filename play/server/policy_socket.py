"""The policy over a WebSocket: the first message is what is served, and each message after it answers one observation.

It speaks as openpi's policy server does, so that the client of the package `openpi-client` is a client of this one. A
message is a dict with the `observation`, or the observation itself where that is a dict, and beside it what
`generalist.play.server.engine.Request` names. The answer has `actions`, whose first axis is the chunk. What went wrong
is answered by a text, after which the connection goes on.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from gymnasium import spaces
from starlette.websockets import WebSocket, WebSocketDisconnect

from generalist.envs.names import nearest
from generalist.envs.spaces import space_to_json
from generalist.play.policy import stack_observations
from generalist.play.server.engine import Answer, Engine, FullError, Request, Seat
from generalist.play.server.metrics import Metrics
from generalist.play.server.waiting import LetGoError, next_message
from generalist.play.server.wire import pack, unpack

GOING_AWAY, REFUSED, TRY_LATER = 1001, 1008, 1013
KINDS = {bool: "true or false", int: "a whole number", float: "a number"}
FIELDS = tuple(each.name for each in fields(Request))


@dataclass(frozen=True, kw_only=True)
class PolicyRoom:
    """What the connections of a server share.

    Args:
        about: what every client is told of the server.
        idle: seconds without a request after which a client is let go, so that its slot is free.
        leaving: set once the server ends: who has been answered is let go.
    """

    engine: Engine
    metrics: Metrics
    about: Mapping[str, Any]
    idle: float
    leaving: asyncio.Event
    compiling: dict[str, asyncio.Lock] = field(default_factory=dict)

    def task_of(self, asked: str | None) -> str:
        """The task of a connection. Raises ValueError where it is not served, or not named and one of several."""
        tasks = self.engine.tasks
        if asked is None and len(tasks) == 1:
            return tasks[0]
        if asked is None:
            raise ValueError(f"say which task, as ws://HOST:PORT/?task=ID: {nearest('', tasks)}")
        if asked not in tasks:
            raise ValueError(f"the task {asked!r:.200} is not served here; {nearest(asked[:200], tasks)}")
        return asked

    async def serve(self, socket: WebSocket, task: str) -> None:
        """One client, until it leaves, is idle, or the server ends."""
        await socket.accept()
        try:
            seat = await self._seat(task)
        except FullError as error:
            await _bye(socket, TRY_LATER, str(error))
            return
        self.metrics.clients.inc()
        try:
            await socket.send_bytes(pack(self._greeting(seat)))
            await self._talk(socket, seat)
        except WebSocketDisconnect:  # also while it was being answered
            pass
        finally:
            self.metrics.clients.dec()
            self.engine.leave(seat)

    async def _seat(self, task: str) -> Seat:
        """A slot; of those who wait for one task's step to be compiled, one thread is taken, however many they are."""
        async with self.compiling.setdefault(task, asyncio.Lock()):
            return self.engine.sit(task) or await asyncio.to_thread(self.engine.join, task)

    def _greeting(self, seat: Seat) -> dict[str, Any]:
        policy = seat.table.policy
        space = {"observation_space": policy.layout.observation_space, "action_space": policy.layout.action_space}
        chunk = policy.playing_of_chunk if policy.layout.options.context == 1 else 1
        return {**self.about, "task": seat.table.task, "chunk": chunk} | {
            name: space_to_json(value) for name, value in space.items()
        }

    async def _talk(self, socket: WebSocket, seat: Seat) -> None:
        while True:
            try:
                message = await next_message(socket.receive(), self.leaving, self.idle)
            except LetGoError as why:
                await _bye(socket, GOING_AWAY, str(why))
                return
            if message["type"] == "websocket.disconnect":
                return
            await self._answer(socket, seat, message.get("bytes"))

    async def _answer(self, socket: WebSocket, seat: Seat, data: bytes | None) -> None:
        layout = seat.table.policy.layout
        try:
            if data is None:
                raise ValueError("a request is a binary message, as openpi-client sends it; this was a text")
            request = request_of(unpack(data), layout.observation_space)
            answer = await asyncio.wrap_future(self.engine.ask(seat, request))
        except ValueError as error:
            self.metrics.requests.labels("refused").inc()
            await socket.send_text(str(error))
            return
        except Exception as error:  # of the step itself: the next may do
            self.metrics.requests.labels("failed").inc()
            logging.getLogger(__name__).exception("a step failed")
            await socket.send_text(f"the server failed: {type(error).__name__}")
            return
        self.metrics.requests.labels("answered").inc()
        self.metrics.waited.observe(answer.waited)
        await socket.send_bytes(pack(reply(layout.action_space, answer)))


def request_of(message: Any, space: Any) -> Request:
    """What a message asks for. Raises ValueError where it cannot be told."""
    if not isinstance(message, Mapping):
        raise ValueError(f"a request is a dict with `observation`, got {type(message).__name__}")
    given = dict(message)
    beside = {name: given.pop(name) for name in FIELDS if name in given}
    if "observation" not in beside and isinstance(space, spaces.Dict):
        beside["observation"], given = given, {}
    if "observation" not in beside:
        raise ValueError(f"a request needs `observation`; it has {', '.join(map(repr, message)) or 'nothing'}"[:300])
    if given:
        name = next(iter(given))
        raise ValueError(f"a request has no {name!r:.80}; {nearest(str(name)[:80], FIELDS)}")
    for name, kind in (("reset", bool), ("seed", int), ("reward", float)):
        if beside.get(name) is not None:
            beside[name] = _as(kind, name, beside[name])
    return Request(**beside | {"reset": bool(beside.get("reset", False))})


def _as(kind: type, name: str, value: Any) -> Any:
    try:
        found = kind(value)
    except (TypeError, ValueError, OverflowError):
        found = None
    if found is None or found != value:
        raise ValueError(f"`{name}` must be {KINDS[kind]}, got {value!r:.80}")
    return found


def reply(space: Any, answer: Answer) -> dict[str, Any]:
    """The message that answers a request."""
    timing = {"infer_ms": 1000 * answer.seconds, "queue_ms": 1000 * answer.waited, "together": answer.together}
    return {"actions": stack_observations(space, answer.actions), "server_timing": timing}


async def _bye(socket: WebSocket, code: int, why: str) -> None:
    await socket.send_text(why)
    await socket.close(code, why)
