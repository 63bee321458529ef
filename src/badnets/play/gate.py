"""Who may ask: this machine's own page and nobody else. Every check stands before anything is read or computed."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST = 24 << 20
"""Bytes of a question, at most: a photo in base64."""
HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # the address holds the token
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Pass:
    """What a request must have: one of these ``hosts`` (with the port), and the ``token`` in its path."""

    hosts: frozenset[str]
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)

    def refusal(self, method: str, path: str, headers: Headers) -> Response | None:
        """Why a request is turned away; None where it may come in."""
        host = headers.get("host", "")
        if host not in self.hosts:  # another name for this machine: DNS rebinding
            return _no(421, "expected this server's own address as Host, got another")
        given, slash, _ = path.removeprefix("/").partition("/")
        if not slash or not hmac.compare_digest(given.encode(), self.token.encode()):
            return _no(404, "expected the address that badnets play has printed, got another")
        if method == "GET":
            return None
        if method != "POST":
            return _no(405, f"expected GET or POST, got {method[:20]}")
        if headers.get("origin") != f"http://{host}":
            return _no(403, "expected a question of the page itself, got one of another origin")
        if headers.get("content-type", "").lower() not in ("application/json", "application/json;charset=utf-8"):
            return _no(415, "expected a question in JSON, got another type")
        length = headers.get("content-length", "")
        if not length.isascii() or not length.isdecimal():
            return _no(411, "expected a question that says its length, got none")
        return _no(413, f"expected at most {LARGEST:,} bytes, got more") if int(length[:12]) > LARGEST else None


class Gate:
    """Turns away what has no ``may``, and puts the headers on all that goes out."""

    def __init__(self, app: ASGIApp, may: Pass) -> None:
        self._app, self._may = app, may

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        if scope["type"] != "http":  # nothing here speaks by web sockets
            await send({"type": "websocket.close", "code": 1008})
            return
        refusal = self._may.refusal(scope["method"], scope["path"], Headers(scope=scope))
        if refusal is not None:
            await refusal(scope, receive, guarded)
            return
        inner = {**scope, "path": scope["path"][1 + len(self._may.token) :]}
        await self._app(inner, receive, guarded)


def _no(status: int, sentence: str) -> Response:
    return PlainTextResponse(sentence, status, headers={"connection": "close"})
