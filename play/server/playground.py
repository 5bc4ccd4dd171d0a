"""The page on which an agent is watched, and what it asks the server for."""

import base64
import hashlib
import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from generalist.play.server.completions import Completions
from generalist.play.server.stage_socket import MODES, StageRoom

PAGE = Path(__file__).with_name("playground.html")


def routes(room: StageRoom, agent: str, texts: Completions) -> list[Route | WebSocketRoute]:
    """The page at /, what can be watched at /playground, and the stage's WebSocket at /stage."""
    page = PAGE.read_text()
    headers = {
        "Content-Security-Policy": policy_of(page),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    found = {
        "agent": agent,
        "tasks": list(room.tasks),
        "updates": list(room.updates),
        "modes": list(MODES),
        "models": [name for name in texts.models if name not in texts.painters],
        "painters": texts.painters,
    }

    async def shown(_: Request) -> Response:
        return HTMLResponse(page, headers=headers)

    async def listed(_: Request) -> Response:
        return JSONResponse(found)

    return [Route("/", shown), Route("/playground", listed), WebSocketRoute("/stage", room.serve)]


def policy_of(page: str) -> str:
    """What the page may do, and nothing else: its own script and style, its own server, pictures that it is sent."""
    [script], [style] = (re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL) for tag in ("script", "style"))
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hashed(script)}",
            f"style-src {_hashed(style)}",
            "img-src data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
