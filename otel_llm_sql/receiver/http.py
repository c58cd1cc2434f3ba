"""OTLP over HTTP: an ASGI application, served by `otel-llm-sql serve` or mounted into another one.

It answers as the OTLP specification 1.11 says (docs/specification.md, "OTLP/HTTP").
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from otel_llm_sql.receiver.answers import KINDS, Encoding, Kind, RefusedError, too_slow
from otel_llm_sql.receiver.http_answers import refusal, success
from otel_llm_sql.receiver.limits import ENCODINGS, IDENTITY, Grow, inflate
from otel_llm_sql.receiver.metrics import CONTENT_TYPE
from otel_llm_sql.receiver.requests import Reception
from otel_llm_sql.receiver.settings import ReceiverSettings, load_receiver
from otel_llm_sql.receiver.tokens import Tokens
from otel_llm_sql.settings import load

_ENCODINGS: dict[str, Encoding] = {"application/x-protobuf": "protobuf", "application/json": "json"}

_INLINE = 64 * 1024
"""Compressed bytes that are inflated at once: a thread would take longer."""

_AT_ONCE = 2
"""Larger bodies that are inflated at the same time: each thread keeps memory of its own, also when it is done."""


def create_app(
    reception: Reception | None = None, settings: ReceiverSettings | None = None, **database: Any
) -> Starlette:
    """The ASGI application.

    Args:
        reception: takes the requests; whoever gives it closes it. None makes one, closed at the application's shutdown;
            an application that is mounted is not told of that: then close `app.state.reception` there.
        settings: how to receive, where `reception` is None; read from the environment if None.
        **database: as for `otel_llm_sql.settings.load`, where `reception` is None.

    Raises:
        SettingsError: a setting is wrong.
    """
    given = reception is not None
    reception = reception or Reception(load(**database), settings or load_receiver())

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        if not given:
            await reception.close()

    door = _Door(reception)
    routes = [Route(f"/v1/{kind}", door.export, methods=["POST"], name=kind) for kind in KINDS]
    routes += [
        Route("/healthz", _alive, methods=["GET"]),
        Route("/readyz", door.ready, methods=["GET"]),
        Route("/metrics", door.metrics, methods=["GET"]),
    ]
    app = Starlette(routes=routes, middleware=list(_cors(reception.settings)), lifespan=lifespan)
    app.state.reception = reception
    return app


def _cors(settings: ReceiverSettings) -> list[Middleware]:
    if not settings.cors_origins:
        return []
    patterns = (".*".join(map(re.escape, origin.split("*"))) for origin in settings.cors_origins)
    return [
        Middleware(
            CORSMiddleware,
            allow_origin_regex="|".join(patterns),
            allow_methods=["POST"],
            allow_headers=["Content-Type", *(["Authorization"] if settings.tokens else []), *settings.cors_headers],
            max_age=settings.cors_max_age,
        )
    ]


async def _alive(_: Request) -> Response:
    return PlainTextResponse("alive\n")


class _Door:
    """Answers for one Reception."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._tokens = Tokens(reception.settings.tokens)
        self._inflating = asyncio.Semaphore(_AT_ONCE)

    async def ready(self, _: Request) -> Response:
        obstacle = await self._reception.obstacle()
        return PlainTextResponse(f"{obstacle or 'ready'}\n", 503 if obstacle else 200)

    async def metrics(self, _: Request) -> Response:
        return Response(self._reception.metrics_text(), media_type=CONTENT_TYPE)

    async def export(self, request: Request) -> Response:
        kind = cast("Kind", request.url.path.rsplit("/", 1)[-1])
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        encoding = _ENCODINGS.get(content_type)
        try:
            body = await self._admitted(request, encoding)
        except RefusedError as error:
            self._reception.meters.refused(error.reason)
            return refusal(error, encoding)
        try:
            return success(kind, await self._reception.take(kind, body, encoding or "protobuf"), encoding or "protobuf")
        except RefusedError as error:
            return refusal(error, encoding)

    async def _admitted(self, request: Request, encoding: Encoding | None) -> bytes:
        """The body, of a sender that may send, in a form that is known."""
        if not self._tokens.accept(request.headers.get("authorization")):
            raise RefusedError("unauthenticated", "the request shows no token that is known: Authorization: Bearer ...")
        if encoding is None:
            raise RefusedError("unsupported", f"Content-Type: expected one of {', '.join(_ENCODINGS)}")
        coding = request.headers.get("content-encoding", "").strip().lower()
        if coding not in IDENTITY and coding not in ENCODINGS:
            raise RefusedError("unsupported", f"Content-Encoding: expected one of {', '.join(ENCODINGS)}, or none")
        held = _Held(self._reception)
        try:
            body = await held.read(request)
            if coding in IDENTITY:
                return body
            limit = self._reception.settings.largest_inflated
            if len(body) <= _INLINE:
                return inflate(body, coding, limit, held.grow)
            async with self._inflating:
                return await _inflated_aside(body, coding, limit, held.grow)
        finally:
            held.release()


async def _inflated_aside(body: bytes, coding: str, limit: int, grow: Grow) -> bytes:
    def inflated() -> bytes | RefusedError:
        try:
            return inflate(body, coding, limit, grow)
        except RefusedError as error:
            return error.anew()

    outcome = await run_in_threadpool(inflated)
    if isinstance(outcome, RefusedError):
        raise outcome.anew()
    return outcome


class _Held:
    """The bytes of a body while it is read and inflated: they count as waiting, so that nobody can fill the memory."""

    def __init__(self, reception: Reception) -> None:
        self._groups, self._settings = reception.groups, reception.settings
        self._limit = self._settings.largest_body
        self._size = 0

    def grow(self, size: int) -> None:
        self._groups.reserve(size)
        self._size += size

    async def read(self, request: Request) -> bytes:
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._limit:
            raise self._too_large()
        pieces: list[bytes] = []
        read = 0
        arriving, end = request.stream(), asyncio.get_running_loop().time() + self._settings.sending_seconds
        try:
            while (piece := await self._next(arriving, end)) is not None:
                read += len(piece)
                if read > self._limit:
                    raise self._too_large()
                self.grow(len(piece))
                pieces.append(piece)
        except ClientDisconnect:
            raise RefusedError("invalid", "the connection ended before the body did") from None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _next(self, arriving: AsyncIterator[bytes], end: float) -> bytes | None:
        """The next piece of a body. Who holds room and sends nothing keeps others out: the time for it is bounded."""
        # Not a generator: what one holds that is left in the middle lives on until the event loop closes it, 20 MB of
        # last pieces where 400 senders are refused.
        try:
            async with asyncio.timeout_at(min(asyncio.get_running_loop().time() + self._settings.idle_seconds, end)):
                return await anext(arriving, None)
        except TimeoutError:
            raise too_slow() from None

    def release(self) -> None:
        self._groups.release(self._size)

    def _too_large(self) -> RefusedError:
        return RefusedError("too_large", f"the request is larger than {self._limit} bytes")
