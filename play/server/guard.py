"""Who may speak to the server: whoever has the token, from pages of the server itself, to a name that is the server's.

A page that a browser shows may connect to a server of this machine, and a name of a stranger may be made to lead here:
of a browser's requests the origin, and of all the host, must be the server's own.
"""

import hmac
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse

LOCAL = ("localhost", "127.0.0.1", "::1")
COOKIE = "generalist_token"
OPEN = ("/health", "/healthz")
"""Paths that need no token: they say whether the server works, and nothing else."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Guard:
    """ASGI middleware; what it refuses gets a status and one line that says why.

    Args:
        app: what is guarded.
        token: asked for as `Authorization: Bearer TOKEN` (or `Api-Key TOKEN`, as openpi-client sends it), or as the
            cookie that a browser gets at /?token=TOKEN; None asks for none.
        hosts: names by which the server may be spoken to; none allows any.
    """

    def __init__(self, app: Any, *, token: str | None, hosts: Collection[str]):
        self.app, self.token, self.hosts = app, token, frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/" and self._brings_token(scope):
            response = RedirectResponse("/", status_code=303)
            response.set_cookie(COOKIE, str(self.token), httponly=True, samesite="strict")
            await response(scope, receive, send)
            return
        if scope["type"] in ("http", "websocket") and (refused := self._refused(scope)):
            status, said = refused
            error = {"message": said, "type": "invalid_request_error", "param": None, "code": status}
            response = JSONResponse({"error": error}, status_code=status)
            if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
                await send({"type": "websocket.close", "code": 1008, "reason": said})
                return
            await response(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if self.hosts and _name(f"//{host}") not in self.hosts:
            return 421, f"this server is not {host!r:.80}; start it with --host to be spoken to by another name"
        if (origin := headers.get("origin")) and urlsplit(origin).netloc.lower() != host.lower():
            return 403, f"pages of {origin!r:.80} may not speak to this server"
        if self.token is not None and scope["path"] not in OPEN and not self._known(scope):
            return 401, "a token is needed: Authorization: Bearer TOKEN, or /?token=TOKEN in a browser"
        return None

    def _known(self, scope: Scope) -> bool:
        connection = HTTPConnection(scope)
        kind, _, token = connection.headers.get("authorization", "").partition(" ")
        if kind.lower() in ("bearer", "api-key") and self._same(token.strip()):
            return True
        return self._same(connection.cookies.get(COOKIE, ""))

    def _brings_token(self, scope: Scope) -> bool:
        return self.token is not None and self._same(HTTPConnection(scope).query_params.get("token", ""))

    def _same(self, token: str) -> bool:
        assert self.token is not None
        return hmac.compare_digest(token.encode(), self.token.encode())


def _name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
