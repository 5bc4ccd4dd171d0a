"""A server in a thread of the test, and a client of it."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
from websockets.sync.client import ClientConnection, connect

from generalist.agent.config import DecodeConfig
from generalist.play.agent import Agent
from generalist.play.server.app import make_app
from generalist.play.server.engine import Engine
from generalist.play.server.metrics import Metrics
from generalist.play.server.running import listening, server_of
from generalist.play.server.wire import pack, unpack

MESSAGE = 2**20
DRAWN = DecodeConfig(discrete="sample")
"""Actions that differ with the seed and the past."""


@dataclass
class Served:
    """A server that runs; `leave` is what a signal does."""

    host: str
    port: int
    engine: Engine
    metrics: Metrics
    leave: Callable[[], None]
    thread: threading.Thread

    def connect(self, task: str = "CartPole-v1", **options: Any) -> ClientConnection:
        query = f"?task={task}" if task else ""
        return connect(f"ws://{self.host}:{self.port}/{query}", compression=None, legacy=True, **options)

    def get(self, path: str, *headers: str) -> tuple[int, str]:
        """Status and body of a page."""
        lines = (f"GET {path} HTTP/1.1", f"Host: {self.host}:{self.port}", "Connection: close", *headers, "", "")
        if any(line.lower().startswith("host:") for line in headers):
            lines = (lines[0], *lines[2:])
        with socket.create_connection((self.host, self.port), timeout=30) as plain:
            plain.sendall("\r\n".join(lines).encode())
            data = b"".join(iter(lambda: plain.recv(65536), b""))
        head, _, body = data.partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode()


@contextmanager
def serving(agent: Agent, tasks: tuple[str, ...], *, slots: int = 4, most: int = 8, **options: Any) -> Iterator[Served]:
    """A server of this process at a free port, ended at the end."""
    metrics = Metrics()
    engine = Engine(lambda task: agent, tasks, slots=slots, most=most, on_step=metrics.step)
    grace = options.pop("grace", 5.0)
    listener, ready, found = listening("127.0.0.1", 0), threading.Event(), {}

    def run() -> None:
        app = make_app(engine, metrics, {"server": "test"}, **options)
        made = server_of(
            app,
            busy=lambda: engine.clients > 0,
            most=most,
            message=MESSAGE,
            grace=grace,
            ready=lambda host, port: (found.update(address=(host, port), loop=asyncio.get_running_loop()), ready.set()),
        )
        found["server"] = made
        made.run(sockets=[listener])

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(30)
    host, port = found["address"]

    def leave() -> None:
        found["loop"].call_soon_threadsafe(found["server"].leave)

    served = Served(host, port, engine, metrics, leave, thread)
    try:
        yield served
    finally:
        if thread.is_alive():
            leave()
            thread.join(30)
        engine.close()


def infer(client: ClientConnection, **request: Any) -> Any:
    """The answer to a request: a dict, or the text of an error."""
    client.send(pack(request))
    answer = client.recv(timeout=60)
    return answer if isinstance(answer, str) else unpack(answer)


def alone(agent: Agent, task: str, seed: int, steps: int) -> list[int]:
    """Actions of an episode that is played in this process."""
    with gym.make(task) as env:
        policy = agent.policy(env).policy
        policy.reset(0)
        policy.seed[0] = seed
        seen, _ = env.reset(seed=seed)
        actions = []
        for _ in range(steps):
            actions.append(int(policy.act([seen], [0])[0]))
            seen, _, ended, _, _ = env.step(actions[-1])
            if ended:
                break
        return actions
