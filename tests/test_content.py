"""`capture_content` in all its modes: what is stored of that which was said, in the database and in files."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext
from recordings import CASES, FOLDER, Case, load

from otel_llm_sql import LlmSqlSpanExporter
from otel_llm_sql.conventions import content, read
from otel_llm_sql.intake.otlp import signals_from_traces
from otel_llm_sql.intake.signal import Signal, SpanEvent
from otel_llm_sql.letters import letter_of_signal
from otel_llm_sql.pipeline import Pipeline
from otel_llm_sql.records import Message
from otel_llm_sql.settings import Settings
from otel_llm_sql.spool import Spool, operation_json
from otel_llm_sql.store.urls import database_url
from otel_llm_sql.testing import Row, chat_spans, stored

pytestmark = pytest.mark.quick

TOOLS = "otel-genai-openai.span_only/tools"
SYSTEM, RESULT = "You are a terse geography assistant.", "18C, sunny in Paris"
KEY = "the-hash-key"
ASKED = "Write to ada@example.com, card 4111 1111 1111 1111"
KEPT = "Write to [email], card [card]"


def recorded_spans() -> list[ReadableSpan]:
    """The recorded conversation with tool calls, as spans of the SDK."""
    signals = signals_from_traces((FOLDER / TOOLS / "traces.pb").read_bytes())
    return [
        ReadableSpan(
            name=signal.name,
            context=SpanContext(int(signal.trace_id, 16), int(signal.span_id, 16), is_remote=False),
            attributes={**signal.attributes, "gen_ai.conversation.id": "one"},
            start_time=signal.start_ns,
            end_time=signal.end_ns,
        )
        for signal in signals
    ]


def exported(url: str, spans: list[ReadableSpan], **settings: Any) -> dict[str, list[Row]]:
    """What is stored after an export; its messages are in the order in which they were said."""
    exporter = LlmSqlSpanExporter(url=url, **settings)
    exporter.export(spans)
    exporter.shutdown()
    tables = stored(url)
    tables["llm_messages"].sort(key=lambda row: (row["timestamp"], row["sequence_number"]))
    return tables


def bytes_of(url: str) -> bytes:
    """All files of a SQLite database."""
    path = Path(url.removeprefix("sqlite:///"))
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


def texts(case: Case) -> Iterator[str]:
    """What was said in a recording, with the arguments of tools, as it stands in JSON."""
    for call in case.expected["calls"]:
        for message in (call["messages_in"] or []) + (call["messages_out"] or []):
            for part in message["parts"]:
                told = [part.get("text"), part.get("arguments")]
                yield from (json.dumps(text)[1:-1] for text in told if isinstance(text, str) and len(text) > 8)


def sha256(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def hmac_sha256(text: str) -> str:
    return f"hmac-sha256:{hmac.new(KEY.encode(), text.encode(), 'sha256').hexdigest()}"


@pytest.mark.parametrize("mode", [False, "hash"])
def test_no_text_of_a_recording_reaches_the_file(new_database: Callable[[str], str], mode: Any) -> None:
    """With `false` and `hash` no byte of what was said is in the database's files; with `true` it is."""
    markers = [text.encode() for text in (SYSTEM, RESULT, "Compare two cities", "Oslo", "sunny")]
    whole, bare = new_database("sqlite"), new_database("sqlite")
    exported(whole, recorded_spans())
    assert [marker in bytes_of(whole) for marker in markers] == [True] * len(markers)
    exported(bare, recorded_spans(), capture_content=mode)
    assert [marker in bytes_of(bare) for marker in markers] == [False] * len(markers)


@pytest.mark.parametrize("name", CASES)
def test_no_text_of_any_recording_stays(name: str) -> None:
    """Whichever instrumentation told it: what was said stands nowhere in the operations that are stored."""
    case = load(name)
    for operation in case.operations:
        content.policy("hash").apply(operation)
        told = operation_json(operation).decode()
        assert [text for text in texts(case) if text in told] == []


def test_the_shape_of_a_conversation(url: str) -> None:
    """`hash` on every database: roles, ids and names of tool calls as they are, a hash where a text was."""
    rows = exported(url, recorded_spans(), capture_content="hash")["llm_messages"]
    assert [row["role"] for row in rows] == ["system", "user", "assistant", "tool", "tool", "assistant"]
    calls = rows[2]["parts"]
    assert (rows[2]["content"], [set(call) for call in calls]) == (None, [{"type", "id", "name"}] * 2)
    assert [row["tool_call_id"] for row in rows[3:5]] == [call["id"] for call in calls]
    assert [rows[0]["content"], rows[3]["content"]] == [sha256(SYSTEM), sha256(RESULT)]


def test_keyed_hashes(new_database: Callable[[str], str]) -> None:
    """With a key the hashes are HMACs, and the key stands nowhere in the file."""
    url = new_database("sqlite")
    rows = exported(url, recorded_spans(), capture_content="hash", hash_key=KEY)["llm_messages"]
    assert rows[0]["content"] == hmac_sha256(SYSTEM)
    assert KEY.encode() not in bytes_of(url)


def test_a_repeated_prompt_is_counted(new_database: Callable[[str], str]) -> None:
    """Equal texts have equal hashes in all sessions; within one the message is stored once."""
    url = new_database("sqlite")
    said = json.dumps([{"role": "user", "content": "again"}])
    spans = [span for key in "aab" for span in chat_spans(session_key=key, **{"gen_ai.input.messages": said})]
    rows = exported(url, spans, capture_content="hash")["llm_messages"]
    assert [row["content"] for row in rows if row["role"] == "user"] == [sha256("again")] * 2


def tool_signal(**attributes: Any) -> Signal:
    """A chat whose every place for content holds an address."""
    call = {"type": "tool_call", "id": "call_1", "name": "send", "arguments": {"to": ["ada@example.com"]}}
    answer = {"type": "tool_call_response", "id": "call_1", "response": {"password": "x", "said": ASKED}}
    told = {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": [
            {"role": "user", "parts": [{"type": "text", "content": ASKED}]},
            {"role": "assistant", "parts": [call]},
            {"role": "tool", "parts": [answer]},
        ],
        "gen_ai.tool.definitions": [{"name": "send", "description": "asks ada@example.com"}],
        "gen_ai.retrieval.query.text": ASKED,
        "error.type": "Refused",
        "error.message": ASKED,
    }
    event = SpanEvent("exception", 2, {"exception.message": f"no: {ASKED}", "exception.stacktrace": f"at {ASKED}"})
    ids = ("a" * 32, "b" * 16)
    return Signal("span", *ids, None, "chat", 1, 3, told | attributes, status="error", events=[event])


def test_redacted_everywhere(url: str) -> None:
    """`redacted` on every database: texts, arguments, results, definitions, extras and errors lose what is personal."""
    pipeline = Pipeline(Settings(url=url, capture_content="redacted", redact_patterns=(r"\bWrite\b",)))
    pipeline.deliver([tool_signal()])
    pipeline.close()
    tables = stored(url)
    everything = str(tables)
    assert "ada@" not in everything
    assert "4111" not in everything
    rows = {row["role"]: row for row in tables["llm_messages"]}
    kept = f"[redacted]{KEPT.removeprefix('Write')}"
    assert rows["user"]["content"] == kept
    assert rows["assistant"]["parts"][0]["arguments"] == {"to": ["[email]"]}
    assert rows["tool"]["parts"][0] == {
        "type": "tool_call_response",
        "id": "call_1",
        "response": {"password": "[secret]", "said": kept},
    }
    (operation,) = tables["llm_operations"]
    assert operation["error_message"] == f"no: {kept}"
    assert operation["extras"]["gen_ai.retrieval.query.text"] == kept


def test_what_needs_no_redaction_is_stored_as_it_is(new_database: Callable[[str], str]) -> None:
    """A conversation without personal data gives the same rows in `redacted` as in `true`."""
    whole, redacted = new_database("sqlite"), new_database("sqlite")
    assert exported(whole, recorded_spans()) == exported(redacted, recorded_spans(), capture_content="redacted")


@pytest.mark.parametrize("mode", [False, "hash"])
def test_error_messages_that_quote(mode: Any) -> None:
    """Errors are stored in every mode, but a quoted address is not."""
    operation = read(tool_signal())
    assert operation is not None
    content.policy(mode).apply(operation)
    assert operation.error_message == f"no: {KEPT}"
    assert "ada@" not in operation_json(operation).decode()


@pytest.mark.parametrize("mode", [True, False, "hash", "redacted"])
def test_twice_is_once(mode: Any) -> None:
    """A policy that meets its own work, as when files of an earlier process are read, changes nothing more."""
    operation = read(tool_signal())
    assert operation is not None
    policy = content.policy(mode)
    policy.apply(operation)
    once = operation_json(operation)
    policy.apply(operation)
    assert operation_json(operation) == once


@pytest.mark.parametrize("mode", [False, "hash", "redacted"])
def test_dead_letters(mode: Any) -> None:
    """What cannot be stored is put away without content, in attributes, events, body and status."""
    signal = tool_signal(**{"gen_ai.prompt.0.content": json.dumps({"ask": f"\n{ASKED}"})})
    signal.body, signal.status_message = {"content": ASKED}, ASKED
    payload = letter_of_signal(signal, "why", content.policy(mode)).payload
    assert "ada@" not in payload
    letter = json.loads(payload)
    assert set(letter["attributes"]) == set(signal.attributes)
    assert letter["status_message"] == KEPT
    assert letter["body"] == ({"content": KEPT} if mode == "redacted" else None)


@pytest.mark.parametrize(("mode", "left"), [(False, None), ("hash", sha256(ASKED)), ("redacted", KEPT)])
def test_files_follow_the_mode(new_database: Callable[[str], str], tmp_path: Path, mode: Any, left: Any) -> None:
    """What a process leaves in files is without content, and what an earlier one left with it is stored without."""
    url = new_database("sqlite")
    pipeline = Pipeline(Settings(url=url, capture_content=mode, spool=str(tmp_path)))
    pipeline._put_aside([tool_signal()])
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*.jsonl"))
    assert pipeline.spooled == 1
    assert b"ada@" not in written
    earlier = read(tool_signal())
    assert earlier is not None
    earlier.trace_id = "c" * 32
    Spool(tmp_path, database_url(url).place(None), 10**6).write([earlier])
    assert pipeline.replay() == 2
    pipeline.close()
    users = [row["content"] for row in stored(url)["llm_messages"] if row["role"] == "user"]
    assert users == [left, left]


def test_unknown_parts_keep_their_kind_alone() -> None:
    """A part that nobody knows may say anything under any key: its type stays."""
    message = Message("user", None, [{"type": "poem", "id": "a verse", "name": "a title"}, "loose"])
    operation = read(tool_signal())
    assert operation is not None
    operation.messages = [message]
    content.NOTHING.apply(operation)
    assert operation.messages[0].parts == [{"type": "poem"}, None]
