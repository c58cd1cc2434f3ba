"""Senders that cost next to nothing: ready-made HTTP requests over plain sockets, one connection for each sender."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PATIENCE = 60.0


@dataclass(slots=True)
class Sent:
    """What became of requests.

    Attributes:
        seconds: from the first byte to the last answer.
        refused: answers other than success.
        waits: seconds until each answer.
    """

    seconds: float = 0.0
    refused: int = 0
    waits: list[float] = field(default_factory=list)


def request(port: int, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """An HTTP request as it goes over the wire."""
    told = {"Host": f"127.0.0.1:{port}", "Content-Type": "application/x-protobuf", "Content-Length": str(len(body))}
    lines = [f"{name}: {value}" for name, value in {**told, **(headers or {})}.items()]
    head = "\r\n".join([f"POST {path} HTTP/1.1", *lines])
    return f"{head}\r\n\r\n".encode() + body


def send(port: int, requests: Sequence[bytes], senders: int, per_second: float | None) -> Sent:
    """Send all requests, each sender the next one when its last was answered.

    Args:
        port: on this machine.
        requests: as they go over the wire.
        senders: connections.
        per_second: requests that are begun in a second by all together; None for as many as are answered.
    """
    outcome, lock = Sent(), threading.Lock()
    started = time.perf_counter()
    wanted = _paced(requests, per_second, started)

    def work() -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as line:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                with lock:
                    due, told = next(wanted, (0.0, b""))
                if not told:
                    return
                time.sleep(max(0.0, due - time.perf_counter()))
                begun = max(due, started) if per_second else time.perf_counter()
                line.sendall(told)
                status = _answer(line)
                with lock:
                    outcome.waits.append(time.perf_counter() - begun)
                    outcome.refused += status != 200

    _together(work, senders, outcome)
    return outcome


def send_over_grpc(port: int, bodies: Sequence[bytes], clients: int) -> Sent:
    """The same for OTLP/gRPC, one connection for each client; call it in a process of its own."""
    import grpc  # threads of its own, which no fork survives

    outcome, lock, wanted = Sent(), threading.Lock(), iter(bodies)
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]

    def work() -> None:
        with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
            while True:
                with lock:
                    told = next(wanted, None)
                if told is None:
                    return
                try:
                    export(told, timeout=_PATIENCE)
                except grpc.RpcError:
                    outcome.refused += 1

    _together(work, clients, outcome)
    return outcome


def _together(work: Callable[[], None], threads: int, outcome: Sent) -> None:
    started = time.perf_counter()
    working = [threading.Thread(target=work) for _ in range(threads)]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()
    outcome.seconds = time.perf_counter() - started


def _paced(requests: Sequence[bytes], per_second: float | None, started: float) -> Iterator[tuple[float, bytes]]:
    """Each request with the moment at which it is due: who waits for a slow answer waits, too."""
    for number, told in enumerate(requests):
        yield (started + number / per_second if per_second else 0.0), told


def _answer(line: socket.socket) -> int:
    """The status of an answer; its body is read and forgotten."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = line.recv(65536)
        if not part:
            raise ConnectionError("the server hung up")
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [row.split(b":")[1] for row in head.split(b"\r\n") if row.lower().startswith(b"content-length:")]
    missing = int(lengths[0]) - len(body) if lengths else 0
    while missing > 0:
        missing -= len(line.recv(65536))
    return int(head.split(b" ", 2)[1])


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(port: int, path: str, seconds: float = 120.0) -> None:
    """Wait until a server answers with success."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            if connection.getresponse().status < 400:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"nobody answers at {path} within {seconds:.0f} s")


def memory(process: int) -> float:
    """Resident memory of a process in megabytes."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024 / 1e6
