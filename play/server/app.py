"""The server's routes; `generalist serve` runs them."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from generalist.play.server import playground
from generalist.play.server.completions import Completions, Model
from generalist.play.server.engine import Engine
from generalist.play.server.guard import Guard
from generalist.play.server.images import Images
from generalist.play.server.metrics import Metrics
from generalist.play.server.policy_socket import PolicyRoom
from generalist.play.server.stage_socket import StageRoom


def make_app(
    engine: Engine,
    metrics: Metrics,
    about: Mapping[str, Any],
    *,
    models: Mapping[str, Model] | None = None,
    stage: Callable[[asyncio.Event], StageRoom] | None = None,
    token: str | None = None,
    hosts: Collection[str] = (),
    idle: float = 600.0,
    body: int = 2**24,
) -> Starlette:
    """The ASGI application of an engine.

    Args:
        about: what every client is told of the server.
        models: who writes texts, by the names that clients ask for.
        stage: makes what the playground shows, of the event that is set once the server ends; None serves none.
        token, hosts: see `generalist.play.server.guard.Guard`.
        idle: seconds without a request after which a policy's client is let go.
        body: bytes of the largest body of a request.

    Its `state.leaving` is an `asyncio.Event`: set, no client is taken any more, and who has been answered is let go.
    Its `state.texts` are the routes of texts, `state.viewers()` is how many watch, `state.close()` ends its threads.
    """
    leaving = asyncio.Event()
    room = PolicyRoom(engine=engine, metrics=metrics, about=about, idle=idle, leaving=leaving)
    texts = Completions(models or {}, metrics, body, leaving)
    watched = stage(leaving) if stage else None

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
            *texts.routes,
            *Images(texts).routes,
            *(playground.routes(watched, str(about.get("agent", "")), texts) if watched else ()),
        ],
        middleware=[Middleware(Guard, token=token, hosts=hosts)],
    )

    def close() -> None:
        texts.close()
        if watched:
            watched.engine.close()

    app.state.leaving, app.state.texts, app.state.close = leaving, texts, close
    app.state.viewers = lambda: watched.viewers if watched else 0
    return app
