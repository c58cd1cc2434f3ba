"""Google's ADK beside OpenTelemetry's names: whole requests and responses of Gemini's shape, and sessions.

ADK 2 tells all in OpenTelemetry's names; its spans are read here only where they carry more than those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_llm_sql.conventions import genai_fields
from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.genai import span_messages
from otel_llm_sql.conventions.genai_content import take_content
from otel_llm_sql.conventions.genai_rules import apply_rules
from otel_llm_sql.conventions.json_text import parse
from otel_llm_sql.conventions.shared import context_fields, operation
from otel_llm_sql.conventions.table import Field, Findings, compiled, count, raw
from otel_llm_sql.conventions.usage import read_usage
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import AGGREGATES, Operation

_OWN = "gcp.vertex.agent."
_REASONING = "gen_ai.usage.experimental.reasoning_tokens"

PREFIXES = (_OWN,)
EVENT_NAMES: frozenset[str] = frozenset()
MARKS = frozenset(
    {
        *(_OWN + name for name in ("llm_request", "llm_response", "session_id", "tool_call_args", "tool_response")),
        _REASONING,
    }
)
SCOPES: tuple[str, ...] = ()

TABLE = compiled(
    *genai_fields.FIELDS,
    *context_fields(session_key=(_OWN + "session_id",)),
    Field("reasoning_output_tokens", count, (_REASONING,)),
    Field("request", raw, (_OWN + "llm_request",)),
    Field("response", raw, (_OWN + "llm_response",)),
    Field("arguments", raw, (_OWN + "tool_call_args",)),
    Field("result", raw, (_OWN + "tool_response",)),
)


def read(signal: Signal, *, capture_media: bool = False) -> Operation | None:
    """The operation a span tells of; None for logs and for spans of others."""
    if signal.kind != "span" or not MARKS & signal.attributes.keys():
        return None
    found = Findings(Cleaner(capture_media=capture_media))
    found.collect(signal.attributes, TABLE)
    told = span_messages(signal, found) if signal.events else []
    apply_rules(signal, found)
    asked = found.values.get("operation_type") not in AGGREGATES
    _take_reasoning(found)
    request, response = _body(found, "request"), _body(found, "response")
    _take_request(found, request)
    _take_response(found, response, asked=asked)
    for field, name in (("arguments", "gen_ai.tool.call.arguments"), ("result", "gen_ai.tool.call.result")):
        if found.values.get(field) not in (None, *_NOTHING):
            found.put(name, found.values[field])
        found.values.pop(field, None)
    take_content(found, told)
    return operation(signal, found)


_NOTHING = ("", "{}", "N/A", "<not serializable>", "<not specified>")
"""What ADK writes where nothing is to be said, or content is switched off."""


def _body(found: Findings, field: str) -> Mapping[str, Any]:
    """The JSON object a body is, taken out; one that cannot be read stays in `extras`."""
    value = found.values.get(field)
    if value in _NOTHING:
        del found.values[field]
        return {}
    try:
        body = parse(value) if isinstance(value, str) else value
    except ValueError:
        body = None
    if not isinstance(body, Mapping):
        found.give_back((field,))
        return {}
    del found.values[field]
    return body


def _take_request(found: Findings, request: Mapping[str, Any]) -> None:
    values = found.values
    config = request.get("config")
    config = dict(config) if isinstance(config, Mapping) else {}
    system, tools = config.pop("system_instruction", None), config.pop("tools", None)
    if system:
        values.setdefault("system", system.get("parts") if isinstance(system, Mapping) else system)
    if isinstance(tools, list):
        values.setdefault("tool_definitions", tools)
    if isinstance(request.get("contents"), list):
        values.setdefault("input", [_content(one) for one in request["contents"]])
    if config:
        found.put(_OWN + "llm_request", {"config": config})


def _take_response(found: Findings, response: Mapping[str, Any], *, asked: bool) -> None:
    content = response.get("content")
    if isinstance(content, Mapping):
        found.values.setdefault("output", [_content(content)])
    rest = {key: value for key, value in response.items() if key != "content"}
    if rest:
        found.put(_OWN + "llm_response", rest)
    if asked:
        _take_usage(found, read_usage(response.get("usage_metadata")))


def _take_usage(found: Findings, usage: Mapping[str, int]) -> None:
    """The provider's own figures: of the output, the attribute leaves the reasoning out."""
    for field, tokens in usage.items():
        told = found.cleaner.count(_OWN + "llm_response", tokens)
        if told is None or found.values.get(field) == told:
            continue
        found.give_back((field,))
        found.values[field] = told


def _take_reasoning(found: Findings) -> None:
    """The version that told it by its experimental name told the output without it."""
    values, sources = found.values, found.sources
    if sources.get("reasoning_output_tokens", ("",))[0] == _REASONING and "output_tokens" in sources:
        output, reasoning = values.get("output_tokens"), values.get("reasoning_output_tokens")
        if output is not None and reasoning:
            found.put(*sources["output_tokens"][:2])
            values["output_tokens"] = found.cleaner.count("output_tokens", output + reasoning)


def _content(content: Any) -> Any:
    """A `Content` of Gemini's; thoughts are marked as such in it."""
    if not isinstance(content, Mapping) or not isinstance(content.get("parts"), list):
        return content
    parts = [
        {"type": "reasoning", "content": part.get("text")}
        if isinstance(part, Mapping) and part.get("thought")
        else part
        for part in content["parts"]
    ]
    return {"role": content.get("role"), "parts": parts}


__all__ = ["EVENT_NAMES", "MARKS", "PREFIXES", "SCOPES", "read"]
