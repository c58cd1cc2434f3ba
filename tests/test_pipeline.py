"""The whole path, with faults that are really provoked: nothing is lost, nothing is doubled, neighbours survive."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from databases import Server
from test_store import rows_of

from otel_llm_sql.backlog import Backlog
from otel_llm_sql.conventions import read
from otel_llm_sql.errors import DatabaseUnavailableError, SchemaError, StoreError
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.pipeline import Pipeline, shared
from otel_llm_sql.query import Query
from otel_llm_sql.schema import versions
from otel_llm_sql.settings import Settings
from otel_llm_sql.spool import Spool
from otel_llm_sql.store.engines import create_engine
from otel_llm_sql.store.urls import database_url
from otel_llm_sql.store.writer import Writer

pytestmark = pytest.mark.quick


def chat(number: int, **attributes: object) -> Signal:
    """A chat span as the OpenAI instrumentation writes it."""
    said = json.dumps([{"role": "user", "parts": [{"type": "text", "content": f"question {number}"}]}])
    return Signal(
        kind="span",
        trace_id=f"{number + 1:032x}",
        span_id=f"{number + 1:016x}",
        parent_span_id=None,
        name="chat gpt-4o-mini",
        start_ns=1_790_000_000_000_000_000 + number,
        end_ns=1_790_000_000_500_000_000 + number,
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.response.model": "gpt-4o-mini",
            "gen_ai.input.messages": said,
            **attributes,
        },
    )


def chats(first: int, count: int) -> list[Signal]:
    """Some of them."""
    return [chat(number) for number in range(first, first + count)]


def user_event(content: str) -> Signal:
    """A content event that names no span."""
    attributes = {"gen_ai.system": "openai"}
    return Signal("log", "", "", None, "gen_ai.user.message", 5, 5, attributes, body={"content": content})


def stored(url: str) -> int:
    """How many operations the database has."""
    writer = Writer(Settings(url=url))
    try:
        return len(rows_of(writer)["llm_operations"])
    finally:
        writer.close()


@pytest.fixture
def pipeline(url: str) -> Iterator[Pipeline]:
    """A pipeline to an empty database of each kind."""
    made = Pipeline(Settings(url=url, timeout=5))
    yield made
    made.close()


def test_signals_become_rows(pipeline: Pipeline, url: str) -> None:
    """GenAI spans are stored, others are counted; the same again adds nothing."""
    other = Signal("span", "a" * 32, "b" * 16, None, "GET /", 1, 2, {"http.request.method": "GET"})
    pipeline.deliver([*chats(0, 5), other])
    pipeline.deliver(chats(0, 5))
    assert (pipeline.stored, pipeline.ignored, pipeline.duplicates) == (10, 1, 5)
    assert stored(url) == 5


def test_one_refused_row_costs_no_neighbour(pipeline: Pipeline, url: str, kind: str) -> None:
    """F32: of 64 spans the database refuses one: 63 are stored, it is put away with its payload and the reason."""
    pipeline.deliver(chats(0, 1))
    engine = create_engine(url)
    with engine.begin() as connection:
        if kind == "sqlite":
            connection.exec_driver_sql(
                "CREATE TRIGGER no BEFORE INSERT ON llm_operations WHEN NEW.model = 'poison'"
                " BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )
        else:
            connection.exec_driver_sql("ALTER TABLE llm_operations ADD CONSTRAINT no CHECK (model <> 'poison')")
    pipeline.deliver([*chats(1, 30), chat(100, **{"gen_ai.response.model": "poison"}), *chats(31, 33)])
    assert stored(url) == 64
    with engine.connect() as connection:
        letters = connection.execute(sa.text("SELECT reason, payload FROM llm_dead_letters")).all()
    engine.dispose()
    assert len(letters) == pipeline.dead_lettered == 1
    assert "refuses" in letters[0][0]
    assert json.loads(letters[0][1])["model"] == "poison"


def test_a_record_without_ids_is_put_away(pipeline: Pipeline, url: str) -> None:
    """A content event that names no span cannot be tied to an operation: it is kept as a dead letter, not lost."""
    event = user_event("hi")
    pipeline.deliver([event, chat(1)])
    assert (stored(url), pipeline.dead_lettered) == (1, 1)


def test_a_value_that_cannot_even_be_named_costs_no_neighbour(pipeline: Pipeline, url: str) -> None:
    """An object whose own __str__ raises is named by its type; the signals around it are stored."""

    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError

        __repr__ = __str__

    event = Signal(
        "log", "a" * 32, "b" * 16, None, "gen_ai.user.message", 5, 5, {"gen_ai.system": "openai"}, body=Hostile()
    )
    pipeline.deliver([chat(1, odd=Hostile()), event, chat(2)])
    assert stored(url) == 3


def test_an_application_may_call_its_attributes_as_it_likes(pipeline: Pipeline, url: str) -> None:
    """Attributes named like our own keys and columns, of any type, are attributes: nothing is dead-lettered."""
    names = ("metadata", "agent_id", "finish_reasons", "tool_definitions_id")
    names += tuple(f"otel_llm_sql.{name}" for name in (*names, "repaired"))
    odd = [dict.fromkeys(names, value) for value in ("text", 7, "x" * 999, [1, "a"], True)]
    pipeline.deliver([chat(n, **attributes) for n, attributes in enumerate(odd)])
    pipeline.deliver([chat(n, **attributes) for n, attributes in enumerate(odd)])
    assert (stored(url), pipeline.dead_lettered, pipeline.duplicates) == (5, 0, 5)
    writer = Writer(Settings(url=url))
    rows = rows_of(writer)
    writer.close()
    assert {row["agent_id"] for row in rows["llm_sessions"]} == {None}
    assert {type(row["extras"]["agent_id"]) for row in rows["llm_operations"]} == {str, int, list, bool}


def test_a_large_dead_letter_blocks_nobody(url: str) -> None:
    """F25: a dead letter larger than a statement is cut, as JSON, and says so; what comes after it is stored."""
    pipeline = Pipeline(Settings(url=url, timeout=10))
    body = {"content": "x" * 20_000_000}
    pipeline.deliver(
        [Signal("log", "", "", None, "gen_ai.user.message", 5, 5, {"gen_ai.system": "openai"}, body=body), chat(1)]
    )
    pipeline.deliver([chat(2)])
    pipeline.close()
    assert (stored(url), pipeline.dead_lettered) == (2, 1)
    engine = create_engine(url)
    with engine.connect() as connection:
        reason, payload = connection.execute(sa.text("SELECT reason, payload FROM llm_dead_letters")).one()
    engine.dispose()
    assert len(json.loads(payload)["body"]["content"]) == 20_000_000 or "max_allowed_packet" in reason


def test_large_attributes_keep_their_neighbours(url: str) -> None:
    """F25: an attribute of 20 MB does not cost the other attributes, and events can still complete its span."""
    pipeline = Pipeline(Settings(url=url, timeout=10))
    span = chat(1, huge="y" * 20_000_000, small="z")
    said = {"gen_ai.system": "openai"}
    first, second = (
        Signal("log", span.trace_id, span.span_id, None, "gen_ai.user.message", n, n, said, body={"content": f"e{n}"})
        for n in (5, 6)
    )
    pipeline.deliver([span, first])
    pipeline.deliver([second])
    pipeline.close()
    writer = Writer(Settings(url=url))
    (row,) = rows_of(writer)["llm_operations"]
    writer.close()
    assert row["extras"]["small"] == "z"
    assert set(row["extras"]["huge"]) == {"y"}
    assert pipeline.dead_lettered == 0


def test_content_can_be_left_out(url: str) -> None:
    """capture_content=False stores the shape of a conversation and none of its text, not even in dead letters."""
    pipeline = Pipeline(Settings(url=url, capture_content=False))
    event = user_event("question")
    pipeline.deliver([chat(1), event])
    engine = create_engine(url)
    with engine.connect() as connection:
        everything = [
            str(connection.execute(sa.text(f"SELECT * FROM {table}")).all())
            for table in ("llm_operations", "llm_messages", "llm_spans", "llm_dead_letters")
        ]
    engine.dispose()
    pipeline.close()
    assert "question" not in "".join(everything)
    assert "user" in everything[1]


def test_long_keys_stay_two_sessions(pipeline: Pipeline, url: str) -> None:
    """Keys longer than their column that differ at the end are two sessions, and are found by the whole key."""
    keys = ["k" * 300 + end for end in "ab"]
    pipeline.deliver([chat(n, **{"gen_ai.conversation.id": key}) for n, key in enumerate(keys)])
    with Query(url) as query:
        assert [query.polars_from_db(session_id=key).height for key in keys] == [1, 1]
        assert query.query_db("SELECT COUNT(*) AS n FROM llm_sessions") == [{"n": 2}]


def test_the_workspace_of_the_settings(url: str) -> None:
    """Sessions whose telemetry names no workspace get that of the settings."""
    pipeline = Pipeline(Settings(url=url, workspace="team"))
    pipeline.deliver([chat(1)])
    pipeline.close()
    writer = Writer(Settings(url=url))
    assert rows_of(writer)["llm_sessions"][0]["workspace"] == "team"
    writer.close()


def test_server_stopped_and_started(own_server: Server) -> None:
    """F07: what is delivered while the server is down is stored when it is back: nothing lost, nothing doubled."""
    url = own_server.new_database()
    pipeline = Pipeline(Settings(url=url, timeout=2))
    pipeline.deliver(chats(0, 10))
    own_server.kill()
    for first in (10, 20):
        with pytest.raises(DatabaseUnavailableError):
            pipeline.deliver(chats(first, 10))
    own_server.start()
    assert pipeline.flush(30)
    pipeline.deliver(chats(25, 10))
    assert stored(url) == 35
    pipeline.close()


def test_a_database_that_comes_back_is_found_without_new_telemetry(own_server: Server) -> None:
    """What is kept is tried again by itself, should the application stay silent."""
    url = own_server.new_database()
    pipeline = Pipeline(Settings(url=url, timeout=2))
    own_server.kill()
    with pytest.raises(DatabaseUnavailableError):
        pipeline.deliver(chats(0, 3))
    own_server.start()
    waiting = threading.Event()
    while pipeline.stored < 3:
        assert not waiting.wait(0.1)
    assert stored(url) == 3
    pipeline.close()


def test_server_that_hangs(own_server: Server) -> None:
    """F09: a frozen server says nothing: the delivery ends while it is still frozen, and is made up for later."""
    url = own_server.new_database()
    pipeline = Pipeline(Settings(url=url, timeout=2))
    pipeline.deliver(chats(0, 1))
    frozen = own_server.pids()
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(DatabaseUnavailableError):
            pipeline.deliver(chats(1, 5))
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    assert pipeline.flush(30)
    assert stored(url) == 6
    pipeline.close()


def test_a_killed_connection_is_replaced(new_database: Callable[[str], str]) -> None:
    """F08: the server ends our connection while it is idle: the next delivery succeeds on a new one."""
    url = new_database("postgresql")
    pipeline = Pipeline(Settings(url=url))
    pipeline.deliver(chats(0, 1))
    engine = create_engine(url)
    with engine.connect() as connection:
        ours = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert connection.execute(sa.text(ours)).scalars().all() == [True]
    engine.dispose()
    pipeline.deliver(chats(1, 1))
    assert stored(url) == 2
    pipeline.close()


def test_read_only_for_a_while(new_database: Callable[[str], str]) -> None:
    """F14: a primary that became a replica refuses writes for now, not for ever."""
    url = new_database("postgresql")
    pipeline = Pipeline(Settings(url=url, timeout=4))
    pipeline.deliver(chats(0, 1))
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    switch = "ALTER DATABASE {} SET default_transaction_read_only = {}"
    with engine.connect() as connection:
        connection.exec_driver_sql(switch.format(engine.url.database, "on"))
        pipeline._writer.close()
        with pytest.raises(DatabaseUnavailableError, match="25006"):
            pipeline.deliver(chats(1, 4))
        off = switch.format(engine.url.database, "off")
        connection.exec_driver_sql(f"SET default_transaction_read_only = off; {off}")
    engine.dispose()
    pipeline._writer.close()
    assert pipeline.flush(10)
    assert stored(url) == 5
    pipeline.close()


def test_disk_full(new_database: Callable[[str], str]) -> None:
    """F15: a database that may not grow takes nothing of a batch; it takes all of it when it may grow again."""
    url = new_database("sqlite")
    pipeline = Pipeline(Settings(url=url, timeout=1))
    pipeline.deliver(chats(0, 1))
    pages = "SELECT page_count FROM pragma_page_count"
    with pipeline._writer.engine.connect() as connection:
        full = connection.exec_driver_sql(pages).scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {full}")
    with pytest.raises(DatabaseUnavailableError, match="SQLITE_FULL"):
        pipeline.deliver(chats(1, 200))
    assert stored(url) == 1
    with pipeline._writer.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    assert pipeline.flush(10)
    assert stored(url) == 201
    pipeline.close()


def test_an_older_schema_is_left_alone(url: str) -> None:
    """F16: rows for a schema that is not ours are kept, not written; after `migrate` they are stored."""
    engine = create_engine(url)
    versions.migrate(engine, "0001")
    pipeline = Pipeline(Settings(url=url, timeout=1))
    with pytest.raises(SchemaError, match="migrate"):
        pipeline.deliver(chats(0, 3))
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT COUNT(*) FROM llm_operations")).scalar_one() == 0
    versions.migrate(engine)
    engine.dispose()
    assert pipeline.flush(10)
    assert stored(url) == 3
    pipeline.close()


def test_tables_that_are_dropped_come_back(new_database: Callable[[str], str]) -> None:
    """Somebody empties the database under a running exporter: it says so, and starts afresh."""
    url = new_database("sqlite")
    pipeline = Pipeline(Settings(url=url, timeout=1))
    pipeline.deliver(chats(0, 1))
    engine = create_engine(url)
    with engine.begin() as connection:
        for kind, name in connection.exec_driver_sql(
            "SELECT type, name FROM sqlite_master WHERE type IN ('view', 'table') ORDER BY type DESC"
        ).all():
            connection.exec_driver_sql(f"DROP {kind} {name}")
    engine.dispose()
    with pytest.raises(SchemaError):
        pipeline.deliver(chats(1, 2))
    assert pipeline.flush(10)
    assert stored(url) == 2
    pipeline.close()


def test_nothing_is_missing_while_the_database_is_down() -> None:
    """Every signal is stored, kept, spooled or counted as dropped, whichever delivery tried again and failed."""
    settings = Settings(url="postgresql://nobody@127.0.0.1:1/none", timeout=0.2, spool="off")
    pipeline = Pipeline(settings)
    for first in range(0, 40, 10):
        pipeline._try_at = 0.0  # as after the pause
        with pytest.raises(StoreError):
            pipeline.deliver(chats(first, 10))
    assert len(pipeline._backlog) == 40
    pipeline.close(0.1)
    assert pipeline.dropped == 40


def test_kept_bodies_count(new_database: Callable[[str], str]) -> None:
    """The bound holds for the bodies of log records and for structures, too."""
    backlog = Backlog(1_000_000)
    nested = {"a": [{"b": "x" * 400_000}]}
    events = [Signal("log", "a" * 32, "b" * 16, None, "e", 1, 1, {}, body=nested) for _ in range(5)]
    assert sum(len(backlog.keep([event])) for event in events) == 3


def test_a_closed_pipeline_comes_back(own_server: Server, tmp_path: Path) -> None:
    """What is delivered after `close()` is kept and tried again like everything else."""
    url = own_server.new_database()
    pipeline = Pipeline(Settings(url=url, timeout=2, spool=str(tmp_path)))
    pipeline.close()
    own_server.kill()
    with pytest.raises(DatabaseUnavailableError):
        pipeline.deliver(chats(0, 3))
    own_server.start()
    waiting = threading.Event()
    while pipeline.stored < 3:
        assert not waiting.wait(0.1)
    pipeline.close()


def spool_of(url: str, directory: Path, schema: str | None = None) -> Spool:
    """The files of a database in a directory."""
    return Spool(directory, database_url(url).place(schema), 10**5)


def _refused(pipeline: Pipeline, signals: list[Signal]) -> None:
    with pytest.raises(StoreError):
        pipeline.deliver(signals)


def wait_until_locked(engine: sa.Engine) -> None:
    """Until somebody waits for a lock in PostgreSQL."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for _ in range(3000):
            if connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar():
                return
            time.sleep(0.01)
    pytest.fail("nobody waits for a lock")


def test_a_broken_file_is_not_thrown_away(new_database: Callable[[str], str], tmp_path: Path) -> None:
    """What can be read of a spooled file is stored, after a try in vain, too; the file stays."""
    url = new_database("sqlite")
    spool_of(url, tmp_path).write([operation for signal in chats(0, 2) if (operation := read(signal))])
    (file,) = tmp_path.rglob("*.jsonl")
    file.write_bytes(file.read_bytes() + b'\n{"cut')
    database = Path(str(sa.make_url(url).database))
    database.mkdir()  # in the place of the file
    pipeline = Pipeline(Settings(url=url, timeout=0.2, spool=str(tmp_path)))
    with pytest.raises(StoreError):
        pipeline.replay()
    assert not list(tmp_path.rglob("*.broken"))
    database.rmdir()
    assert pipeline.replay() == 2
    pipeline.close()
    assert stored(url) == 2
    assert len(list(tmp_path.rglob("*.broken"))) == 1


def test_each_database_has_its_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is the file it was, and schemas are apart; user, password and options do not matter."""

    def names(*places: tuple[str, str | None]) -> int:
        return len({spool_of(url, tmp_path, schema)._directory for url, schema in places})

    assert names(*((f"postgresql://u:{word}@h:1/d?pool_size=2", None) for word in ("a", "b"))) == 1
    assert names(("postgresql+psycopg2://h/d", "a"), ("postgresql://h/d?sslmode=require", "a")) == 1
    assert names(("postgresql://h/d", "a"), ("postgresql://h/d", "b"), ("postgresql://h/d", None)) == 3
    assert names(("postgresql:///d?host=/one", None), ("postgresql:///d?host=/two", None)) == 2
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        pipeline = Pipeline(Settings(url="sqlite:///llm.db", timeout=0.2, spool=str(tmp_path / "spool")))
        if place == "one":
            Path("llm.db").mkdir()
            with pytest.raises(StoreError):
                pipeline.deliver(chats(0, 3))
        else:
            pipeline.deliver(chats(3, 1))
        pipeline.close(0.1)
    assert stored(f"sqlite:///{tmp_path / 'two' / 'llm.db'}") == 1
    (tmp_path / "one" / "llm.db").rmdir()
    back = Pipeline(Settings(url=f"sqlite:///{tmp_path / 'one' / 'llm.db'}", spool=str(tmp_path / "spool")))
    assert back.replay() == 3
    back.close()


def test_an_export_under_way_while_the_pipeline_closes(new_database: Callable[[str], str], tmp_path: Path) -> None:
    """What fails after everything was put aside goes to a file as well: nobody would try it again."""
    url = new_database("postgresql")
    pipeline = Pipeline(Settings(url=url, timeout=3, spool=str(tmp_path)))
    pipeline.deliver(chats(0, 1))
    engine = create_engine(url)
    with engine.connect() as connection, connection.begin() as held:
        connection.exec_driver_sql("LOCK TABLE llm_locks IN ACCESS EXCLUSIVE MODE")
        exporting = threading.Thread(target=_refused, args=(pipeline, chats(1, 2)))
        exporting.start()
        wait_until_locked(engine)
        pipeline.close(0.1)
        exporting.join()
        held.rollback()
    engine.dispose()
    assert (pipeline.spooled, pipeline.dropped) == (2, 0)
    assert Pipeline(Settings(url=url, spool=str(tmp_path))).replay() == 2
    assert stored(url) == 3


def test_what_is_kept_has_a_bound() -> None:
    """While nothing can be stored the oldest telemetry makes room for the newest, and is counted."""
    settings = Settings(url="postgresql://nobody@127.0.0.1:1/none", timeout=0.2, backlog_bytes=20_000, spool="off")
    pipeline = Pipeline(settings)
    for first in range(0, 100, 10):
        with contextlib.suppress(StoreError):
            pipeline.deliver(chats(first, 10))
    assert pipeline.dropped == 100 - 10 * len(pipeline._backlog._batches)
    assert 0 < len(pipeline._backlog) < 100
    pipeline.close(0.1)


def test_what_a_process_could_not_store_the_next_one_does(url: str, tmp_path: Path) -> None:
    """An older schema, and a process that ends: its telemetry is in a file of its owner's, and `replay` stores it."""
    engine = create_engine(url)
    versions.migrate(engine, "0001")
    settings = Settings(url=url, timeout=1, backlog_bytes=40_000, spool=str(tmp_path))
    pipeline = Pipeline(settings)
    for first in range(0, 60, 20):
        with pytest.raises(StoreError):
            pipeline.deliver(chats(first, 20))
    pipeline.close()
    assert (pipeline.stored, pipeline.spooled, pipeline.dropped) == (0, 60, 0)
    files = list(tmp_path.rglob("*.jsonl"))
    assert files
    assert {path.stat().st_mode & 0o077 for path in files} == {0}
    versions.migrate(engine)
    engine.dispose()
    later = Pipeline(settings)
    assert later.replay() == 60
    later.close()
    assert stored(url) == 60
    assert not list(tmp_path.rglob("*.jsonl"))


def test_kept_telemetry_follows_the_next_delivery(new_database: Callable[[str], str], tmp_path: Path) -> None:
    """Nobody has to replay: the first delivery that succeeds takes along what earlier processes left."""
    url = new_database("sqlite")
    spool_of(url, tmp_path).write([operation for signal in chats(0, 5) if (operation := read(signal))])
    pipeline = Pipeline(Settings(url=url, spool=str(tmp_path)))
    pipeline.deliver(chats(5, 1))
    pipeline.close()
    assert stored(url) == 6


def test_many_threads_one_pipeline(pipeline: Pipeline, url: str) -> None:
    """SDK-03: eight threads deliver at once: all is stored."""
    threads = [threading.Thread(target=pipeline.deliver, args=(chats(n * 20, 20),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stored(url) == 160


def test_after_fork_the_child_delivers_too(url: str) -> None:
    """F04: a child forked while the parent's lock was held delivers; what the parent keeps is not doubled."""
    pipeline = shared(Settings(url=url))
    pipeline.deliver(chats(0, 2))
    pipeline._keep(chats(50, 1))
    with pipeline._lock:
        child = os.fork()
        if child == 0:
            try:
                shared(Settings(url=url)).deliver(chats(2, 3))
            finally:
                os._exit(0 if stored(url) == 5 else 1)
    assert os.waitpid(child, 0)[1] == 0
    pipeline.deliver(chats(5, 1))
    assert stored(url) == 7
    pipeline.close()


@pytest.mark.parametrize("kind", ["sqlite"])
def test_a_fork_in_the_middle_of_a_checkpoint(url: str) -> None:
    """F04: a process that forks as soon as much is committed, and its child, both write on, and nothing is lost."""
    pipeline = shared(Settings(url=url))
    for first in range(0, 6000, 2000):
        pipeline.deliver(chats(first, 1000))
        child = os.fork()
        if child == 0:
            try:
                shared(Settings(url=url)).deliver(chats(first + 1000, 1000))
            finally:
                os._exit(0 if stored(url) >= first + 1000 else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert stored(url) == 6000
    pipeline.close()
