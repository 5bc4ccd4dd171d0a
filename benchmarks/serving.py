"""Actions per second and latency of `generalist serve` with many clients, acted for together and one at a time.

The agent is `pretrained:quickstart`, the server a process of its own, and the clients connections of another one: each
sends observations that were recorded before, as soon as it has its last action. One at a time is the same server with
`--slots 1`, where every client's step is its own. The server's memory is read before and after a hundred thousand
requests of clients that come, ask five hundred times and go.
"""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from common import parser, save
from rich.console import Console
from websockets.asyncio.client import connect

from generalist.envs.seeds import evaluation_seed
from generalist.envs.table import find_task
from generalist.play.server.wire import pack, unpack

TASKS = ("CartPole-v1", "metaworld/push-v3")
CLIENTS = (1, 8, 64)
SECONDS = 10.0
REQUESTS, VISIT, TOGETHER = 100_000, 500, 8
"""Requests after which memory is read again, those of one visit, and clients that are there at once."""
COMMAND = "import sys; from generalist.configs.commands.cli import main; sys.exit(main())"


@contextmanager
def server(task: str, slots: int, clients: int) -> Iterator[tuple[int, int]]:
    """A server of the task at a free port: the port, and the number of its process."""
    options = ["--port", "0", "--task", task, "--slots", str(slots), "--clients", str(clients)]
    command = [sys.executable, "-c", COMMAND, "serve", "pretrained:quickstart", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if found := re.search(r"ws://127\.0\.0\.1:(\d+)/", line):
                    yield int(found[1]), process.pid
                    break
        finally:
            process.terminate()
            process.wait(60)


def recorded(name: str, count: int) -> list[bytes]:
    """Requests with the observations of random play."""
    task = find_task(name)
    env = task.make()
    seen, _ = env.reset(seed=evaluation_seed(0))
    env.action_space.seed(0)
    requests = []
    for _ in range(count):
        requests.append(pack({"observation": seen}))
        seen, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            seen, _ = env.reset()
    env.close()
    return requests


async def ask(port: int, requests: list[bytes], clients: int, seconds: float) -> tuple[list[float], float, float]:
    """Latencies of all requests, the seconds that they took, and how many clients a step acted for on average."""
    begin, end = asyncio.Event(), 0.0
    latencies: list[float] = []
    together: list[int] = []
    joined = 0

    async def client(number: int) -> None:
        nonlocal joined
        async with connect(f"ws://127.0.0.1:{port}/", compression=None, open_timeout=300) as socket:
            await socket.recv()
            joined += 1
            await begin.wait()
            at = number
            while time.perf_counter() < end:
                sent = time.perf_counter()
                await socket.send(requests[at % len(requests)])
                answer = await socket.recv()
                latencies.append(time.perf_counter() - sent)
                if at % 16 == 0:
                    together.append(unpack(answer)["server_timing"]["together"])
                at += 1

    running = [asyncio.create_task(client(number)) for number in range(clients)]
    while joined < clients:
        await asyncio.sleep(0.05)
        for one in running:
            if one.done():
                one.result()
    begun = time.perf_counter()
    end = begun + seconds
    begin.set()
    await asyncio.gather(*running)
    return latencies, time.perf_counter() - begun, float(np.mean(together)) if together else 1.0


def measured(task: str, clients: int, slots: int, seconds: float) -> dict[str, Any]:
    requests = recorded(task, 200)
    with server(task, slots, clients) as (port, _):
        latencies, spent, together = asyncio.run(ask(port, requests, clients, seconds))
    half, most = np.percentile(latencies, [50, 99])
    return {"actions/s": len(latencies) / spent, "p50 ms": 1000 * half, "p99 ms": 1000 * most, "together": together}


async def visits(port: int, requests: list[bytes], count: int) -> None:
    """So many requests by clients that come and go."""
    left = count

    async def client() -> None:
        nonlocal left
        while left > 0:
            left -= VISIT
            async with connect(f"ws://127.0.0.1:{port}/", compression=None, open_timeout=300) as socket:
                await socket.recv()
                for at in range(VISIT):
                    await socket.send(requests[at % len(requests)])
                    await socket.recv()

    await asyncio.gather(*(client() for _ in range(TOGETHER)))


def resident(process: int) -> float:
    """MiB of memory that a process holds (Linux)."""
    return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())[0]) / 1024


def memory(task: str, count: int) -> dict[str, Any]:
    """The server's memory after a twentieth of the requests, and after all."""
    requests, held = recorded(task, 200), []
    # Twice as many as there are at once: who has just gone may still count.
    with server(task, TOGETHER, 2 * TOGETHER) as (port, process):
        for part in (count // 20, count - count // 20):
            asyncio.run(visits(port, requests, part))
            held.append(resident(process))
    return {"task": task, "requests": count, "MiB after 5%": held[0], "MiB after all": held[1]}


def main() -> None:
    options = parser(__doc__.split("\n")[0])
    options.add_argument("--seconds", type=float, default=SECONDS, help="of each measurement")
    given = options.parse_args()
    seconds = 1.0 if given.small else given.seconds
    rows = []
    for task in TASKS[: 1 if given.small else None]:
        for clients in CLIENTS[: 1 if given.small else None]:
            batched = measured(task, clients, min(64, clients), seconds)
            alone = measured(task, clients, 1, seconds)
            one = {f"one at a time {name}": alone[name] for name in ("actions/s", "p50 ms", "p99 ms")}
            ratio = batched["actions/s"] / alone["actions/s"]
            rows.append({"task": task, "clients": clients} | batched | one | {"batched / one at a time": ratio})
            print(rows[-1], file=sys.stderr)
    held = memory(TASKS[0], REQUESTS // 100 if given.small else REQUESTS)
    save(given.out, "serving", rows, seconds=seconds, memory=held)
    Console().print(held)


if __name__ == "__main__":
    main()
