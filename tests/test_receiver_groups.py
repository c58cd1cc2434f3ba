"""Group commit: requests that share a transaction, each with the fate of its own rows; databases that fail; kill -9."""

from __future__ import annotations

import http.client
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
import sqlalchemy as sa
from databases import Server
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from receivers import Receiver, ReceiverProcess, Reply, logs, receiver, receiver_process, span_ids, traces, until

from otel_llm_sql.store.engines import create_engine
from otel_llm_sql.testing import stored


def operations(url: str) -> list[str]:
    """The span ids of all operations, each as often as it is there."""
    return sorted(row["span_id"] for row in stored(url)["llm_operations"])


def rejected(reply: Reply) -> int:
    """How many spans a reply rejects."""
    assert reply.status == 200
    return int(ExportTraceServiceResponse.FromString(reply.body).partial_success.rejected_spans)


def send(server: Receiver, requests: list[Any], senders: int = 8) -> list[Reply]:
    """Send requests at the same time."""
    with ThreadPoolExecutor(senders) as threads:
        return list(threads.map(lambda request: server.post(request.SerializeToString()), requests))


def refuse_poison(url: str, kind: str) -> None:
    """Have the database refuse operations of the model `poison`."""
    engine = create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        if kind == "sqlite":
            connection.exec_driver_sql(
                "CREATE TRIGGER no BEFORE INSERT ON llm_operations WHEN NEW.model = 'poison'"
                " BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )
        else:
            connection.exec_driver_sql("ALTER TABLE llm_operations ADD CONSTRAINT no CHECK (model <> 'poison')")


def test_one_poison_span_costs_no_neighbour(url: str, kind: str) -> None:
    """OTLP-07, OTLP-09: of ten requests at once two hold a poison span: these two are told, the other spans stored."""
    with receiver(url, group_seconds=0.5) as server:
        until(server.is_ready)  # makes the tables
        refuse_poison(url, kind)
        requests = [traces(3) for _ in range(10)]
        good = set().union(*map(span_ids, requests))
        for index in (2, 7):
            poison = traces(1, gen_ai__response__model="poison")
            requests[index].resource_spans.extend(poison.resource_spans)
        replies = send(server, requests, 10)
        assert [rejected(reply) for reply in replies] == [0, 0, 1, 0, 0, 0, 0, 1, 0, 0]
        assert server.metric("rejected_total", reason="refused") == 2
        assert server.metric("dead_lettered_total") == 2
        assert server.metric("stored_total") == 30
    assert operations(url) == sorted(good)
    assert len(stored(url)["llm_dead_letters"]) == 2


def test_requests_share_transactions(url: str) -> None:
    """A hundred requests that arrive while one is committed take far fewer transactions than requests."""
    with receiver(url, group_seconds=0.2) as server:
        requests = [traces(1) for _ in range(100)]
        replies = send(server, requests, 32)
        assert {reply.status for reply in replies} == {200}
        assert server.metric("commit_seconds_count") < 60
    assert operations(url) == sorted(set().union(*map(span_ids, requests)))


def test_otlp_18_col_02_many_requests_for_one_session(url: str) -> None:
    """OTLP-18, COL-02, COL-04: ten consumers send the same session in ever other batches: no deadlock, no double."""
    requests = [traces(4, gen_ai__conversation__id="one") for _ in range(20)]
    entries = [entry for request in requests for entry in request.resource_spans]
    random.Random(7).shuffle(entries)
    regrouped = [ExportTraceServiceRequest(resource_spans=entries[start : start + 5]) for start in range(0, 20, 5)]
    with receiver(url) as server:
        replies = send(server, [*requests, *regrouped, *requests[:6]], 10)
        assert {reply.status for reply in replies} == {200}
        assert server.metric("stored_total") + server.metric("duplicate_total") == 20 * 4 + 80 + 24
    assert operations(url) == sorted(set().union(*map(span_ids, requests)))
    assert len(stored(url)["llm_sessions"]) == 1


def delivered(server: Receiver, body: bytes) -> Reply:
    """The answer of a client that sends again after 503, and only then."""
    for _ in range(600):
        reply = server.post(body)
        if reply.status != 503:
            return reply
        time.sleep(0.05)
    raise AssertionError(reply)


def test_col_06_everything_is_delivered_or_reported(url: str, kind: str) -> None:
    """COL-06: good, broken and poisoned requests, and a queue that is often full: each span is stored or reported."""
    chance = random.Random(6)
    with receiver(url, queue_bytes=4000) as server:
        until(server.is_ready)
        refuse_poison(url, kind)
        requests, bodies, poisoned = [traces(2) for _ in range(90)], [], []
        good: set[str] = set()
        for index, request in enumerate(requests):
            fate = chance.choice(["good", "broken", "poisoned"])
            good |= set() if fate == "broken" else span_ids(request)
            if fate == "poisoned":
                poisoned.append(index)
                request.resource_spans.extend(traces(1, gen_ai__response__model="poison").resource_spans)
            bodies.append(request.SerializeToString()[: -3 if fate == "broken" else None])
        with ThreadPoolExecutor(16) as threads:
            replies = list(threads.map(lambda body: delivered(server, body), bodies))
        told = [index for index, reply in enumerate(replies) if reply.status == 200 and rejected(reply)]
        assert told == poisoned
        assert server.metric("refused_requests_total", reason="invalid") == sum(
            reply.status == 400 for reply in replies
        )
        assert server.metric("queue_bytes") == 0
    assert operations(url) == sorted(good)
    assert len(stored(url)["llm_dead_letters"]) == len(poisoned)


def test_col_05_a_parent_that_never_comes(url: str) -> None:
    """COL-05: a filter dropped the parents; the spans are stored, each in a session."""
    request = traces(3)
    for span in request.resource_spans[0].scope_spans[0].spans:
        span.parent_span_id = b"absent!!"
    with receiver(url) as server:
        assert rejected(server.post(request.SerializeToString())) == 0
    rows = stored(url)["llm_operations"]
    assert len(rows) == 3
    assert all(row["session_id"] for row in rows)


def sent_until_stored(server: Receiver, body: bytes, path: str = "/v1/traces") -> int:
    """Send as a client does: again after 503, and only then; how often it was refused."""
    for refusals in count():
        reply = server.post(body, path)
        if reply.status == 200:
            return refusals
        assert reply.status == 503, reply
        assert 1 <= int(reply.headers["retry-after"]) <= 5
        assert refusals < 60
        time.sleep(0.2)
    raise AssertionError


def test_otlp_07_col_03_the_database_is_down_and_up_again(own_server: Server) -> None:
    """OTLP-07, OTLP-08, OTLP-12, COL-03: 503 within 5 s while it is down, served by itself when it is up again."""
    url = own_server.new_database()
    first, second, third = traces(2), traces(2), traces(2)
    with receiver(url, answer_seconds=4.5) as server:
        sent_until_stored(server, first.SerializeToString())
        refused = server.metric("refused_requests_total", reason="unavailable")
        own_server.kill()
        replies = send(server, [second, third, second])
        assert {reply.status for reply in replies} == {503}
        assert {1 <= int(reply.headers["retry-after"]) <= 5 for reply in replies} == {True}
        ready = server.ask("GET", "/readyz")
        assert ready.status == 503
        assert b"test:test" not in ready.body
        assert server.ask("GET", "/healthz").status == 200
        assert server.metric("refused_requests_total", reason="unavailable") == refused + 3
        until(lambda: server.metric("queue_bytes") == 0)
        assert server.post(traces(3, genai=False).SerializeToString()).status == 200  # needs no database
        own_server.start()
        sent_until_stored(server, second.SerializeToString())
        until(server.is_ready)
    assert operations(url) == sorted(span_ids(first) | span_ids(second))  # nothing was kept of the third


def test_otlp_08_a_database_that_hangs(own_server: Server) -> None:
    """COL-03, OTLP-08: the server is stopped with SIGSTOP: requests are told to come again; nothing is there twice."""
    url = own_server.new_database()
    first, second = traces(2), traces(2)
    with receiver(url, answer_seconds=2) as server:
        sent_until_stored(server, first.SerializeToString())
        pids = own_server.pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            assert {reply.status for reply in send(server, [second, second])} == {503}
            assert server.ask("GET", "/healthz").status == 200
            assert server.ask("GET", "/readyz").status == 503
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        sent_until_stored(server, second.SerializeToString())
    assert operations(url) == sorted(span_ids(first) | span_ids(second))


def test_f15_a_locked_file(new_database: Callable[[str], str]) -> None:
    """COL-03: another process holds SQLite's write lock: 503 before senders time out; afterwards all is stored once."""
    url = new_database("sqlite")
    request = traces(3)
    with receiver(url, answer_seconds=1) as server:
        until(server.is_ready)
        other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            assert {reply.status for reply in send(server, [request] * 4)} == {503}
        finally:
            other.execute("ROLLBACK")
            other.close()
        sent_until_stored(server, request.SerializeToString())
    assert operations(url) == sorted(span_ids(request))


def test_a_schema_of_another_version(new_database: Callable[[str], str]) -> None:
    """Tables of a version to come: not ready, in words; 503, and served again once they are what they should be."""
    url = new_database("sqlite")
    with receiver(url) as server:
        until(server.is_ready)
        path = url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as file:
        (version,) = file.execute("SELECT version_num FROM llm_schema_version").fetchone()
        file.execute("UPDATE llm_schema_version SET version_num = '9999'")
    file.close()
    request = traces()
    with receiver(url) as server:
        ready = server.ask("GET", "/readyz")
        assert ready.status == 503
        assert b"9999" in ready.body
        assert server.post(request.SerializeToString()).status == 503
        with sqlite3.connect(path) as file:
            file.execute("UPDATE llm_schema_version SET version_num = ?", (version,))
        file.close()
        sent_until_stored(server, request.SerializeToString())
    assert operations(url) == sorted(span_ids(request))


class Sender(threading.Thread):
    """Sends requests of two spans, each again and again until it is acknowledged, as a Collector's queue does."""

    def __init__(self, server: ReceiverProcess) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.enough = threading.Event()
        self.acknowledged: set[str] = set()
        self.sent: set[str] = set()
        self.wrong: list[Reply] = []

    def run(self) -> None:
        while not self.enough.is_set():
            request = traces(2)
            self.sent |= span_ids(request)
            while not self._is_acknowledged(request.SerializeToString()):
                time.sleep(0.05)
            self.acknowledged |= span_ids(request)

    def _is_acknowledged(self, body: bytes) -> bool:
        try:
            reply = self.server.post(body)
        except (OSError, http.client.HTTPException):  # the receiver was killed
            return False
        if reply.status not in {200, 503}:
            self.wrong.append(reply)
        return reply.status == 200


def test_f35_col_01_kill_9_under_load(url: str) -> None:
    """F35, COL-01, OTLP-12: killed twice under load: what was acknowledged is stored then; at the end all is, once."""
    with receiver_process(url) as server:
        senders = [Sender(server) for _ in range(6)]
        for sender in senders:
            sender.start()
        for goal in (60, 120):
            until(lambda goal=goal: sum(len(sender.acknowledged) for sender in senders) > goal)  # type: ignore[misc]
            server.end(signal.SIGKILL)
            known = set().union(*(sender.acknowledged for sender in senders))
            assert known <= set(operations(url))
            server.start()
        for sender in senders:
            sender.enough.set()
        for sender in senders:
            sender.join(60)
            assert not sender.is_alive()
        assert [sender.wrong for sender in senders] == [[]] * 6
    everything = set().union(*(sender.sent for sender in senders))
    assert everything == set().union(*(sender.acknowledged for sender in senders))
    assert operations(url) == sorted(everything)


def test_otlp_17_f36_sigterm(url: str) -> None:
    """OTLP-17, F36: SIGTERM under load: requests that were taken are answered and stored, and the process ends."""
    with receiver_process(url) as server:
        senders = [Sender(server) for _ in range(4)]
        for sender in senders:
            sender.start()
        until(lambda: sum(len(sender.acknowledged) for sender in senders) > 20)
        assert server.end() in {0, -signal.SIGTERM}  # uvicorn raises the signal again when it is done
        acknowledged = set().union(*(sender.acknowledged for sender in senders))
        assert acknowledged <= set(operations(url))
        server.start()
        for sender in senders:
            sender.enough.set()
        for sender in senders:
            sender.join(60)
        assert [sender.wrong for sender in senders] == [[]] * 4
    assert operations(url) == sorted(set().union(*(sender.sent for sender in senders)))


def test_otlp_17_what_arrives_after_the_end(new_database: Callable[[str], str]) -> None:
    """OTLP-17: what was taken is stored before `close` returns; what comes later is told to come again."""
    url = new_database("sqlite")
    request = traces(2)
    with receiver(url, group_seconds=1) as server:
        assert server.reception is not None
        with ThreadPoolExecutor(1) as thread:
            reply = thread.submit(server.post, request.SerializeToString())
            until(lambda: server.metric("queue_bytes") > 0 or reply.done())
            server.reception.groups.close(30)
            assert operations(url) == sorted(span_ids(request))
            assert reply.result().status == 200
        assert server.post(traces().SerializeToString()).status == 503
        assert server.ask("GET", "/readyz").status == 503


def test_metrics_of_several_processes(new_database: Callable[[str], str], tmp_path: Any) -> None:
    """With PROMETHEUS_MULTIPROC_DIR set, each of two receivers tells what both have stored."""
    url = new_database("sqlite")
    shared = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    with receiver_process(url, **shared) as one, receiver_process(url, **shared) as other:
        assert one.post(traces(2).SerializeToString()).status == 200
        assert other.post(traces(3).SerializeToString()).status == 200
        assert other.post(logs().SerializeToString(), "/v1/logs").status == 200
        for server in (one, other):
            assert server.metric("stored_total") == 6
            assert server.metric("received_total", signal="traces") == 5
            assert server.metric("commit_seconds_count") == 3
            assert server.metric("queue_bytes") == 0


def test_f38_no_prompt_and_no_password_in_the_log(
    new_database: Callable[[str], str], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """F38: broken tables and a wrong password: neither the log nor an answer shows what was said, or the password."""
    url = new_database("postgresql")
    body = traces(1, gen_ai__input__messages='[{"role":"user","content":"prompt-marker-7"}]').SerializeToString()
    replies = []
    for wrong in (url.replace("test:test@", "test:pa55-marker@"), url):
        with receiver(wrong, answer_seconds=1) as server:
            if wrong == url:
                until(server.is_ready)
                engine = create_engine(url, poolclass=sa.NullPool)
                with engine.begin() as connection:
                    connection.exec_driver_sql("DROP TABLE llm_operations CASCADE")
            replies += [server.post(body), server.ask("GET", "/readyz"), server.post(body[:-2])]
    assert [reply.status for reply in replies] == [503, 503, 400, 503, 200, 400]
    shown = caplog.text + "".join(capfd.readouterr()) + str(replies)
    assert "llm_sql receiver" in shown
    assert "prompt-marker-7" not in shown
    assert "pa55-marker" not in shown
