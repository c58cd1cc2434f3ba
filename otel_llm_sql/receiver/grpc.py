"""OTLP over gRPC: a grpc.aio server that hands the bytes of requests on as they came, so that there is one decoding.

It answers as the OTLP specification 1.11 says (docs/specification.md, "OTLP/gRPC"). It needs grpcio.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from otel_llm_sql.errors import ReceiverError
from otel_llm_sql.receiver.answers import Kind, RefusedError
from otel_llm_sql.receiver.grpc_reading import Reading
from otel_llm_sql.receiver.messages import CODES, response, status
from otel_llm_sql.receiver.requests import Reception
from otel_llm_sql.receiver.settings import Address, ReceiverSettings
from otel_llm_sql.receiver.tokens import Tokens

_PACKAGE = "/opentelemetry.proto.collector"
_METHODS: dict[str, Kind] = {
    f"{_PACKAGE}.trace.v1.TraceService/Export": "traces",
    f"{_PACKAGE}.logs.v1.LogsService/Export": "logs",
    f"{_PACKAGE}.metrics.v1.MetricsService/Export": "metrics",
}
_STATUS_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
_STREAMS = 100
"""Requests in flight on one connection; a client keeps what is more with itself."""

_PIECE = 64 * 1024
"""Bytes read from a connection at once."""
_AHEAD = 16 * 1024
"""Bytes of a message that come before we ask for it; then all of it may."""

_Context = grpc.aio.ServicerContext[Any, Any]


def create_server(reception: Reception) -> grpc.aio.Server:
    """A server that listens nowhere yet.

    Args:
        reception: takes the requests; whoever gives it closes it.
    """
    options = [
        # gRPC itself holds a message to it before and after decompression, and cuts a bomb off (OTLP-04).
        ("grpc.max_receive_message_length", reception.settings.inflated_bytes),
        ("grpc.max_concurrent_streams", _STREAMS),
        ("grpc.so_reuseport", 1),  # worker processes share the port
        # What is read before we ask for it is accounted for by nobody: by itself gRPC makes it megabytes a connection.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", _AHEAD),
        ("grpc.experimental.tcp_max_read_chunk_size", _PIECE),
    ]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((_Door(reception),))
    return server


def listen(server: grpc.aio.Server, address: Address, settings: ReceiverSettings) -> int:
    """Have a server listen, with TLS where the settings say so.

    Returns:
        The port.

    Raises:
        ReceiverError: it cannot listen there.
    """
    try:
        if settings.tls_cert is None or settings.tls_key is None:
            return server.add_insecure_port(str(address))
        pair = (Path(settings.tls_key).read_bytes(), Path(settings.tls_cert).read_bytes())
        authorities = Path(settings.tls_client_ca).read_bytes() if settings.tls_client_ca else None
        credentials = grpc.ssl_server_credentials([pair], authorities, require_client_auth=authorities is not None)
        return server.add_secure_port(str(address), credentials)
    except RuntimeError as error:
        raise ReceiverError(f"grpc {address}: nothing can listen there; is the port taken?") from error


class _Door(grpc.GenericRpcHandler):
    """Answers for one Reception."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._tokens = Tokens(reception.settings.tokens)
        self._reading = Reading(reception.groups, reception.settings)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        kind = _METHODS.get(handler_call_details.method)
        # A call with one message is a stream with one. Taken as a stream, its message is read when we ask for it: who
        # may not send, or comes when too much waits, does not fill the memory.
        return grpc.stream_unary_rpc_method_handler(self._exporting(kind)) if kind else None

    def _exporting(self, kind: Kind) -> Callable[[Any, _Context], Awaitable[bytes]]:
        async def export(_: Any, context: _Context) -> bytes:
            try:
                body = await self._admitted(context)
            except RefusedError as error:
                self._reception.meters.refused(error.reason)
                return _refused(context, error)
            if body is None:
                return b""
            try:
                return response(kind, await self._reception.take(kind, body, "protobuf"))
            except RefusedError as error:
                return _refused(context, error)

        return export

    async def _admitted(self, context: _Context) -> bytes | None:
        """The message, of a sender that may send; None where gRPC has answered already."""
        shown = dict(context.invocation_metadata() or ())
        if not self._tokens.accept(_text(shown.get("authorization"))):
            message = "the request shows no token that is known: metadata authorization, Bearer ..."
            raise RefusedError("unauthenticated", message)
        body = await self._reading.message(context)
        if body is grpc.aio.EOF:
            if not context.cancelled():
                self._reception.meters.refused("too_large")
            return None
        return bytes(body)


def _text(value: str | bytes | None) -> str | None:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _refused(context: _Context, error: RefusedError) -> bytes:
    """Have the call end with an error.

    Not with `abort`: what that raises holds the call, and the call what it raised, with the message, until Python's
    collector looks: gigabytes where large messages are refused.
    """
    context.set_code(_STATUS_CODES[CODES[error.reason]])
    context.set_details(str(error))
    context.set_trailing_metadata((("grpc-status-details-bin", status(error).SerializeToString()),))
    return b""
