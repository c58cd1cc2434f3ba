"""`otel-llm-sql serve`: words in, ports open, workers, signals, certificates; real processes and real clients."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
import socket
import ssl
import textwrap
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import grpc
import pytest
import trustme
from databases import free_port
from receivers import PROTOBUF, span_ids, traces, until
from serving import Serving, ran, send, serve

from otel_llm_sql.receiver.server import read_in_small_pieces
from otel_llm_sql.receiver.settings import Address, ReceiverSettings
from otel_llm_sql.testing import stored

SECRET = "pa55-marker"


@pytest.fixture
def database(new_database: Callable[[str], str]) -> str:
    """URL of a file: for what does not depend on the database."""
    return new_database("sqlite")


def ids(url: str) -> list[str]:
    """The span id of every stored operation."""
    return [row["span_id"] for row in stored(url)["llm_operations"]]


class Senders:
    """Clients that send one request after the other, half of them over gRPC, until told to stop.

    Attributes:
        sent: ids of spans that were sent.
        acknowledged: ids of spans whose request was answered with success.
        errors: other answers.
    """

    def __init__(self, serving: Serving, count: int = 4, requests: int | None = None, *, patient: bool = False) -> None:
        self._serving, self._requests, self._patient = serving, requests, patient
        self.sent: set[str] = set()
        self.acknowledged: set[str] = set()
        self.errors: list[str] = []
        self._stopped = threading.Event()
        doors = (self._over_grpc, self._over_http)
        self._threads = [threading.Thread(target=doors[number % 2]) for number in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self.wait()

    def wait(self) -> None:
        for thread in self._threads:
            thread.join(200)
            assert not thread.is_alive()

    def _over_grpc(self) -> None:
        with self._serving.channel() as channel:
            self._loop(lambda request: send(channel, request) is not None)

    def _over_http(self) -> None:
        self._loop(self._posted)

    def _posted(self, request: Any) -> bool:
        reply = self._serving.post(request.SerializeToString())
        if reply.status not in (200, 503):
            self.errors.append(f"{reply.status} {reply.body!r}")
        return reply.status == 200

    def _loop(self, deliver: Callable[[Any], bool]) -> None:
        for number in itertools.count() if self._requests is None else range(self._requests):
            request = traces(5, **{"gen_ai.conversation.id": f"conversation-{number % 4}"})
            self.sent |= span_ids(request)
            while not self._try(deliver, request):
                if self._stopped.wait(0.05) or not self._patient:
                    return
            self.acknowledged |= span_ids(request)
            if self._stopped.is_set():
                return

    def _try(self, deliver: Callable[[Any], bool], request: Any) -> bool:
        try:
            return deliver(request)
        except grpc.RpcError as error:
            # Both may be sent again (OTLP-06): a call that comes while the server stops is cancelled.
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):  # type: ignore[attr-defined]
                self.errors.append(str(error))
        except OSError:  # the connection was cut
            pass
        except Exception as error:  # noqa: BLE001 - told by the thread that looks
            self.errors.append(repr(error))
        return False


def workers(serving: Serving) -> list[int]:
    """The worker processes."""
    assert serving.process is not None
    children = Path(f"/proc/{serving.process.pid}/task/{serving.process.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"spawn_main" in _words(pid)]


def _words(pid: str) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


# -- words


def test_loopback_is_the_default() -> None:
    """OTLP-15: nobody listens to the network without being told to; the ports are those of OTLP."""
    settings = ReceiverSettings()
    assert (settings.http, settings.grpc) == (Address("127.0.0.1", 4318), Address("127.0.0.1", 4317))


def test_one_line_says_where() -> None:
    """The addresses, the database without its password, and how to send; the database may be away."""
    url = f"postgresql://me:{SECRET}@127.0.0.1:{free_port()}/llm"
    with serve(url) as serving:
        assert f"http://127.0.0.1:{serving.port}" in serving.line
        assert f"127.0.0.1:{serving.grpc_port}" in serving.line
        assert f"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{serving.port}" in serving.line
        assert serving.ask("GET", "/healthz").status == 200
        assert serving.ask("GET", "/readyz").status == 503
        assert serving.post(traces(1).SerializeToString()).status == 503
        assert serving.end() == 0
    assert SECRET not in serving.line + "".join(serving.errors)


def test_the_environment_says_it_as_well(database: str) -> None:
    """Addresses by environment variables, where no option is given."""
    port = free_port()
    environment = {"OTEL_LLM_SQL_RECEIVER_HTTP": f"127.0.0.1:{port}", "OTEL_LLM_SQL_RECEIVER_GRPC": "off"}
    with serve(database, http="", grpc="", **environment) as serving:
        assert serving.port == port
        assert "gRPC" not in serving.line


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--http", "nonsense"], 2, "HOST:PORT"),
        (["--http", "off", "--grpc", "off"], 2, "off"),
        (["--workers", "0"], 2, "workers"),
        (["--token-file", "/nowhere/tokens"], 2, "token_file"),
        (["--token-file", os.devnull], 2, "no token"),
        (["--tls-cert", "/nowhere/cert"], 2, "tls_cert"),
        (["--tls-cert", os.devnull, "--tls-key", os.devnull], 2, "PEM"),
        (["--tls-cert", os.devnull], 2, "tls_key"),
        (["--http", "203.0.113.1:4318"], 1, "cannot listen"),
        (["--db-uri", f"me:{SECRET}"], 2, "URL"),
    ],
)
def test_what_is_wrong_is_one_line(words: list[str], code: int, said: str) -> None:
    """Exit code 2 for wrong words, 1 for what the machine refuses; no traceback."""
    given = [*(("--http", "127.0.0.1:0") if "--http" not in words else ()), *words]
    answer = ran("--grpc", "127.0.0.1:0", *given) if "--grpc" not in words else ran(*given)
    assert answer.returncode == code, answer.stderr
    assert said in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert SECRET not in answer.stderr


@pytest.mark.parametrize("door", ["http", "grpc"])
@pytest.mark.parametrize("count", ["1", "2"])
def test_a_taken_port_is_one_line(door: str, count: str, database: str) -> None:
    """Also where it was another `serve` that took it, which shares its port among its own workers."""
    with serve(database, "--workers", count) as serving:
        port = {"http": serving.port, "grpc": serving.grpc_port}[door]
        other = {"http": "grpc", "grpc": "http"}[door]
        answer = ran(f"--{door}", f"127.0.0.1:{port}", f"--{other}", "127.0.0.1:0", "--workers", count)
    assert answer.returncode == 1
    assert f"127.0.0.1:{port}" in answer.stderr
    assert f"--{door}" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_without_grpcio(database: str, tmp_path: Path) -> None:
    """It says so and serves HTTP alone; asked for gRPC it says what to install."""
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent("""
            import sys

            class Missing:
                def find_spec(self, name, path=None, target=None):
                    if name.partition(".")[0] == "grpc":
                        raise ModuleNotFoundError(name=name)

            sys.meta_path.insert(0, Missing())
        """)
    )
    environment = {"PYTHONPATH": str(tmp_path)}
    with serve(database, grpc="", **environment) as serving:
        assert "gRPC" not in serving.line
        assert serving.post(traces(1).SerializeToString()).status == 200
        until(lambda: any("otel-llm-sql[grpc]" in line for line in serving.errors))
    answer = ran("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", **environment)
    assert answer.returncode == 1
    assert "otel-llm-sql[grpc]" in answer.stderr


# -- signals and workers


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_otlp_17_shutdown_under_load(number: signal.Signals, count: int, new_database: Callable[[str], str]) -> None:
    """OTLP-17: what was acknowledged is stored, nothing twice, the exit code is 0 and the ports are free."""
    url = new_database("postgresql")
    with serve(url, "--workers", str(count)) as serving:
        with Senders(serving) as senders:
            until(lambda: len(senders.acknowledged) > 100)
            assert serving.end(number) == 0
        assert senders.errors == []
        assert not serving.errors
        for port in (serving.port, serving.grpc_port):
            socket.create_server(("127.0.0.1", port)).close()
    found = ids(url)
    assert len(found) == len(set(found))
    assert senders.acknowledged <= set(found) <= senders.sent


def test_workers_write_one_database(url: str) -> None:
    """Four senders about the same sessions, two workers: every row once, and no client sees an error."""
    with serve(url, "--workers", "2") as serving:
        with Senders(serving, 4, requests=40) as senders:
            senders.wait()
        assert senders.errors == []
        assert len(senders.acknowledged) == 4 * 40 * 5
        assert serving.end() == 0
    found = ids(url)
    assert len(found) == len(set(found))
    assert set(found) == senders.acknowledged
    assert len(stored(url)["llm_sessions"]) == 4


def test_f35_a_worker_that_dies_is_replaced(new_database: Callable[[str], str]) -> None:
    """F35: kill -9 under load: clients that send again lose nothing, nothing is doubled, and there are two again."""
    url = new_database("postgresql")
    with serve(url, "--workers", "2") as serving:
        with Senders(serving, patient=True) as senders:
            until(lambda: len(senders.acknowledged) > 50)
            first = workers(serving)
            os.kill(first[0], signal.SIGKILL)
            until(lambda: len(set(workers(serving)) - set(first)) == 1)
            seen = len(senders.acknowledged)
            until(lambda: len(senders.acknowledged) > seen + 50)
        assert senders.errors == []
        assert len(workers(serving)) == 2
        assert serving.end() == 0
    found = ids(url)
    assert len(found) == len(set(found))
    assert senders.acknowledged <= set(found)
    assert any("another one starts" in line for line in serving.errors)


def test_workers_end_with_their_supervisor(database: str) -> None:
    """After kill -9 of the supervisor nobody holds the ports."""
    with serve(database, "--workers", "2") as serving:
        assert len(workers(serving)) == 2
        assert serving.end(signal.SIGKILL) == -signal.SIGKILL
        until(lambda: all(_is_free(port) for port in (serving.port, serving.grpc_port)))


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_the_figures_of_all_workers(database: str) -> None:
    """`/metrics` tells what all of them did, whichever is asked."""
    with serve(database, "--workers", "2") as serving:
        for _ in range(20):
            with serving.channel() as channel:
                send(channel, traces(1))
        assert serving.metric("stored_total") == 20


@pytest.mark.parametrize("count", ["1", "2"])
def test_the_log_says_when(count: str) -> None:
    """Whichever process says something: time, level, words."""
    with serve(f"postgresql://me@127.0.0.1:{free_port()}/llm", "--workers", count) as serving:
        assert serving.post(traces(1).SerializeToString()).status == 503
        until(lambda: any(re.match(r"\d{4}-\d\d-\d\d .* WARNING .*not stored", line) for line in serving.errors), 10)


# -- TLS, CORS


@pytest.fixture
def authority() -> trustme.CA:
    """Who signs the certificates."""
    return trustme.CA()


def tls_options(authority: trustme.CA, directory: Path) -> list[str]:
    """A certificate for 127.0.0.1."""
    issued = authority.issue_cert("127.0.0.1", "localhost")
    certificate, key = directory / "cert.pem", directory / "key.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    return ["--tls-cert", str(certificate), "--tls-key", str(key)]


def post(serving: Serving, context: ssl.SSLContext) -> int:
    """A request of one span over TLS."""
    request = urllib.request.Request(
        f"https://127.0.0.1:{serving.port}/v1/traces", traces(1).SerializeToString(), {"Content-Type": PROTOBUF}
    )
    with urllib.request.urlopen(request, context=context, timeout=60) as answer:  # noqa: S310 - https alone
        return int(answer.status)


def client_context(authority: trustme.CA) -> ssl.SSLContext:
    """Trusts the authority, and shows nothing."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.mark.parametrize("count", ["1", "2"])
def test_otlp_15_tls(authority: trustme.CA, database: str, tmp_path: Path, count: str) -> None:
    """OTLP-15: both doors speak TLS 1.2 and newer, and nothing else."""
    options = [*tls_options(authority, tmp_path), "--workers", count]
    with serve(database, *options) as serving:
        assert f"https://127.0.0.1:{serving.port}" in serving.line
        assert post(serving, client_context(authority)) == 200
        trusting = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
        with serving.channel(trusting) as channel:
            send(channel, traces(1))
        with serving.channel() as channel, pytest.raises(grpc.RpcError):
            send(channel, traces(1))
        for port in (serving.port, serving.grpc_port):
            with (
                socket.create_connection(("127.0.0.1", port)) as plain,
                pytest.raises(OSError, match=r"(?i)ssl|tls|reset|closed"),
            ):
                _outdated(authority).wrap_socket(plain, server_hostname="127.0.0.1")
    assert len(ids(database)) == 2


@pytest.mark.parametrize(("tls", "most"), [(False, 64 * 1024), (True, 32 * 1024)], ids=["plain", "tls"])
def test_connections_are_read_in_small_pieces(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, *, tls: bool, most: int
) -> None:
    """What the event loop has read is accounted for by nobody yet: it is little of each connection."""
    for kind in (asyncio.selector_events._SelectorSocketTransport, asyncio.sslproto.SSLProtocol):
        monkeypatch.setattr(kind, "max_size", kind.max_size)  # put back after the test
    read_in_small_pieces()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    pieces = asyncio.run(_pieces(server if tls else None, client_context(authority) if tls else None))
    assert sum(pieces) == 2_000_000
    assert len(pieces) > 1
    assert max(pieces) <= most


async def _pieces(server: ssl.SSLContext | None, client: ssl.SSLContext | None) -> list[int]:
    """Sizes in which a server of asyncio hears 2 MB that wait for it."""
    pieces: list[int] = []
    ended = asyncio.Event()

    class Listener(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            pieces.append(len(data))
            time.sleep(0.001)  # the sender is faster

        def connection_lost(self, _: Exception | None) -> None:
            ended.set()

    async with await asyncio.get_running_loop().create_server(Listener, "127.0.0.1", ssl=server) as door:
        port = door.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=client and "localhost")
        writer.write(bytes(2_000_000))
        writer.close()
        await asyncio.wait_for(ended.wait(), 60)
    return pieces


def _outdated(authority: trustme.CA) -> ssl.SSLContext:
    context = client_context(authority)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def test_otlp_15_client_certificates(authority: trustme.CA, database: str, tmp_path: Path) -> None:
    """OTLP-15: who shows no certificate of the authority, or that of another, is not let in."""
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    options = [*tls_options(authority, tmp_path), "--tls-client-ca", str(tmp_path / "ca.pem")]
    client, stranger = authority.issue_cert("client.test"), trustme.CA().issue_cert("client.test")
    with serve(database, *options) as serving:
        for shown in (None, stranger):
            context = client_context(authority)
            if shown is not None:
                shown.configure_cert(context)
            with pytest.raises(OSError, match=r"(?i)ssl|tls|reset|aborted|closed"):
                post(serving, context)
            with serving.channel(_credentials(authority, shown)) as channel, pytest.raises(grpc.RpcError):
                send(channel, traces(1))
        assert ids(database) == []
        context = client_context(authority)
        client.configure_cert(context)
        assert post(serving, context) == 200
        with serving.channel(_credentials(authority, client)) as channel:
            send(channel, traces(1))
    assert len(ids(database)) == 2


def _credentials(authority: trustme.CA, shown: trustme.LeafCert | None) -> grpc.ChannelCredentials:
    if shown is None:
        return grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    chain = b"".join(blob.bytes() for blob in shown.cert_chain_pems)
    return grpc.ssl_channel_credentials(authority.cert_pem.bytes(), shown.private_key_pem.bytes(), chain)


def test_a_key_of_another_certificate(authority: trustme.CA, tmp_path: Path) -> None:
    """It is said before anything is served."""
    options = tls_options(authority, tmp_path)
    (tmp_path / "key.pem").write_bytes(authority.issue_cert("127.0.0.1").private_key_pem.bytes())
    answer = ran("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", *options)
    assert (answer.returncode, answer.stderr.count("\n")) == (2, 1)
    assert "key.pem" in answer.stderr


def test_otlp_16_cors(database: str) -> None:
    """OTLP-16: off by default; with origins, theirs may send and others may not."""
    asking = {"Origin": "https://app.example.test", "Access_Control_Request_Method": "POST"}
    with serve(database) as serving:
        assert "access-control-allow-origin" not in serving.ask("OPTIONS", "/v1/traces", **asking).headers
    options = ["--cors-origin", "https://*.example.test", "--cors-origin", "http://localhost:3000"]
    with serve(database, *options) as serving:
        allowed = serving.ask("OPTIONS", "/v1/traces", **asking)
        assert allowed.headers["access-control-allow-origin"] == asking["Origin"]
        other = serving.ask("OPTIONS", "/v1/traces", **asking | {"Origin": "https://evil.test"})
        assert "access-control-allow-origin" not in other.headers


def test_the_help_names_every_setting() -> None:
    """`--help` is complete and holds no jargon of argparse."""
    said = ran("--help").stdout
    assert set(re.findall(r"--(?:http|grpc|workers|token-file|tls-cert|cors-origin|grace|queue-bytes)\b", said)) == {
        *("--http", "--grpc", "--workers", "--token-file", "--tls-cert", "--cors-origin", "--grace", "--queue-bytes")
    }
