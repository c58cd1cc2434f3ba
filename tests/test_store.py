"""The writer against real databases: the same telemetry gives the same rows, however it is delivered."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import telemetry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_llm_sql.errors import RejectedRowsError
from otel_llm_sql.records import REPAIRED, Operation
from otel_llm_sql.rows import COLUMNS, TABLES, resolve
from otel_llm_sql.schema.tables import metadata
from otel_llm_sql.settings import Settings
from otel_llm_sql.store import writer as writer_module
from otel_llm_sql.store.dialects import DIALECTS
from otel_llm_sql.store.reader import Reader
from otel_llm_sql.store.writer import Letter, Writer

pytestmark = pytest.mark.quick

Rows = dict[str, list[dict[str, object]]]


def rows_of(writer: Writer) -> Rows:
    """All rows, by table, in the order of their keys."""
    found = {}
    with writer.engine.connect() as connection:
        for table in TABLES:
            rows = [dict(row._mapping) for row in connection.execute(sa.select(metadata.tables[table]))]
            found[table] = sorted(rows, key=lambda row: str(list(row.values())[:2]))
    return found


def soon() -> float:
    """A deadline that no test reaches."""
    return time.monotonic() + 60


def deliver(url: str, batches: Iterable[list[Operation]]) -> Rows:
    """Write batches to an empty database; its rows."""
    writer = Writer(Settings(url=url))
    for batch in batches:
        writer.write(copy.deepcopy(batch), soon())
    rows = rows_of(writer)
    writer.close()
    return rows


@pytest.fixture
def writer(url: str) -> Iterator[Writer]:
    """A writer to an empty database of each kind."""
    made = Writer(Settings(url=url))
    yield made
    made.close()


def test_order_batches_and_repetition_leave_no_trace(kind: str, new_database: Callable[[str], str]) -> None:
    """Shuffled, split and partly repeated in any way Hypothesis thinks of: the same rows in every table."""
    whole = deliver(new_database(kind), [telemetry.everything()])
    again = Writer(Settings(url=new_database(kind)))

    @settings(
        max_examples=40 if kind == "sqlite" else 8,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def delivered(chance: random.Random) -> None:
        for batch in telemetry.split(telemetry.everything(), chance):
            again.write(copy.deepcopy(batch), soon())
        assert rows_of(again) == whole
        with again.engine.begin() as connection:
            connection.execute(sa.delete(metadata.tables["llm_sessions"]))

    delivered()
    again.close()


def test_four_processes_at_once(kind: str, new_database: Callable[[str], str]) -> None:
    """Four processes deliver all of it at the same time, each in an order of its own: the same rows, none lost."""
    whole = deliver(new_database(kind), [telemetry.everything()])
    url = new_database(kind)
    processes = [
        subprocess.Popen([sys.executable, str(Path(__file__).with_name("deliver_process.py")), url, str(seed)])
        for seed in range(4)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0, 0]
    reader = Writer(Settings(url=url))
    assert rows_of(reader) == whole
    reader.close()


@pytest.mark.parametrize(
    ("outer", "inner"),
    [("opentelemetry.instrumentation.langchain", "scope.client"), ("scope.anthropic", "com.anthropic.sdk.python")],
)
def test_twins_without_a_link_at_once(url: str, outer: str, inner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two spans of one call that only the clock ties, in two traces, written at the same moment: one row."""
    spans = (
        telemetry.span(1, 1, ms=1000, scope_name=outer, input_tokens=3, output_tokens=5),
        telemetry.span(2, 1, at=100, ms=500, scope_name=inner, input_tokens=3, output_tokens=5, response_id="r"),
    )
    # The first such span of a database tells that they are to be looked for: here an hour ago.
    before = telemetry.span(3, 1, at=-3_600_000, scope_name=outer)
    writers = [Writer(Settings(url=url)) for _ in spans]
    for writer in writers:
        writer.write([copy.deepcopy(before)], soon())
    both = threading.Barrier(2)

    def apply_with_the_other(*arguments: object) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(1)  # who has to wait for a lock does not come here in time
        applied(*arguments)  # type: ignore[arg-type]

    applied = writer_module.apply
    monkeypatch.setattr(writer_module, "apply", apply_with_the_other)
    threads = [
        threading.Thread(target=writer.write, args=([span], soon()))
        for writer, span in zip(writers, spans, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = rows_of(writers[0])["llm_operations"]
    assert [row["input_tokens"] for row in rows if row["input_tokens"]] == [3]
    for writer in writers:
        writer.close()


@pytest.mark.parametrize("minutes", [1, 12, 25, 30 * 60])
def test_twins_of_a_long_call(kind: str, minutes: int, new_database: Callable[[str], str]) -> None:
    """A gateway's span around a client's that began near its end: one row in any order, however long it lasted."""
    lasted = minutes * 60_000
    gateway = telemetry.span(1, 1, ms=lasted, scope_name="gateway", response_id="r", input_tokens=3)
    client = telemetry.span(2, 1, at=lasted - 9_000, ms=8_000, scope_name="client", response_id="r", input_tokens=3)
    whole = deliver(new_database(kind), [[gateway, client]])
    assert len(whole["llm_operations"]) == 1
    assert deliver(new_database(kind), [[gateway], [client]]) == whole
    assert deliver(new_database(kind), [[client], [gateway]]) == whole


def test_one_call_one_row(writer: Writer) -> None:
    """Twins become one operation: the innermost span gives identity and usage, the outer one messages and session."""
    writer.write(telemetry.agent_run(0x30, "run"), soon())
    rows = rows_of(writer)
    operations = sorted(rows["llm_operations"], key=lambda row: row["timestamp"])
    assert [(row["operation_type"], row["input_tokens"], row["cost"]) for row in operations] == [
        ("invoke_agent", None, None),
        ("chat", 7, 0.5),
        ("execute_tool", None, None),
        ("chat", 20, 0.7),
    ]
    assert {row["session_id"] for row in operations} == {rows["llm_sessions"][0]["session_id"]}
    assert len(rows["llm_spans"]) == 6
    assert [len(row["message_ids"] or []) for row in operations] == [2, 2, 1, 4]
    session = rows["llm_sessions"][0]
    assert (session["session_key"], session["workspace"], session["agent_id"]) == ("run", "w", "bob")
    assert (session["user_id"], session["metadata"]) == ("u", {"tier": "gold"})


def test_calls_that_are_told_apart(writer: Writer) -> None:
    """Where nothing but the clock ties a library's own span to its instrumentation's, they are one call; once each."""
    writer.write(telemetry.told_apart(1), soon())
    operations = sorted(rows_of(writer)["llm_operations"], key=lambda row: row["timestamp"])
    assert [(row["latency_ms"], row["input_tokens"], len(row["message_ids"] or ())) for row in operations] == [
        (85, 11, 2),
        (80, 11, 2),
        (48, 11, 2),
        (10, None, 0),
        (48, None, 1),
        (10, 11, 0),
    ]


def test_a_stream_that_two_spans_tell(writer: Writer) -> None:
    """An answer continues the request directly before it; an abandoned request stays a call of its own."""
    writer.write(telemetry.streams(1), soon())
    rows = rows_of(writer)
    operations = sorted(rows["llm_operations"], key=lambda row: (row["timestamp"], row["trace_id"]))
    assert [(row["latency_ms"], row["input_tokens"]) for row in operations] == [(8, None), (20, 5), (200, 4)]
    assert {row["session_key"] for row in rows["llm_sessions"]} == {None, "streams"}


def test_what_a_step_knows_of_an_answer(writer: Writer) -> None:
    """The last call in a step has what only the step tells, where their tokens agree."""
    writer.write(telemetry.steps(1), soon())
    calls = [row for row in rows_of(writer)["llm_operations"] if row["operation_type"] == "chat"]
    told = ("response_id", "model", "finish_reason", "input_tokens", "output_tokens", "reasoning_output_tokens")
    assert {row["span_id"][-1]: [row[name] for name in told] for row in calls} == {
        "2": [None, "gpt-4o-mini", None, None, None, None],
        "6": ["s1", "gpt-4o-mini-2024-07-18", "stop", 3, 2, 1],
        "5": [None, "gpt-4o-mini", None, 4, None, None],
        "1": ["s1+", "gpt-4o-mini", None, 3, 2, None],
    }


def test_history_is_stored_once(writer: Writer) -> None:
    """Each call sends all that was said before: every message has one row, and the transcript repeats nothing."""
    writer.write(telemetry.conversation(1, 4, "talk"), soon())
    transcript = sa.text(
        "SELECT role, content FROM llm_messages JOIN llm_operations USING (operation_id)"
        " ORDER BY llm_operations.timestamp, sequence_number"
    )
    with writer.engine.connect() as connection:
        said = [tuple(row) for row in connection.execute(transcript)]
        carried = connection.execute(sa.text("SELECT COUNT(*) FROM llm_operation_messages")).scalar_one()
    assert said == [
        ("system", "Be brief."),
        ("user", "question 0"),
        ("assistant", "answer 0"),
        ("user", "question 1"),
        ("assistant", "answer 1"),
        ("user", "question 2"),
        ("assistant", "answer 0"),
        ("user", "question 0"),
        ("assistant", "answer 1"),
    ]
    assert carried == 3 + 5 + 7 + 9


def test_calls_at_the_same_time_stay_two(writer: Writer) -> None:
    """Siblings with one prompt and one response id are two calls; of two tries the last is the outer span's."""
    writer.write(telemetry.retries(5), soon())
    rows = rows_of(writer)["llm_operations"]
    assert {row["span_id"][-1]: row["status"] for row in rows} == {"2": "error", "3": "ok", "4": "ok", "5": "ok"}
    assert len(rows) == 4
    assert [row["span_id"][-1] for row in rows if row["message_ids"] and len(row["message_ids"]) == 2] == ["3"]


def test_other_work_inside_a_call_is_its_own(writer: Writer) -> None:
    """Twins may end less than a millisecond apart; an embedding or another model inside a call is no twin."""
    writer.write(telemetry.hard_cases(0x90), soon())
    rows = [row for row in rows_of(writer)["llm_operations"] if row["trace_id"].endswith("90")]
    assert sorted((row["span_id"][-1], row["operation_type"], row["input_tokens"]) for row in rows) == [
        ("2", "chat", 5),
        ("3", "embeddings", 9),
        ("4", "chat", 1),
    ]


def test_who_and_where_is_said_around_a_call(writer: Writer) -> None:
    """Session and user that only an HTTP request names hold for the calls in it, also when it arrives last."""
    question = telemetry.said("user", "where am I?")
    calls = [telemetry.span(1, 2, parent=1, messages=[question]), telemetry.span(1, 3, at=1, parent=1, user_id="cyd")]
    for call in calls:
        writer.write([call], soon())
    request = telemetry.surroundings(1, 1, session_key="web", workspace="shop", user_id="ann")
    for _ in range(2):
        writer.write([request], soon())
    rows = rows_of(writer)
    assert {row["user_id"] for row in rows["llm_operations"]} == {"ann", "cyd"}
    (session,) = rows["llm_sessions"]
    assert (session["session_key"], session["workspace"], session["user_id"]) == ("web", "shop", "ann")
    assert {row["operation_id"] for row in rows["llm_spans"] if row["span_id"].endswith("1")} == {None}
    assert len(rows["llm_messages"]) == 1


def test_one_uuid_is_one_session(writer: Writer) -> None:
    """A session key that is a UUID is the session's id however it is spelled; the earliest spelling is shown."""
    writer.write(telemetry.hard_cases(0x90), soon())
    (session,) = [row for row in rows_of(writer)["llm_sessions"] if row["session_id"].startswith("7c9e6679")]
    assert session["session_key"] == "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    assert (session["workspace"], session["agent_id"]) == ("two", "a")


def test_a_message_moves_to_the_earlier_call(writer: Writer) -> None:
    """When an earlier operation of the session arrives later, its messages move to it."""
    early, late = telemetry.conversation(1, 2, "talk")
    writer.write([late], soon())
    first = {row["message_id"]: row["operation_id"] for row in rows_of(writer)["llm_messages"]}
    writer.write([early], soon())
    then = {row["message_id"]: row["operation_id"] for row in rows_of(writer)["llm_messages"]}
    assert first.keys() == then.keys()
    assert sum(first[key] != then[key] for key in then) == 3


def test_pending_until_the_span_arrives(writer: Writer) -> None:
    """Content events of an unknown span make a pending operation; the span completes it."""
    call, *events = telemetry.with_events(7)
    writer.write(events, soon())
    assert {row["status"] for row in rows_of(writer)["llm_operations"]} == {"pending"}
    writer.write([call], soon())
    rows = rows_of(writer)
    assert sorted(row["status"] for row in rows["llm_operations"]) == ["ok", "pending"]
    assert len(rows["llm_messages"]) == 4


def test_rows_have_the_columns_of_their_table(url: str) -> None:
    """Every inserted row has the columns of its table, all of them, in their order."""
    writer = Writer(Settings(url=url))
    writer.write([], soon())
    with writer.engine.connect() as connection:
        known = Reader(connection, DIALECTS[connection.dialect.name], lambda _: None)
        batch = resolve(telemetry.everything(), known, lambda _: None)
    for table in TABLES:
        assert COLUMNS[table] == tuple(metadata.tables[table].c.keys())
        assert {len(row) for row in batch.inserts[table]} == {len(COLUMNS[table])}
    writer.close()


def test_a_constant_number_of_statements(writer: Writer) -> None:
    """Five hundred operations take no more statements than ten."""
    writer.write(telemetry.conversation(1, 1), soon())
    counts = []
    executed: list[str] = []
    sa.event.listen(writer.engine, "before_cursor_execute", lambda *args: executed.append(args[2]))
    for first, size in ((1000, 10), (5000, 500)):
        executed.clear()
        writer.write(telemetry.conversation(first, size, f"s{first}"), soon())
        counts.append(len(executed))
    assert counts[1] <= counts[0] <= 12


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_deadlock_costs_nothing(writer: Writer) -> None:
    """Somebody who locks in the wrong order makes a deadlock: whoever is chosen to give way, the rows are there."""
    writer.write([], soon())
    stripes = "SELECT stripe FROM llm_locks WHERE stripe {} ORDER BY stripe FOR UPDATE"
    writing = threading.Thread(target=writer.write, args=(telemetry.conversation(1, 20, "talk"), soon()))
    wants_sessions = threading.Event()
    locking: list[str] = []
    errors: list[str] = []

    def executing(*arguments: object) -> None:
        statement = str(arguments[2])
        if threading.current_thread() is writing and "FOR UPDATE" in statement:
            locking.append(statement)
            if len(locking) == 2:
                wants_sessions.set()

    sa.event.listen(writer.engine, "before_cursor_execute", executing)
    sa.event.listen(writer.engine, "handle_error", lambda context: errors.append(str(context.original_exception)))
    with writer.engine.connect() as other:
        other.execute(sa.text(stripes.format(">= 512"))).all()
        writing.start()
        assert wants_sessions.wait(30)  # from now on each has what the other wants
        try:
            other.execute(sa.text(stripes.format("< 512"))).all()
        except sa.exc.OperationalError:
            other.rollback()
    writing.join()
    assert len(errors) == 1
    assert "deadlock" in errors[0].lower()
    assert len(rows_of(writer)["llm_operations"]) == 20


def test_many_traces_are_locked_at_once(writer: Writer) -> None:
    """A batch of many traces and one of few wait for each other, and both are stored whole."""
    writer.write([], soon())
    many = [telemetry.span(trace, 1) for trace in range(1, 200)]
    few = [telemetry.span(1, 2), telemetry.span(1, 3)]
    threads = [threading.Thread(target=writer.write, args=(load, soon())) for load in (many, few, many, few)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows_of(writer)["llm_operations"]) == 201


def test_a_refused_row_is_named_as_refused(writer: Writer) -> None:
    """What the database never takes is told apart from what it does not take now; the error quotes no content."""
    writer.write([], soon())
    with writer.engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(
                "CREATE TRIGGER no BEFORE INSERT ON llm_operations WHEN NEW.model = 'poison'"
                " BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )
        else:
            connection.exec_driver_sql("ALTER TABLE llm_operations ADD CONSTRAINT no CHECK (model <> 'poison')")
    poison = telemetry.span(1, 1, model="poison", messages=[telemetry.said("user", "MARKER")])
    with pytest.raises(RejectedRowsError) as refused:
        writer.write([poison], soon())
    assert "MARKER" not in str(refused.value)
    assert rows_of(writer)["llm_operations"] == []


def test_prompts_of_any_size(kind: str, writer: Writer) -> None:
    """A prompt of 20 MB is stored whole, but where the server's statements are smaller: there it is cut and flagged."""
    prompt = "naïve 'quoted' text " * 1_000_000
    call = telemetry.span(1, 1, messages=[telemetry.said("user", prompt), telemetry.said("assistant", "ok", "output")])
    writer.write([call, telemetry.span(2, 1)], soon())
    rows = rows_of(writer)
    content = {row["role"]: row["content"] for row in rows["llm_messages"]}
    extras = next(row["extras"] for row in rows["llm_operations"] if row["message_ids"])
    if kind == "mariadb":
        assert prompt.startswith(content["user"])
        assert len(content["user"]) > 10_000_000
        assert "max_allowed_packet" in extras[REPAIRED]["llm_messages.content"]
    else:
        assert content["user"] == prompt
        assert extras is None


def test_text_that_looks_like_the_wire_format(writer: Writer) -> None:
    """Tabs, newlines, backslashes, quotes, emoji and the word NULL come back as they went in."""
    text = "a\tb\nc\rd\\e\\N 'f' \"g\" %s :h ? \N{GRINNING FACE} \\."
    messages = [telemetry.said("user", text), telemetry.said("user", "")]
    call = telemetry.span(1, 1, messages=messages, extras={"k": text}, error_message=text)
    writer.write([call], soon())
    rows = rows_of(writer)
    assert sorted(str(row["content"]) for row in rows["llm_messages"]) == sorted([text, ""])
    assert rows["llm_operations"][0]["extras"] == {"k": text}
    assert rows["llm_operations"][0]["error_message"] == text


def test_letters_are_kept_once(writer: Writer) -> None:
    """The same dead letter put away twice is one row."""
    letter = Letter("0b3f1c62-6a0e-4f5e-9d55-0f5c1f0a9a01", telemetry.START, "why", json.dumps({"a": 1}))
    assert [writer.bury([letter, letter], soon()), writer.bury([letter], soon())] == [1, 0]
    with writer.engine.connect() as connection:
        assert connection.execute(sa.text("SELECT reason FROM llm_dead_letters")).scalars().all() == ["why"]


def test_psycopg_3_copies_too(new_database: Callable[[str], str]) -> None:
    """The same rows through psycopg 3 as through psycopg 2."""
    whole = deliver(new_database("postgresql"), [telemetry.everything()])
    url = new_database("postgresql").replace("postgresql://", "postgresql+psycopg://")
    parts = telemetry.split(telemetry.everything(), random.Random(1))
    assert deliver(url, parts) == whole


def test_a_constant_response_id_is_no_flood(writer: Writer) -> None:
    """A server that answers every call with one id: calls far apart stay rows of their own, and are not even read."""
    calls = [telemetry.span(n, 1, at=n * 10_000, response_id="chatcmpl-123") for n in range(1, 101)]
    writer.write(calls[:99], soon())
    with writer.engine.connect() as connection:
        known = Reader(connection, DIALECTS[connection.dialect.name], lambda _: None)
        last = calls[99].timestamp
        assert known.calls({"chatcmpl-123"}, last - 2_000_000, last + 100_000) == set()
        assert len(known.calls({"chatcmpl-123"}, calls[49].timestamp, calls[50].timestamp)) == 2
    writer.write(calls[99:], soon())
    assert len(rows_of(writer)["llm_operations"]) == 100
