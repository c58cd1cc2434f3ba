"""What the database says of a case, compared with the truth: right, wrong, or untold (not in the telemetry).

A fact counts as told when it stands somewhere in the recording. Where nobody looked for it when the corpus was made
(provider, finish reason, texts, arguments), the recording is searched here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any, Literal

from corpus_rows import Loaded, Row
from corpus_telemetry import Leaf, Telemetry

from otel_llm_sql.conventions.providers import provider_name

Result = Literal["right", "wrong", "untold"]
Json = dict[str, Any]

TOKENS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cached": "cache_read_input_tokens",
    "cache_write": "cache_write_input_tokens",
    "reasoning": "reasoning_output_tokens",
}
"""Kind of tokens in `expected.json` -> column."""

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
_TOOL_NAME_PATH = re.compile(r"definition|tools|functions|invocation_param|schema|offered", re.IGNORECASE)
_SERVED_PATH = re.compile(r" attr (\S*response\S*|llm\.model_name|\S*output.*)$")
_APIS = {"generate_content": "generateContent", "text_completion": "/api/generate"}


@dataclass(frozen=True)
class Verdict:
    """What became of one fact; `call` is 0 for facts of the whole case."""

    case: str
    call: int
    fact: str
    result: Result
    expected: Any
    found: Any


class Judge:
    """Compares one case.

    Args:
        name: `<setting>/<scenario>`.
        expected: its `expected.json`.
        loaded: what the database holds.
    """

    def __init__(self, name: str, expected: Json, loaded: Loaded) -> None:
        self._name, self._expected, self._loaded = name, expected, loaded
        self._where = expected["where"]
        self._telemetry = Telemetry(loaded.signals)
        self._rows = [row for row in loaded.rows if row.is_call]
        self._matched = matched(expected, self._rows)

    def verdicts(self) -> Iterator[Verdict]:
        """Every fact of the case."""
        yield self._verdict(0, "loads", "right" if not self._loaded.faults else "wrong", [], self._loaded.faults)
        if not self._loaded.faults:
            yield self._verdict(0, "twice", _when(not self._loaded.changed), [], self._loaded.changed)
        yield self._count()
        yield from self._sums()
        yield from self._context()
        for call in self._expected["calls"]:
            yield from self._of_call(call, self._matched.get(call["n"]))

    def _verdict(self, call: int, fact: str, result: Result, expected: Any, found: Any) -> Verdict:
        return Verdict(self._name, call, fact, result, expected, found)

    def _is_told(self, call: Json) -> bool:
        """Whether the recording has a span for the call itself."""
        if any(fnmatch(self._name, pattern) for pattern in UNTOLD_CALLS):
            return self._name == "otel-google-genai.span_only/tools" and call["n"] == 2
        return True

    def _count(self) -> Verdict:
        told = sum(map(self._is_told, self._expected["calls"]))
        found = [f"{row.operation['operation_type']} {row.operation['model']}" for row in self._rows]
        tried = not self._expected["calls"] and self._expected["client_error"]  # the call did not reach the server
        right = len(found) in (told, len(self._expected["calls"]), 1 if tried else told)
        result: Result = "untold" if told == 0 == len(found) else _when(right)
        return self._verdict(0, "calls", result, told, f"{len(found)}: {', '.join(found)}")

    def _tokens_told(self, call: Json, kind: str) -> bool:
        def stands(what: str) -> bool:
            return bool(self._where.get(f"call{call['n']}.tokens.{what}"))

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
            found = sum(row.operation[column] or 0 for row in self._loaded.rows)
            right = found in (sum(told), sum(usages))
            result = _when(right) if told or found > sum(usages) else "untold"
            if told or found:
                yield self._verdict(0, f"sum {kind}", result, sum(told), found)

    def _context(self) -> Iterator[Verdict]:
        context = self._expected["context"] or {}
        rows = self._loaded.rows
        found: dict[str, list[Any]] = {
            "session_id": sorted({str(row.session["session_key"]) for row in rows}),
            "user_id": sorted({str(row.operation["user_id"] or row.session["user_id"]) for row in rows}),
            "agent_name": sorted({str(row.operation["agent_name"] or row.session["agent_id"]) for row in rows}),
        }
        for key, values in found.items():
            wanted = context.get(key)
            if wanted is not None:
                right = wanted in values if key == "agent_name" else values == [wanted]
                told = bool(rows) and bool(self._where.get(f"context.{key}"))
                fact = key.partition("_")[0]
                yield self._verdict(0, fact, _when(right) if told or right else "untold", wanted, values)
        for key, value in (context.get("metadata") or {}).items():
            stored = [json.loads(row.session["metadata"] or "{}").get(key) for row in rows]
            told = bool(rows) and bool(self._where.get(f"context.metadata.{key}"))
            right = value in stored
            yield self._verdict(0, "metadata", _when(right) if told or right else "untold", {key: value}, stored[:1])

    def _of_call(self, call: Json, row: Row | None) -> Iterator[Verdict]:
        told = self._is_told(call)
        for fact, wanted, is_told, right in [*self._figures(call), *self._names(call, row)]:
            if wanted is not None:
                result: Result = "right" if right(row) else "wrong" if told and is_told else "untold"
                found = row.operation[_COLUMN.get(fact, fact)] if row else "no row for this call"
                yield self._verdict(call["n"], fact, result, wanted, found)
        yield from Content(self._name, call, row, self._loaded.rows, self._telemetry, self._spans(call, row)).verdicts()

    def _figures(self, call: Json) -> Iterator[tuple[str, Any, bool, Any]]:
        for kind, column in TOKENS.items():
            wanted = (call["usage"] or {}).get(kind)
            yield kind, wanted, self._tokens_told(call, kind), _equals(column, wanted)

    def _names(self, call: Json, row: Row | None) -> Iterator[tuple[str, Any, bool, Any]]:
        number, spans = call["n"], self._spans(call, row)
        places = {key: self._where.get(f"call{number}.{key}") or [] for key in ("model_served", "model_requested")}
        model = call["model_served"] if places["model_served"] or not places["model_requested"] else None
        model = model or call["model_requested"]
        requested = [place for place in places["model_requested"] if not _SERVED_PATH.search(place)]
        yield "model", model, any(places.values()), _equals("model", model)
        yield (
            "request_model",
            call["model_requested"],
            bool(requested),
            _equals("request_model", call["model_requested"]),
        )
        provider = provider_name(call["provider"])
        told = self._telemetry.has(lambda leaf: _names_provider(leaf, str(provider)), spans or None)
        yield "provider", provider, told, _equals("provider", provider)
        yield "operation_type", call["operation"], True, lambda row: row and _is_operation(call, row)
        failed = f"call {number} failed, but no span has status error" in self._expected["traps"]
        yield "status", call["status"], not failed, _equals("status", call["status"])
        error, told = call.get("error_message"), bool(self._where.get(f"call{number}.error_message"))
        yield "error_message", error, told, lambda row: row and error in (row.operation["error_message"] or "")
        reasons = _finish_words(call)
        told = self._telemetry.has(lambda leaf: _is_finish(leaf, reasons), spans or None)
        reason = (call["finish_reasons"] or [None])[0]
        yield "finish_reason", reason, told, lambda row: row and _word(row.operation["finish_reason"]) in reasons
        told = bool(self._where.get(f"call{number}.response_id"))
        yield "response_id", call["response_id"], told, _equals("response_id", call["response_id"])

    def _spans(self, call: Json, row: Row | None) -> set[str]:
        known = {span["span_id"] for span in self._expected["call_spans"].get(str(call["n"]), ())}
        return known | (row.spans if row else set())


_COLUMN = TOKENS


def _when(right: object) -> Result:
    return "right" if right else "wrong"


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


class Content:
    """Compares the messages of one call."""

    def __init__(
        self, name: str, call: Json, row: Row | None, rows: list[Row], telemetry: Telemetry, spans: set[str]
    ) -> None:
        self._name, self._call, self._row, self._rows = name, call, row, rows
        self._telemetry, self._spans = telemetry, spans

    def verdicts(self) -> Iterator[Verdict]:
        """Texts, tool calls and tool results."""
        for fact, roles, direction, wanted in self._texts():
            yield self._text(fact, roles, direction, wanted)
        for part in _parts(self._call["messages_out"], {"assistant"}, "tool_call"):
            yield from self._tool_call(part)

    def _texts(self) -> Iterator[tuple[str, set[str], str, str]]:
        sent, received = self._call["messages_in"], self._call["messages_out"]
        for fact, roles in (
            ("system_text", {"system", "developer"}),
            ("user_text", {"user"}),
            ("assistant_text", {"assistant"}),
        ):
            for part in _parts(sent, roles, "text"):
                yield fact, roles, "input", part["text"]
        for part in _parts(sent, {"tool", "user"}, "tool_result"):
            yield "tool_result", {"tool", "user"}, "input", part["text"]
        for part in _parts(received, {"assistant"}, "text"):
            yield "assistant_text", {"assistant"}, "output", part["text"]
        for part in _parts(received, {"assistant"}, "thinking"):
            yield "thinking", {"assistant"}, "output", part["text"]

    def _text(self, fact: str, roles: set[str], direction: str, text: str) -> Verdict:
        def says(message: Json) -> bool:
            return message["role"] in roles and text in f"{message['content']}\n{_texts_of(message['parts'])}"

        here = [m for m in self._row.messages if m["direction"] == direction] if self._row else []
        anywhere = [message for row in self._rows for message in row.messages]
        results = [str(row.operation["extras"].get("gen_ai.tool.call.result")) for row in self._rows]
        if any(map(says, here)):
            result: Result = "right"
        elif self._row and self._telemetry.has_text(text, self._spans):
            result = "wrong"
        elif not self._telemetry.has_text(text):
            result = "untold"
        else:
            result = _when(any(map(says, anywhere)) or (fact == "tool_result" and any(text in r for r in results)))
        return self._verdict(f"{fact}", result, f"{direction} {'/'.join(sorted(roles))}: {text}", here)

    def _verdict(self, fact: str, result: Result, expected: str, messages: list[Json]) -> Verdict:
        found = [f"{m['role']}: {_shown(m)}" for m in messages] if self._row else "no row for this call"
        return Verdict(self._name, self._call["n"], fact, result, expected, found)

    def _tool_call(self, wanted: Json) -> Iterator[Verdict]:
        here = self._row.messages if self._row else []
        own = [part for m in here if m["direction"] == "output" for part in _tool_calls(m)]
        told_here = (
            self._tool_call_told(wanted, self._spans)
            if self._row
            else dict.fromkeys(("id", "name", "arguments"), False)
        )
        told = self._tool_call_told(wanted, None)
        elsewhere = [part for row in self._rows for m in row.messages for part in _tool_calls(m)]
        elsewhere += [part for row in self._rows if (part := _executed(row))]
        for key in ("id", "name", "arguments"):
            if wanted.get(key) is None:
                continue
            if any(_same_part(part, wanted, key) for part in own):
                result: Result = "right"
            elif told_here[key]:
                result = "wrong"
            else:
                result = _when(any(_same_part(p, wanted, key) for p in elsewhere)) if told[key] else "untold"
            found: Any = own if self._row else "no row for this call"
            yield Verdict(self._name, self._call["n"], f"tool_call.{key}", result, wanted[key], found)

    def _tool_call_told(self, wanted: Json, spans: set[str] | None) -> dict[str, bool]:
        arguments = _loaded(wanted.get("arguments"))
        return {
            "id": self._telemetry.has(lambda leaf: leaf.value == wanted.get("id"), spans),
            "name": self._telemetry.has(lambda leaf: _is_tool_name(leaf, wanted["name"]), spans),
            "arguments": self._telemetry.has(
                lambda leaf: isinstance(leaf.value, dict) and leaf.value == arguments, spans
            ),
        }


def _parts(messages: list[Json] | None, roles: set[str], kind: str) -> list[Json]:
    held = [part for message in messages or () if message["role"] in roles for part in message["parts"]]
    return [part for part in held if part["type"] == kind and (kind == "tool_call" or part.get("text"))]


def _texts_of(parts: list[Json]) -> str:
    return "\n".join(str(part.get(key)) for part in parts for key in ("content", "response", "result") if key in part)


def _tool_calls(message: Json) -> list[Json]:
    return [part for part in message["parts"] if part.get("type") == "tool_call"]


def _executed(row: Row) -> Json | None:
    if row.operation["operation_type"] != "execute_tool":
        return None
    extras = row.operation["extras"]
    call_id, arguments = (extras.get(f"gen_ai.tool.call.{key}") for key in ("id", "arguments"))
    return {"id": call_id, "name": row.operation["tool_name"], "arguments": arguments}


def _same_part(part: Json, wanted: Json, key: str) -> bool:
    return bool(_loaded(part.get(key)) == _loaded(wanted[key]))


def _loaded(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _is_tool_name(leaf: Leaf, name: str) -> bool:
    return leaf.value == name and not _TOOL_NAME_PATH.search(leaf.path)


def _shown(message: Json) -> str:
    kinds = [str(part.get("type")) for part in message["parts"]]
    return f"{str(message['content'])[:60]!r} {kinds or ''}".strip()
