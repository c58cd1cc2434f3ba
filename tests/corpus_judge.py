"""What the database says of a case, compared with the truth: right, wrong, or untold (not in the telemetry).

A fact counts as told when it stands somewhere in the recording. Where nobody looked for it when the corpus was made
(provider, finish reason, texts, arguments), the recording is searched here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from fnmatch import fnmatch
from typing import Any

from corpus_content import Content
from corpus_facts import NO_ROW, TOKENS, Json, Result, Verdict, verdict_of
from corpus_rows import Loaded, Row
from corpus_telemetry import Leaf, Telemetry

from otel_llm_sql.conventions.providers import provider_name

UNTOLD_CALLS = {
    "autogen/agent": "spans of agents and tools only",
    "crewai-native/crew": "no span at all",
    "openai-sdk-native/chat": "no span at all",
    "openinference-instructor/structured": "a chain around the call, not the call",
    "openinference-langchain/embeddings": "no span at all",
    "openinference-mistralai/embeddings": "no span at all",
    "otel-genai-llama-index.span_only/*": "spans of agents and tools only",
    "otel-genai-openai-agents.*/*": "spans of agents and tools only",
    "otel-google-genai.span_only/tools": "automatic function calling: one span for both calls",
    "traceloop-google-generativeai/embeddings": "no span at all",
    "traceloop-langchain/embeddings": "no span at all",
    "traceloop-llamaindex/*": "spans of agents and tools only",
    "traceloop-llamaindex.off/*": "spans of agents and tools only",
    "traceloop-ollama/embeddings": "no span at all",
    "traceloop-openai-0.40/responses*": "no span at all",
}
"""Cases with calls that have no span of their own -> why."""

_FINISH = {
    "stop": {"stop", "end_turn", "complete", "completed", "finishreason.stop"},
    "tool_call": {"tool_call", "tool_calls", "tool_use", "tool-calls", "function_call"},
    "length": {"length", "max_tokens"},
}
_FINISH_PATH = re.compile(r"finish|stop_?reason|done_reason|(^|\.)status$", re.IGNORECASE)
_PROVIDER_PATH = re.compile(r"system|provider|vendor|llm$", re.IGNORECASE)
_SERVED_PATH = re.compile(r" attr (\S*response\S*|llm\.model_name|\S*output.*)$")
_APIS = {"generate_content": "generateContent", "text_completion": "/api/generate"}


class Judge:
    """Compares one case.

    Args:
        name: `<setting>/<scenario>`.
        expected: its `expected.json`.
        loaded: what the database holds.
    """

    def __init__(self, name: str, expected: Json, loaded: Loaded) -> None:
        self.name, self._expected, self.loaded = name, expected, loaded
        self.where = expected["where"]
        self.telemetry = Telemetry(loaded.signals)
        self._rows = [row for row in loaded.rows if row.is_call]
        self._matched = matched(expected, self._rows)

    def verdicts(self) -> Iterator[Verdict]:
        """Every fact of the case."""
        yield self._verdict(0, "loads", "right" if not self.loaded.faults else "wrong", [], self.loaded.faults)
        if not self.loaded.faults:
            yield self._verdict(0, "twice", verdict_of(not self.loaded.changed), [], self.loaded.changed)
        yield self._count()
        yield from self._sums()
        yield from self._context()
        for call in self._expected["calls"]:
            yield from self._of_call(call, self._matched.get(call["n"]))

    def _verdict(self, call: int, fact: str, result: Result, expected: Any, found: Any) -> Verdict:
        return Verdict(self.name, call, fact, result, expected, found)

    def _is_told(self, call: Json) -> bool:
        """Whether the recording has a span for the call itself."""
        if any(fnmatch(self.name, pattern) for pattern in UNTOLD_CALLS):
            return self.name == "otel-google-genai.span_only/tools" and call["n"] == 2
        return True

    def _count(self) -> Verdict:
        told = sum(map(self._is_told, self._expected["calls"]))
        found = [f"{row.operation['operation_type']} {row.operation['model']}" for row in self._rows]
        tried = not self._expected["calls"] and self._expected["client_error"]  # the call did not reach the server
        right = len(found) in (told, len(self._expected["calls"]), 1 if tried else told)
        result: Result = "untold" if told == 0 == len(found) else verdict_of(right)
        return self._verdict(0, "calls", result, told, f"{len(found)}: {', '.join(found)}")

    def _tokens_told(self, call: Json, kind: str) -> bool:
        def stands(what: str) -> bool:
            return bool(self.where.get(f"call{call['n']}.tokens.{what}"))

        if not self._is_told(call) or (call["usage"] or {}).get(kind) is None:
            return False
        if stands(kind):
            return True
        if kind == "input":  # to be added up
            parts = [part for part in ("cached", "cache_write") if call["usage"][part]]
            return stands("input_uncached") and all(map(stands, parts))
        return kind == "output" and stands("output_without_reasoning") and stands("reasoning")

    def _sums(self) -> Iterator[Verdict]:
        for kind, column in TOKENS.items():
            usages = [call["usage"][kind] or 0 for call in self._expected["calls"] if call["usage"]]
            told = [call["usage"][kind] for call in self._expected["calls"] if self._tokens_told(call, kind)]
            found = sum(row.operation[column] or 0 for row in self.loaded.rows)
            right = found in (sum(told), sum(usages))
            result = verdict_of(right) if told or found > sum(usages) else "untold"
            if told or found:
                yield self._verdict(0, f"sum {kind}", result, sum(told), found)

    def _context(self) -> Iterator[Verdict]:
        context, rows = self._expected["context"] or {}, self._of_the_conversation()
        keys = sorted({str(row.session["session_key"]) for row in rows})
        if context.get("session_id") is None and rows:  # an id that an instrumentation invents names no session
            yield self._verdict(0, "no_session", verdict_of(keys == ["None"]), None, keys)
        users = sorted({str(row.operation["user_id"] or row.session["user_id"]) for row in rows})
        columns = ("agent_name", "action_id") if "function" in str(context.get("set_by")) else ("agent_name",)
        agents = {row.operation[column] for row in rows for column in columns} | {r.session["agent_id"] for r in rows}
        yield from self._context_fact("session_id", keys == [context.get("session_id")], keys)
        yield from self._context_fact("user_id", users == [context.get("user_id")], users)
        yield from self._context_fact("agent_name", context.get("agent_name") in agents, sorted(map(str, agents)))
        stored = [json.loads(row.session["metadata"] or "{}") for row in rows]
        for key, value in (context.get("metadata") or {}).items():
            yield from self._context_fact(f"metadata.{key}", any(held.get(key) == value for held in stored), stored[:1])

    def _of_the_conversation(self) -> list[Row]:
        """The rows in the traces of calls: an agent that was made before, in a trace of its own, is not part of it."""
        traces = {row.operation["trace_id"] for row in self._rows}
        return [row for row in self.loaded.rows if not traces or row.operation["trace_id"] in traces]

    def _context_fact(self, key: str, right: object, found: Any) -> Iterator[Verdict]:
        context = self._expected["context"] or {}
        flat = context | {f"metadata.{name}": value for name, value in (context.get("metadata") or {}).items()}
        if flat.get(key) is not None:
            result = verdict_of(right, told=self.where.get(f"context.{key}"))
            wanted = flat[key] if key in context else f"{key}={flat[key]}"
            yield self._verdict(0, re.split(r"[._]", key)[0], result, wanted, found)

    def _of_call(self, call: Json, row: Row | None) -> Iterator[Verdict]:
        told = self._is_told(call)
        for fact, wanted, is_told, right in [*self._figures(call), *self._names(call, row)]:
            if wanted is not None:
                found = row.operation[TOKENS.get(fact, fact)] if row else NO_ROW
                yield self._verdict(call["n"], fact, verdict_of(right(row), told=told and is_told), wanted, found)
        images = bool(self.where.get(f"call{call['n']}.in_image"))
        spans = self.spans(call, row)
        yield from Content(self.name, call, row, self.loaded.rows, self.telemetry, spans, images).verdicts()

    def _figures(self, call: Json) -> Iterator[tuple[str, Any, bool, Any]]:
        for kind, column in TOKENS.items():
            wanted = (call["usage"] or {}).get(kind)
            yield kind, wanted, self._tokens_told(call, kind), _equals(column, wanted)

    def _names(self, call: Json, row: Row | None) -> Iterator[tuple[str, Any, bool, Any]]:
        number, spans = call["n"], self.spans(call, row)
        places = {key: self.where.get(f"call{number}.{key}") or [] for key in ("model_served", "model_requested")}
        model = call["model_served"] if places["model_served"] or not places["model_requested"] else None
        model = model or call["model_requested"]
        requested = [place for place in places["model_requested"] if not _SERVED_PATH.search(place)]
        yield "model", model, any(places.values()), _equals("model", model)
        model = call["model_requested"]
        yield "request_model", model, bool(requested), _equals("request_model", model)
        provider = provider_name(call["provider"])
        told = self.telemetry.has(lambda leaf: _names_provider(leaf, str(provider)), spans or None)
        yield "provider", provider, told, _equals("provider", provider)
        yield "operation_type", call["operation"], True, lambda row: row and _is_operation(call, row)
        failed = f"call {number} failed, but no span has status error" in self._expected["traps"]
        yield "status", call["status"], not failed, _equals("status", call["status"])
        error, told = call.get("error_message"), bool(self.where.get(f"call{number}.error_message"))
        yield "error_message", error, told, lambda row: row and error in (row.operation["error_message"] or "")
        reasons = _finish_words(call)
        told = self.telemetry.has(lambda leaf: _is_finish(leaf, reasons), spans or None)
        reason = (call["finish_reasons"] or [None])[0]
        yield "finish_reason", reason, told, lambda row: row and _word(row.operation["finish_reason"]) in reasons
        told = bool(self.where.get(f"call{number}.response_id"))
        yield "response_id", call["response_id"], told, _equals("response_id", call["response_id"])

    def spans(self, call: Json, row: Row | None) -> set[str]:
        """The spans that tell of a call."""
        known = {span["span_id"] for span in self._expected["call_spans"].get(str(call["n"]), ())}
        return known | (row.spans if row else set())


def _equals(column: str, wanted: Any) -> Any:
    return lambda row: row is not None and row.operation[column] == wanted


def _word(value: Any) -> str:
    return str(value).lower()


def _finish_words(call: Json) -> set[str]:
    """What the reason of the call may be called."""
    words = {_word(reason) for reason in call["finish_reasons"] or ()}
    tool_calls = any(part["type"] == "tool_call" for message in call["messages_out"] or () for part in message["parts"])
    accepted = set(words)
    for name, spellings in _FINISH.items():
        if words & (spellings | {name}) or (name == "tool_call" and tool_calls and words & {"completed", "stop"}):
            accepted |= spellings | {name}
    return accepted


def _is_finish(leaf: Leaf, reasons: Collection[str]) -> bool:
    return isinstance(leaf.value, str) and _word(leaf.value) in reasons and bool(_FINISH_PATH.search(leaf.path))


def _names_provider(leaf: Leaf, provider: str) -> bool:
    if not isinstance(leaf.value, str) or len(leaf.value) > 40 or not _PROVIDER_PATH.search(leaf.path):
        return False
    return provider_name(leaf.value) == provider


def _is_operation(call: Json, row: Row) -> bool:
    found = row.operation["operation_type"]
    return found == call["operation"] or (found in _APIS and _APIS[found].lower() in call["api_path"].lower())


def matched(expected: Json, rows: list[Row]) -> dict[int, Row]:
    """The row of each call: by response id, then spans, tokens, model and order."""
    pairs = [
        (-_likeness(expected, call, row) + abs(place - index), place, index)
        for place, call in enumerate(expected["calls"])
        for index, row in enumerate(rows)
    ]
    found: dict[int, Row] = {}
    used: set[int] = set()
    for _, place, index in sorted(pairs):
        number = expected["calls"][place]["n"]
        if number not in found and index not in used:
            found[number] = rows[index]
            used.add(index)
    return found


def _likeness(expected: Json, call: Json, row: Row) -> int:
    spans = {span["span_id"] for span in expected["call_spans"].get(str(call["n"]), ())}
    usage, operation = call["usage"] or {}, row.operation
    signs = (
        (1000, operation["response_id"] is not None and operation["response_id"] == call["response_id"]),
        (100, bool(spans & row.spans)),
        (60, operation["output_tokens"] is not None and operation["output_tokens"] == usage.get("output")),
        (40, operation["input_tokens"] is not None and operation["input_tokens"] == usage.get("input")),
        (20, operation["status"] == call["status"]),
        (10, operation["model"] in (call["model_served"], call["model_requested"])),
    )
    return sum(weight for weight, holds in signs if holds)
