"""The ports are taken before anything else starts, so that one that is not free is said at once."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass

from otel_llm_sql.errors import ReceiverError
from otel_llm_sql.receiver.settings import Address, ReceiverSettings

BACKLOG = 2048

CAN_SHARE = hasattr(socket, "SO_REUSEPORT")


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a receiver listens, with port 0 replaced by what the system gave.

    Attributes:
        http: the address of OTLP/HTTP, None for no such door.
        grpc: the address of OTLP/gRPC, None for no such door.
        listening: the socket of OTLP/HTTP, which all workers accept from.
        reserved: keeps the port of OTLP/gRPC, and does not listen: gRPC opens its own sockets.
    """

    http: Address | None
    grpc: Address | None
    listening: socket.socket | None
    reserved: socket.socket | None

    def close(self) -> None:
        """Let the ports go; workers that share them still have theirs."""
        for taken in (self.listening, self.reserved):
            if taken is not None:
                taken.close()


def take_ports(settings: ReceiverSettings) -> Ports:
    """Take the ports of the settings.

    Raises:
        ReceiverError: one is taken, or is no address of this machine.
    """
    listening = _listen("http", settings.http) if settings.http else None
    try:
        reserved = _reserve("grpc", settings.grpc) if settings.grpc else None
    except ReceiverError:
        if listening is not None:
            listening.close()
        raise
    return Ports(_named(settings.http, listening), _named(settings.grpc, reserved), listening, reserved)


def _named(address: Address | None, taken: socket.socket | None) -> Address | None:
    return Address(address.host, int(taken.getsockname()[1])) if address and taken else None


def _listen(door: str, address: Address) -> socket.socket:
    try:
        return socket.create_server((address.host, address.port), family=_family(address), backlog=BACKLOG)
    except OSError as error:
        raise _taken(door, address, error) from error


def _reserve(door: str, address: Address) -> socket.socket:
    # Two receivers of one user could share a port without knowing: only who can have it alone may go on.
    with _listen(door, address) as alone:
        port = int(alone.getsockname()[1])
    reserved = socket.socket(_family(address))
    try:
        if CAN_SHARE:
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            reserved.bind((address.host, port))
    except OSError as error:
        reserved.close()
        raise _taken(door, address, error) from error
    return reserved


def _family(address: Address) -> socket.AddressFamily:
    with suppress(OSError):
        return socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0][0]
    return socket.AF_INET


def _taken(door: str, address: Address, error: OSError) -> ReceiverError:
    advice = f"choose another with --{door} HOST:PORT, or --{door} off"
    return ReceiverError(f"{door} {address}: cannot listen there ({error.strerror or error}); {advice}")
