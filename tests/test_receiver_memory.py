"""Memory of `otel-llm-sql serve` while the database takes nothing, whatever the door: real processes, real clients."""

from __future__ import annotations

import gzip
import random
import re
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import sqlalchemy as sa
from databases import free_port
from receivers import PROTOBUF, traces, until
from serving import Serving, send, serve

MEGABYTE = 1_000_000
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")


def memory(serving: Serving, name: str = "VmRSS") -> int:
    """Resident memory in bytes: now, or with VmHWM the most that it was."""
    assert serving.process is not None
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{serving.process.pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def large(size: int) -> bytes:
    """A request of one GenAI span with a long attribute, which gzip makes half as large."""
    return bytes(traces(1, note=random.Random(1).randbytes(size // 2).hex()).SerializeToString())


def over_grpc(serving: Serving, body: bytes) -> None:
    with serving.channel() as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary(EXPORT)(body, timeout=60)


def over_http(serving: Serving, body: bytes) -> None:
    assert serving.post(body).status == 503


@pytest.mark.parametrize("deliver", [over_grpc, over_http])
def test_what_was_refused_is_not_held(deliver: Callable[[Serving, bytes], None]) -> None:
    """Requests of 8 MB that the database did not take: none is kept until Python's collector looks, which is seldom."""
    body = large(8 * MEGABYTE)
    url = f"postgresql://me@127.0.0.1:{free_port()}/llm"
    with serve(url, OTEL_LLM_SQL_RECEIVER_ANSWER_SECONDS="0.3") as serving:
        deliver(serving, body)
        before = memory(serving)
        for _ in range(25):
            deliver(serving, body)
        assert memory(serving) - before < 100 * MEGABYTE  # all of them are 200


def test_what_was_inflated_is_not_held(new_database: Callable[[str], str]) -> None:
    """Compressed bodies for which there is no room once they are inflated: the pieces are not kept either."""
    body = gzip.compress(large(30 * MEGABYTE), 1)
    with serve(new_database("sqlite"), "--queue-bytes", str(40 * MEGABYTE)) as serving:
        assert serving.post(traces(1).SerializeToString()).status == 200
        before = memory(serving)
        for _ in range(10):
            assert serving.post(body, Content_Encoding="gzip").status == 503
        assert memory(serving) - before < 150 * MEGABYTE  # all of them are 250
        assert serving.metric("queue_bytes") == 0


def test_large_messages_at_the_same_time(new_database: Callable[[str], str]) -> None:
    """What gRPC reads before it tells how much that is: 40 messages of 16 MB do not fill the memory; all are stored."""
    body = large(16 * MEGABYTE)
    url = new_database("sqlite")
    with serve(url, "--queue-bytes", str(32 * MEGABYTE), OTEL_LLM_SQL_RECEIVER_ANSWER_SECONDS="60") as serving:
        with serving.channel() as channel:
            send(channel, traces(1))
        with ThreadPoolExecutor(40) as threads:
            assert all(threads.map(lambda _: sent_until_taken(serving, body), range(40)))
        assert memory(serving, "VmHWM") < 800 * MEGABYTE  # one is decoded; all of them are 640, and took 2,600


def test_overload_over_http(new_database: Callable[[str], str]) -> None:
    """400 senders, and a database that takes nothing: no more memory than the queue's bound and 150 MB."""
    url, queue = new_database("sqlite"), 64 * 1024 * 1024
    body = traces(100, note="n" * 2500).SerializeToString()
    with serve(url, "--queue-bytes", str(queue), OTEL_LLM_SQL_RECEIVER_ANSWER_SECONDS="2") as serving:
        assert serving.post(traces(1).SerializeToString()).status == 200
        engine = sa.create_engine(url)
        with engine.connect() as connection, ThreadPoolExecutor(400) as threads:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            assert set(threads.map(lambda _: status_of_raw(serving, body), range(1200))) == {b"503"}
            connection.exec_driver_sql("ROLLBACK")
        engine.dispose()
        assert memory(serving, "VmHWM") <= queue + 150 * MEGABYTE
        until(lambda: serving.post(body).status == 200)


def status_of_raw(serving: Serving, body: bytes) -> bytes:
    """The status of a request by a client that costs next to nothing: others are slower than the receiver."""
    head = f"POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Type: {PROTOBUF}\r\n"
    with socket.create_connection(("127.0.0.1", serving.port), timeout=60) as line:
        line.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return line.recv(65536).split(b" ", 2)[1]


def test_large_blocks_are_given_back_at_once() -> None:
    """Bodies between which something lasts: freed, they make the process smaller by nearly all that they were."""
    program = """
        from otel_llm_sql.receiver.memory import give_large_back, resident
        give_large_back()
        len(b"x" * 20_000_000)  # by itself glibc would now keep what is no larger than this
        lasting, bodies = [], []
        for _ in range(200):
            bodies.append(b"x" * 300_000)
            lasting.append(b"x" * 2_000)
        before = resident()
        bodies.clear()
        print(before - resident())
    """
    said = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert int(said.stdout) > 55 * MEGABYTE


def sent_until_taken(serving: Serving, body: bytes) -> bool:
    """Send as a client does: again after UNAVAILABLE, and only then."""
    with serving.channel() as channel:
        while True:
            try:
                return channel.unary_unary(EXPORT)(body, timeout=120) == b""
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:  # type: ignore[attr-defined]
                    raise
                time.sleep(0.2)


def test_small_requests_count_as_what_they_take(new_database: Callable[[str], str]) -> None:
    """A call takes memory beside its message: a hundred small requests that wait are 2.4 MB of the queue."""
    url = new_database("sqlite")
    with serve(url, OTEL_LLM_SQL_RECEIVER_ANSWER_SECONDS="60") as serving, serving.channel() as channel:
        send(channel, traces(1))
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            with ThreadPoolExecutor(100) as threads:
                calls = [threads.submit(send, channel, traces(1)) for _ in range(100)]
                until(lambda: serving.metric("queue_bytes") == 100 * 24 * 1024)
                connection.exec_driver_sql("ROLLBACK")
                for call in calls:
                    call.result()
        engine.dispose()
        assert serving.metric("queue_bytes") == 0
