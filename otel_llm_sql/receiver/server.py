"""One process that serves: both doors over one Reception, until it is told to stop.

SIGTERM and SIGINT: it accepts no more, finishes what is in flight within the grace period, and closes.
"""

from __future__ import annotations

import asyncio
import gc
import math
import multiprocessing
import signal
import ssl
import time
from asyncio import selector_events, sslproto
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from otel_llm_sql.errors import ReceiverError, SettingsError
from otel_llm_sql.receiver.http import create_app
from otel_llm_sql.receiver.memory import give_large_back
from otel_llm_sql.receiver.ports import BACKLOG, Ports
from otel_llm_sql.receiver.requests import Reception
from otel_llm_sql.receiver.settings import ReceiverSettings
from otel_llm_sql.settings import Settings

if TYPE_CHECKING:
    import grpc

_KEEP_ALIVE = 75
"""Seconds an idle connection stays open: exporters come back every few seconds."""

_PIECE = 64 * 1024
"""Bytes read from a connection at once. The event loop reads from all that sent before anything of it is accounted for:
with its own 256 KiB, 400 senders hold 35 MB more."""

_TLS_PIECE = 16 * 1024
"""The same with TLS, as large as its records. Each connection keeps a buffer for what is encrypted, OpenSSL another
one: with 64 KiB, 400 senders hold 45 MB more."""


def run(database: Settings, settings: ReceiverSettings, ports: Ports, ready: Callable[[], None]) -> None:
    """Serve until a signal says stop; call it in the main thread.

    Args:
        database: which database, and what is stored.
        settings: how to receive.
        ports: where.
        ready: called when both doors are open.

    Raises:
        ReceiverError: a door cannot be opened.
    """
    asyncio.run(_serve(database, settings, ports, ready))


def require_certificates(settings: ReceiverSettings) -> None:
    """Accept certificates that TLS can be spoken with.

    Raises:
        SettingsError: they are no certificates, or the key is another's.
    """
    if settings.tls_cert is None:
        return
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    where = f"tls_cert {settings.tls_cert}, tls_key {settings.tls_key}"
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password="")  # else OpenSSL asks on the terminal
        if settings.tls_client_ca:
            where = f"tls_client_ca {settings.tls_client_ca}"
            context.load_verify_locations(settings.tls_client_ca)
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or type(error).__name__
        raise SettingsError(
            f"{where}: expected PEM files that belong together, the key without password ({why})"
        ) from None


class _HttpServer(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are heard for both doors together."""
        yield


async def _serve(database: Settings, settings: ReceiverSettings, ports: Ports, ready: Callable[[], None]) -> None:
    stop = _stop_signal()
    read_in_small_pieces()
    give_large_back()
    reception = Reception(database, settings)
    try:
        grpc_server = await _open_grpc(reception, settings, ports)
        http_server = _HttpServer(_http_config(reception, settings)) if ports.listening else None
        serving = await _open_http(http_server, ports)
        _relieve_collector()
        ready()
        await stop.wait()
        until = time.monotonic() + settings.grace
        await _close_doors(http_server, serving, grpc_server, settings.grace)
    except BaseException:
        await reception.close(0)
        raise
    # What was answered is committed; what is left had its time.
    await reception.close(max(0.0, until - time.monotonic()))


def read_in_small_pieces() -> None:
    """Have asyncio's connections, plain and TLS, read little at once. The process is ours alone."""
    for module, name, size in (
        (selector_events, "_SelectorSocketTransport", _PIECE),
        (sslproto, "SSLProtocol", _TLS_PIECE),
    ):
        if kind := getattr(module, name, None):  # asyncio's documents do not promise it
            kind.max_size = size


def _relieve_collector() -> None:
    """Have Python's garbage collector look less often, and not at what is there for good: a tenth of the time.

    Requests hold many objects and hardly a cycle: nearly all are freed without it. The process is ours alone.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def _stop_signal() -> asyncio.Event:
    """Set by SIGTERM and SIGINT, and in a worker whose supervisor is gone."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    supervisor = multiprocessing.parent_process()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    if supervisor is not None:
        # Ctrl-C reaches every process of a terminal; the supervisor passes it on.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

        def end() -> None:
            loop.remove_reader(supervisor.sentinel)
            stop.set()

        loop.add_reader(supervisor.sentinel, end)
    return stop


def _http_config(reception: Reception, settings: ReceiverSettings) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(reception),
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(settings.grace),
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        ssl_ca_certs=settings.tls_client_ca,
        ssl_cert_reqs=ssl.CERT_REQUIRED if settings.tls_client_ca else ssl.CERT_NONE,
    )


async def _open_http(server: uvicorn.Server | None, ports: Ports) -> asyncio.Task[None] | None:
    if server is None or ports.listening is None:
        return None
    serving = asyncio.create_task(server.serve([ports.listening]))
    while not server.started:
        if serving.done():
            serving.result()
            raise ReceiverError(f"http {ports.http}: the server ended while it started")
        await asyncio.sleep(0.01)
    return serving


async def _open_grpc(reception: Reception, settings: ReceiverSettings, ports: Ports) -> grpc.aio.Server | None:
    if ports.grpc is None:
        return None
    from otel_llm_sql.receiver.grpc import create_server, listen

    server = create_server(reception)
    listen(server, ports.grpc, settings)
    await server.start()
    return server


async def _close_doors(
    http_server: uvicorn.Server | None,
    serving: asyncio.Task[None] | None,
    grpc_server: grpc.aio.Server | None,
    grace: float,
) -> None:
    closing = []
    if http_server is not None and serving is not None:
        http_server.should_exit = True
        closing.append(serving)
    if grpc_server is not None:
        closing.append(asyncio.ensure_future(grpc_server.stop(grace)))
    await asyncio.gather(*closing)
