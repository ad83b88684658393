"""The middleware of contract 3.2 as plain ASGI, so that bodies stream through untouched."""

from __future__ import annotations

import hmac
import json
import logging
import sys
import time
import uuid
from typing import Any, Awaitable, Callable

from app.core.config import Settings

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

WEBHOOKS = (
    "/api/v1/payments/webhook",
    "/api/v1/payments/paypal/webhook",
    "/api/v1/payments/netopia/webhook",
)


def header(scope: Scope, name: str) -> str:
    """Returns the first value of a request header or an empty string."""
    wanted = name.lower().encode()
    return next((value.decode("latin1") for key, value in scope["headers"] if key == wanted), "")


def adding(send: Send, headers: list[tuple[bytes, bytes]]) -> Send:
    """Wraps send so that the response carries more headers."""

    async def wrapped(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *headers]}
        await send(message)

    return wrapped


async def answer(send: Send, status: int, detail: str, extra: list[tuple[bytes, bytes]]) -> None:
    """Sends a small JSON response without calling the application."""
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class RequestLog:
    """Outermost: X-Request-ID and one line on stderr per request with the client as the app sees it."""

    def __init__(self, app: App, log_json: bool) -> None:
        self.app, self.log_json = app, log_json
        self.logger = logging.getLogger("app.request")
        self.logger.setLevel(logging.INFO)
        self.logger.propagate = False
        if not self.logger.handlers:
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(logging.Formatter("%(message)s"))
            self.logger.addHandler(handler)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = header(scope, "X-Request-ID")[:128] or uuid.uuid4().hex
        started, status = time.monotonic(), 500

        async def recording(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, adding(recording, [(b"x-request-id", request_id.encode("latin1"))]))
        finally:
            record = {
                "client": (scope.get("client") or ("-", 0))[0],
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "ms": round((time.monotonic() - started) * 1000),
                "request_id": request_id,
            }
            if self.log_json:
                self.logger.info(json.dumps({"event": "request", **record}))
            else:
                self.logger.info("request %s", " ".join(f"{key}={value}" for key, value in record.items()))


class Audit:
    """Reads every body into memory before anything looks at who sent it, when AUDIT_LOG_REQUEST_PAYLOAD is on."""

    def __init__(self, app: App, payload: bool) -> None:
        self.app, self.payload = app, payload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self.payload:
            await self.app(scope, receive, send)
            return
        chunks: list[bytes] = []
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client is gone
            chunks.append(message.get("body", b""))
            if not message.get("more_body", False):
                break
        body, given = b"".join(chunks), False
        chunks.clear()

        async def replay() -> dict[str, Any]:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)


class Backpressure:
    """429 above MAX_CONCURRENT_REQUESTS, health exempt."""

    def __init__(self, app: App, limit: int) -> None:
        self.app, self.limit, self.running = app, limit, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/api/v1/health"):
            await self.app(scope, receive, send)
            return
        if self.running >= self.limit:
            await answer(send, 429, "Too many concurrent requests", [(b"retry-after", b"1")])
            return
        self.running += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.running -= 1


class Maintenance:
    """503 for everything but health, admin API, payment webhooks and the bypass header (contract 3.5).

    The flag lives in this process only; `state` is shared with the admin route.
    """

    def __init__(self, app: App, state: dict[str, bool], bypass_token: str) -> None:
        self.app, self.state, self.token = app, state, bypass_token

    def exempt(self, scope: Scope) -> bool:
        """Whether this request passes although maintenance is on."""
        path = scope["path"]
        if path.startswith(("/api/v1/health", "/api/v1/admin/")) or path in WEBHOOKS:
            return True
        given = header(scope, "X-Maintenance-Bypass")
        return bool(self.token) and hmac.compare_digest(given.encode(), self.token.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.state["enabled"] and not self.exempt(scope):
            await answer(send, 503, "Service is under maintenance", [(b"retry-after", b"120")])
            return
        await self.app(scope, receive, send)


class SecurityHeaders:
    """The headers of contract 3.2; maintenance and 429 answers come from outside and lack them."""

    def __init__(self, app: App, settings: Settings) -> None:
        self.app = app
        self.headers = [
            (b"content-security-policy", settings.csp_policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
        ]
        if settings.secure_cookies:
            self.headers.append((b"strict-transport-security", b"max-age=63072000; includeSubDomains; preload"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        await self.app(scope, receive, adding(send, self.headers))
