"""The server's routes; `generalist serve` runs them."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from generalist.play.server.engine import Engine
from generalist.play.server.guard import Guard
from generalist.play.server.metrics import Metrics
from generalist.play.server.policy_socket import PolicyRoom


def make_app(
    engine: Engine,
    metrics: Metrics,
    about: Mapping[str, Any],
    *,
    token: str | None = None,
    hosts: Collection[str] = (),
    idle: float = 600.0,
) -> Starlette:
    """The ASGI application of an engine.

    Args:
        about: what every client is told of the server.
        token, hosts: see `generalist.play.server.guard.Guard`.
        idle: seconds without a request after which a policy's client is let go.

    Its `state.leaving` is an `asyncio.Event`: set, no client is taken any more, and who has been answered is let go.
    """
    leaving = asyncio.Event()
    room = PolicyRoom(engine=engine, metrics=metrics, about=about, idle=idle, leaving=leaving)

    async def policy(socket: WebSocket) -> None:
        try:
            task = room.task_of(socket.query_params.get("task"))
        except ValueError as error:
            await socket.send_denial_response(JSONResponse({"error": {"message": str(error)}}, status_code=404))
            return
        if leaving.is_set():
            await socket.send_denial_response(JSONResponse({"error": {"message": "the server ends"}}, status_code=503))
            return
        await room.serve(socket, task)

    async def health(_: Request) -> Response:
        said = {"status": "leaving" if leaving.is_set() else "ok", "clients": engine.clients}
        return JSONResponse(said, status_code=503 if leaving.is_set() else 200)

    async def counted(_: Request) -> Response:
        return Response(metrics.page(), media_type="text/plain; version=0.0.4")

    app = Starlette(
        routes=[
            WebSocketRoute("/", policy),
            Route("/health", health),
            Route("/healthz", health),
            Route("/metrics", counted),
        ],
        middleware=[Middleware(Guard, token=token, hosts=hosts)],
    )
    app.state.leaving = leaving
    return app
