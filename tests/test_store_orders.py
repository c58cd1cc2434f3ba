"""What a stored operation says although its row stays as it is: every order of a few signals gives the same rows."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import permutations

import pytest
import sqlalchemy as sa
import telemetry
from telemetry import said, span, surroundings
from test_store import Rows, rows_of, soon

from otel_llm_sql.records import ANSWER, REPAIRED, Operation
from otel_llm_sql.schema.tables import metadata
from otel_llm_sql.settings import Settings
from otel_llm_sql.store.engines import create_engine
from otel_llm_sql.store.writer import Writer

pytestmark = pytest.mark.quick

KEY = "0b1e0000-0000-4000-8000-00000000000a"
TRACE = f"{1:032x}"


def written(writer: Writer, batches: list[list[Operation]]) -> Rows:
    """The rows that batches give in an empty database."""
    for batch in batches:
        writer.write(copy.deepcopy(batch), soon())
    rows = rows_of(writer)
    with writer.engine.begin() as connection:
        for table in ("llm_spans", "llm_sessions"):
            connection.execute(sa.delete(metadata.tables[table]))
    return rows


def in_all_orders(url: str, signals: list[Operation]) -> Rows:
    """The rows of signals: the same together and in every order, in halves and one by one, the first of them twice."""
    writer = Writer(Settings(url=url))
    whole = written(writer, [signals])
    for order in permutations(signals):
        assert written(writer, [[signal] for signal in (*order, order[0])]) == whole
        half = len(order) // 2
        assert written(writer, [list(order[:half]), list(order[half:])]) == whole
    writer.close()
    return whole


SESSIONS: dict[str, tuple[list[Operation], list[tuple[object, ...]]]] = {
    "a nearer span knows the workspace": (
        [
            surroundings(1, 1, session_key=KEY),
            surroundings(1, 2, parent=1, session_key=KEY, workspace="w1"),
            span(1, 3, parent=2),
        ],
        [(KEY, "w1")],
    ),
    "another operation of the session still has the workspace that one has no more": (
        [
            surroundings(1, 1, session_key=KEY, workspace="w1"),
            surroundings(1, 2, parent=1, session_key=KEY, workspace="w2"),
            span(1, 3, parent=2),
            span(2, 1, session_key=KEY),
        ],
        [(KEY, "w2")],
    ),
    "an operation names another session than it did, and who inherits the name stays": (
        [
            span(1, 2, ms=5, session_key="s", workspace="w1"),
            span(1, 2, ms=9, session_key="t"),
            span(2, 1, ms=5, parent=9),
            surroundings(2, 9, session_key="s", workspace="w1"),
        ],
        [("s", "w1"), ("t", None)],
    ),
    "only a content event knows the workspace": (
        [span(1, 1), telemetry.event(1, 1, None, workspace="w2", operation_type="chat")],
        [(None, "w2")],
    ),
    "a session named like the trace": (
        [span(1, 1, session_key=TRACE), span(1, 2, workspace="w1")],
        [(TRACE, None)],
    ),
    "a session named like a trace that two others are named in": (
        [span(1, 1, session_key=TRACE), span(1, 2, workspace="w1"), span(1, 3, session_key="s")],
        [(TRACE, None), ("s", None)],
    ),
    "a span names the session of its event": (
        [
            span(1, 2, at=5, parent=1, session_key="s", workspace="w"),
            telemetry.event(1, 1, said("user", "hello")),
            surroundings(1, 1, session_key="s", workspace="w"),
        ],
        [("s", "w")],
    ),
}


@pytest.mark.parametrize("case", SESSIONS)
def test_who_names_a_session(url: str, case: str) -> None:
    """Key and workspace of a session, and who told them, do not depend on who came first."""
    signals, named = SESSIONS[case]
    rows = in_all_orders(url, signals)["llm_sessions"]
    assert sorted(((row["session_key"], row["workspace"]) for row in rows), key=repr) == sorted(named, key=repr)


PLAIN, NAMED = said("tool", "42", tool_call_id="c"), said("tool", "42", tool_call_id="c", tool_name="lookup")

TOOLS: dict[str, list[Operation]] = {
    "the root that names the session of the one who knows it": [
        span(1, 2, session_key="s", messages=[PLAIN]),
        span(2, 2, at=10, parent=1, messages=[NAMED]),
        surroundings(2, 1, session_key="s"),
    ],
    "the roots of two": [
        span(1, 2, parent=1, messages=[PLAIN]),
        span(2, 2, at=10, parent=1, messages=[NAMED]),
        surroundings(1, 1, session_key="s"),
        surroundings(2, 1, session_key="s"),
    ],
    "the span of an event": [
        telemetry.event(1, 1, PLAIN),
        telemetry.event(1, 2, NAMED, at=5),
        span(1, 2, session_key=KEY),
    ],
}


@pytest.mark.parametrize("last", TOOLS)
def test_a_message_takes_the_name_of_its_tool_along(url: str, last: str) -> None:
    """Who moves to a session where others said the same before brings the name that only it told."""
    assert [row["tool_name"] for row in in_all_orders(url, TOOLS[last])["llm_messages"]] == ["lookup"]


OTHERWISE = said("tool", "42", tool_call_id="c", tool_name="search")

NAMES: dict[str, tuple[list[Operation], list[str | None]]] = {
    "with who leaves the session again": (
        [
            span(1, 1, operation_type="execute_tool", messages=[NAMED]),
            span(1, 2, session_key="s", messages=[OTHERWISE]),
            span(1, 3, session_key="t"),
        ],
        ["lookup", "search"],
    ),
    "with who leaves a session where nobody else knows it": (
        [
            span(1, 1, messages=[NAMED]),
            span(1, 2, session_key="s", messages=[PLAIN]),
            span(1, 3, session_key="t"),
        ],
        ["lookup", None],
    ),
    "with its operation alone": (
        [
            span(1, 2, parent=1, messages=[PLAIN]),
            span(2, 1, session_key=TRACE, messages=[NAMED]),
            surroundings(1, 1, session_key="s"),
        ],
        ["lookup", None],
    ),
    "with the record of a span that saw more": (
        [
            span(1, 1, ms=5, session_key="s", messages=[NAMED]),
            span(1, 1, ms=9, session_key="s", messages=[PLAIN]),
            span(2, 1, session_key="s", messages=[PLAIN]),
        ],
        [None],
    ),
    "with the span that names it alone": (
        [
            span(1, 1, session_key="s", messages=[PLAIN]),
            span(1, 1, session_key="s", messages=[NAMED]),
            span(2, 1, session_key="s", messages=[OTHERWISE]),
        ],
        ["lookup"],
    ),
    "with an event": (
        [
            telemetry.event(1, 1, PLAIN),
            telemetry.event(1, 1, NAMED),
            span(1, 1, session_key="s"),
            span(2, 1, session_key="s", messages=[OTHERWISE]),
        ],
        ["lookup"],
    ),
    "with what is not shown, until it is": (
        [
            span(1, 1, ms=100, scope_name="outer", messages=[NAMED]),
            span(1, 2, at=1, ms=5, parent=1, messages=[said("user", "42?")]),
            span(1, 3, at=10, ms=5, parent=1),
        ],
        ["lookup", None],
    ),
}


@pytest.mark.parametrize("goes", NAMES)
def test_the_name_of_a_tool_goes(url: str, goes: str) -> None:
    """A message has the smallest name that those tell for it who carry it at last, whoever did in between."""
    signals, names = NAMES[goes]
    rows = in_all_orders(url, signals)["llm_messages"]
    assert sorted((row["tool_name"] for row in rows), key=repr) == sorted(names, key=repr)


STEP: dict[str, object] = {"operation_type": "chain", "provider": None, "model": None, "request_model": None}
ANSWERED: dict[str, object] = {"extras": {ANSWER: {"model": "gpt-4o-mini-2024-07-18", "output_tokens": 5}}, **STEP}
TOLD_TWICE = [
    span(1, 2, at=1, ms=10, parent=1, response_id="r", scope_name="client"),
    span(2, 2, ms=50, parent=1, response_id="r"),
    span(2, 1, ms=100, **ANSWERED),
]

NEWS: dict[str, list[Operation]] = {
    "its session": [surroundings(1, 9, session_key="s")],
    "a call beside it": [
        span(1, 1, ms=200, extras={ANSWER: {}}, **STEP),
        span(1, 3, at=60, ms=50, parent=1, response_id="other"),
        span(3, 1, at=61, ms=10, response_id="other", scope_name="client"),
    ],
}


@pytest.mark.parametrize("news", NEWS)
def test_a_step_completes_a_call_that_is_told_in_another_trace(url: str, news: str) -> None:
    """Whatever is heard of a call afterwards, it keeps what the step around one of its spans knows of its answer."""
    signals = [*TOLD_TWICE, *NEWS[news]]
    writer = Writer(Settings(url=url))
    whole = written(writer, [signals])
    for first in range(len(signals)):
        assert written(writer, [[signal] for signal in signals[first:] + signals[:first]]) == whole
    writer.close()
    told = [(row["model"], row["output_tokens"]) for row in whole["llm_operations"] if row["response_id"] == "r"]
    assert told == [("gpt-4o-mini-2024-07-18", 5)]


def test_a_record_that_knows_no_response_id_unties_what_another_tied(url: str) -> None:
    """Of a span that is told twice, what the lesser record says leaves no trace in which spans are one call."""
    signals = [
        span(1, 1, at=5, response_id="r"),
        span(2, 1, ms=3000, response_id="r", scope_name="gateway", input_tokens=1),
        span(1, 2, at=10, ms=5, parent=1, response_id="r", input_tokens=2),
        span(1, 2, at=10, ms=9, parent=1),
    ]
    assert len(in_all_orders(url, signals)["llm_operations"]) == 1


@pytest.fixture
def small_statements(kind: str, url: str) -> Iterator[str]:
    """URL of an empty database whose statements hold a megabyte, where they have a limit at all."""
    if kind != "mariadb":
        yield url
        return
    engine = create_engine(url)
    with engine.connect() as connection:
        usual = connection.exec_driver_sql("SELECT @@GLOBAL.max_allowed_packet").scalar_one()
        connection.exec_driver_sql(f"SET GLOBAL max_allowed_packet = {1024 * 1024}")
        yield url
        connection.exec_driver_sql(f"SET GLOBAL max_allowed_packet = {usual}")
    engine.dispose()


LARGE = "naïve 'quoted' text " * 100_000
PROMPT = said("user", LARGE)

CUT: dict[str, tuple[str, list[Operation], list[bool]]] = {
    "sent again": (
        "llm_messages.content",
        [
            span(1, 2, parent=1, messages=[PROMPT]),
            surroundings(1, 1, session_key="s"),
            span(2, 1, at=-10, session_key="s", messages=[PROMPT]),
        ],
        [True, True],
    ),
    "of a call in a call": (
        "llm_messages.content",
        [
            span(1, 1, messages=[PROMPT], scope_name="outer", session_key="s"),
            span(1, 2, at=1, ms=50, parent=1, input_tokens=3),
            telemetry.event(1, 3, said("user", "else")),
        ],
        [False, True],
    ),
    "an error": (
        "llm_operations.error_message",
        [
            span(1, 2, parent=1, status="error", error_message=LARGE, extras={REPAIRED: {"a": "b"}}),
            surroundings(1, 1, session_key="s"),
            span(1, 3, at=5, operation_type="execute_tool"),
        ],
        [False, True],
    ),
}


@pytest.mark.parametrize("case", CUT)
def test_what_was_cut_stays_flagged(kind: str, small_statements: str, case: str) -> None:
    """Who told what a statement cannot carry says that it was cut, in whatever order and however often it comes."""
    column, signals, cut = CUT[case]
    rows = in_all_orders(small_statements, signals)
    repaired = [(row["extras"] or {}).get(REPAIRED) or {} for row in rows["llm_operations"]]  # type: ignore[attr-defined]
    flagged = [told.get(column) for told in repaired]
    assert {told["a"] for told in repaired if "a" in told} <= {"b"}
    text = "cut from 2000000 characters: max_allowed_packet"
    assert sorted(flagged, key=bool) == [text if was and kind == "mariadb" else None for was in cut]
