"""The recordings under `tests/corpus`: real telemetry with the truth beside it, and how the two are compared.

A case is `<setting>/<scenario>` with `traces.pb`, `logs.pb` (OTLP requests, joined) and `expected.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from otel_llm_sql import conventions
from otel_llm_sql.intake.otlp import signals_from_logs, signals_from_traces
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import Operation

FOLDER = Path(__file__).parent / "corpus"
ALL = sorted(path.parent.relative_to(FOLDER).as_posix() for path in FOLDER.glob("*/*/expected.json"))
GENAI = ("anthropic-sdk-*", "crewai-native", "mcp-sdk-*", "mistral-sdk-*", "openai-sdk-*", "otel-*", "pydantic-ai.*")
"""Settings in which OpenTelemetry's own convention alone tells everything."""

CASES = [name for name in ALL if any(fnmatch(name.partition("/")[0], pattern) for pattern in GENAI)]
"""The cases of these settings; `make corpus` measures all."""


@dataclass
class Case:
    """One recording, read."""

    name: str
    expected: dict[str, Any]
    signals: list[Signal]
    operations: list[Operation] = field(default_factory=list)

    def of_call(self, number: int) -> list[Operation]:
        """The operations that tell of a call: its spans and their events; all, where that is not recorded."""
        spans = {span["span_id"] for span in self.expected["call_spans"].get(str(number), ())}
        return [op for op in self.operations if op.span_id in spans] if spans else self.operations


def load(name: str) -> Case:
    """Read a case with the code under test."""
    folder = FOLDER / name
    signals: list[Signal] = []
    for file, read in (("traces.pb", signals_from_traces), ("logs.pb", signals_from_logs)):
        if (folder / file).exists():
            signals += read((folder / file).read_bytes())
    operations = [operation for signal in signals if (operation := conventions.read(signal)) is not None]
    return Case(name, json.loads((folder / "expected.json").read_text()), signals, operations)


@dataclass(frozen=True)
class Verdict:
    """What became of one fact of one call: `right`, `elsewhere` (on another span), `wrong`, `missed` or `not told`."""

    fact: str
    result: str
    expected: Any
    found: Any


Found = Callable[[Operation], Iterator[Any]]


def _field(name: str) -> Found:
    def found(operation: Operation) -> Iterator[Any]:
        value = getattr(operation, name)
        if value is not None:
            yield value

    return found


def _texts(direction: str, *roles: str) -> Found:
    def found(operation: Operation) -> Iterator[Any]:
        for message in operation.messages:
            if message.direction == direction and message.role in roles and message.content:
                yield message.content

    return found


def _calls(key: str) -> Found:
    def found(operation: Operation) -> Iterator[Any]:
        for message in operation.messages:
            for part in message.parts or ():
                if part["type"] == "tool_call" and key in part:
                    yield part[key]
        if operation.operation_type == "execute_tool":
            told = {"id": operation.extras.get("gen_ai.tool.call.id"), "name": operation.tool_name}[key]
            if told is not None:
                yield told

    return found


def _results(operation: Operation) -> Iterator[Any]:
    yield from _texts("input", "tool")(operation)
    if "gen_ai.tool.call.result" in operation.extras:
        yield str(operation.extras["gen_ai.tool.call.result"])


def _tools(operation: Operation) -> Iterator[Any]:
    yield from _calls("name")(operation)
    for tool in operation.tool_definitions or ():
        yield tool.get("name")


def _reasoning(operation: Operation) -> Iterator[Any]:
    for message in operation.messages:
        yield from (part["content"] for part in message.parts or () if part["type"] == "reasoning")


FACTS: dict[str, Found] = {
    "model_requested": _field("request_model"),
    "model_served": _field("model"),
    "provider": _field("provider"),
    "operation": _field("operation_type"),
    "response_id": _field("response_id"),
    "finish_reason": _field("finish_reason"),
    "status": _field("status"),
    "tokens.input": _field("input_tokens"),
    "tokens.cached": _field("cache_read_input_tokens"),
    "tokens.cache_write": _field("cache_write_input_tokens"),
    "tokens.output": _field("output_tokens"),
    "tokens.reasoning": _field("reasoning_output_tokens"),
    "error_message": _field("error_message"),
    "in_system_text": _texts("input", "system", "developer"),
    "in_user_text": _texts("input", "user"),
    "in_assistant_text": _texts("input", "assistant"),
    "in_tool_result": _results,
    "out_text": _texts("output", "assistant"),
    "out_thinking": _reasoning,
    "out_tool_call_id": _calls("id"),
    "out_tool_name": _tools,
}

_FINISH = {"tool_calls": "tool_call", "tool_use": "tool_call", "end_turn": "stop", "max_tokens": "length"}
_OPERATIONS = {"generate_content": "chat", "text_completion": "chat"}


def _parts(messages: list[dict[str, Any]], roles: set[str], kind: str, key: str) -> list[Any]:
    return [
        part[key]
        for message in messages
        if message["role"] in roles
        for part in message["parts"]
        if part["type"] == kind and part.get(key)
    ]


def truth(call: dict[str, Any]) -> dict[str, list[Any]]:
    """Fact -> the values that are to be found, from what the client sent and the server answered."""
    sent, received = call["messages_in"] or [], call["messages_out"] or []
    usage = call["usage"] or {}
    facts = {key: [call.get(key)] for key in ("model_requested", "model_served", "provider", "response_id")}
    facts |= {key: [call.get(key)] for key in ("operation", "status", "error_message")}
    facts |= {f"tokens.{key}": [usage.get(key)] for key in ("input", "cached", "cache_write", "output", "reasoning")}
    facts["finish_reason"] = (call["finish_reasons"] or [None])[:1]
    facts["in_system_text"] = _parts(sent, {"system", "developer"}, "text", "text")
    facts["in_user_text"] = _parts(sent, {"user"}, "text", "text")
    facts["in_assistant_text"] = _parts(sent, {"assistant"}, "text", "text")
    facts["in_tool_result"] = _parts(sent, {"tool", "user"}, "tool_result", "text")
    facts["out_text"] = _parts(received, {"assistant"}, "text", "text")
    facts["out_thinking"] = _parts(received, {"assistant"}, "thinking", "text")
    facts["out_tool_call_id"] = _parts(received, {"assistant"}, "tool_call", "id")
    facts["out_tool_name"] = _parts(received, {"assistant"}, "tool_call", "name")
    return {key: [value for value in values if value is not None] for key, values in facts.items()}


def _same(fact: str, wanted: Any, found: Any) -> bool:
    if fact == "finish_reason" and wanted == "completed":
        return found in ("stop", "tool_calls")  # Responses have a status; instrumentations tell what it amounts to
    if fact == "finish_reason":
        wanted, found = (_FINISH.get(str(word).lower(), str(word).lower()) for word in (wanted, found))
    if fact == "operation":
        wanted, found = _OPERATIONS.get(wanted, wanted), _OPERATIONS.get(found, found)
    if isinstance(wanted, str) and isinstance(found, str) and fact not in ("model_requested", "model_served"):
        return wanted in found
    return bool(wanted == found)


def verdicts(case: Case) -> Iterator[Verdict]:
    """What became of every fact of every call of a case."""
    for call in case.expected["calls"]:
        near, number = case.of_call(call["n"]), call["n"]
        for fact, values in truth(call).items():
            for wanted in values:
                told = _is_told(case, number, fact)
                here = [found for operation in near for found in FACTS[fact](operation)]
                yield Verdict(fact, _judged(case, fact, wanted, here, told), wanted, here)


def _judged(case: Case, fact: str, wanted: Any, here: list[Any], told: bool | None) -> str:
    if any(_same(fact, wanted, found) for found in here):
        return "right"
    if any(_same(fact, wanted, found) for operation in case.operations for found in FACTS[fact](operation)):
        return "elsewhere"
    if told is False or (told is None and not here):
        return "not told"
    return "wrong" if here else "missed"


def context_verdicts(case: Case) -> Iterator[Verdict]:
    """What became of the session, user, agent and metadata the client set."""
    context = case.expected["context"] or {}
    wanted = {"session_id": context.get("session_id"), "user_id": context.get("user_id")}
    wanted |= {"agent_name": context.get("agent_name")}
    wanted |= {f"metadata.{key}": value for key, value in (context.get("metadata") or {}).items()}
    for key, value in wanted.items():
        if value is not None:
            found = [told for operation in case.operations for told in _context(operation, key)]
            told = bool(case.expected["where"].get(f"context.{key}"))
            result = "right" if value in found else "not told" if not told else "wrong" if found else "missed"
            yield Verdict(f"context.{key}", result, value, found)


def _context(operation: Operation, key: str) -> Iterator[Any]:
    if key.startswith("metadata."):
        yield (operation.metadata or {}).get(key.removeprefix("metadata."))
    else:
        yield getattr(operation, {"session_id": "session_key"}.get(key, key))


def _is_told(case: Case, number: int, fact: str) -> bool | None:
    """Whether the recording holds the fact; None where nobody looked for it (status, provider, finish reason, ...)."""
    where = case.expected["where"]
    places = where.get(f"call{number}.{fact}")
    if fact == "tokens.input":  # Bedrock: to be added up
        places = places or where.get(f"call{number}.tokens.input_uncached")
    return None if places is None and fact in ("provider", "operation", "finish_reason", "status") else bool(places)
