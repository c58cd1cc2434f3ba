"""LiteLLM's `raw_gen_ai_request`: the provider's own request and response, a parameter each, as Python prints them.

It is the innermost span of a call, and alone knows the provider's response id and the ids of its tool calls.
"""

from __future__ import annotations

from typing import Any

from otel_llm_sql.conventions.bodies import CONTENT_OF_REQUESTS, Body, read_request
from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.exchanges import fill_usage, known
from otel_llm_sql.conventions.genai_content import take_content
from otel_llm_sql.conventions.providers import provider_name
from otel_llm_sql.conventions.python_text import read_repr
from otel_llm_sql.conventions.response_bodies import read_response
from otel_llm_sql.conventions.shared import context_fields, operation
from otel_llm_sql.conventions.table import Findings, compiled
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import Operation

NAME = "raw_gen_ai_request"
"""Name of the span, where the application names none."""

RAW, CONTENT = "litellm.raw", "litellm.raw_content"
"""Names in `extras` of what is kept: parameters and usage; and content of an unknown shape."""

_PREFIX = "llm."
_REQUESTS = (".messages", ".input", ".contents", ".prompt", ".inputText")
_RESPONSES = ("choices", "content", "output", "candidates", "message", "stringified_raw_response")
_VECTORS = frozenset({"data", "embedding", "embeddings"})
_OF_RESPONSES = frozenset({*_RESPONSES, *_VECTORS, "id", "object", "usage", "usageMetadata"})
_UNREAD = CONTENT_OF_REQUESTS | _VECTORS
_TABLE = compiled(*context_fields())


def is_raw(signal: Signal) -> bool:
    """Whether a span is one of these; an application may give it another name, together with its parent."""
    if signal.name == NAME:
        return True
    return (signal.scope_name or "") == "litellm" and any(
        str(name).startswith(_PREFIX) and str(name).endswith(_REQUESTS) for name in signal.attributes
    )


def read_raw(signal: Signal, cleaner: Cleaner) -> Operation | None:
    """What the provider's own request and response say, None for the span of a stream, which says nothing.

    Args:
        signal: a span of this name.
        cleaner: repairs its values.
    """
    found = Findings(cleaner)
    found.collect(signal.attributes, _TABLE)
    told = {name: found.extras.pop(name) for name in list(found.extras) if name.startswith(_PREFIX)}
    if not told:
        return None
    provider = provider_name(next(iter(told)).removeprefix(_PREFIX).partition(".")[0])
    body = {name.removeprefix(_PREFIX).partition(".")[2]: _opened(name, value) for name, value in told.items()}
    found.values["operation_type"] = _operation_type(body)
    if signal.parent_span_id is not None and body.keys().isdisjoint(_OF_RESPONSES):
        return None  # embeddings of newer versions: the request, which the span around it tells, too
    if provider:
        found.values["provider"] = cleaner.bounded("provider", provider)
    _take_body(signal, found, body)
    take_content(found, [])
    return operation(signal, found)


def _opened(name: str, value: Any) -> Any:
    # The request is told by the span around it, as JSON: reading it again would cost as much as the whole history.
    if not isinstance(value, str) or value[:1] not in ("[", "{") or name.rpartition(".")[2] in _UNREAD:
        return value
    try:
        return read_repr(value)
    except ValueError:
        return value


def _operation_type(body: dict[str, Any]) -> str:
    if body.keys() & _VECTORS:
        return "embeddings"
    return "text_completion" if body.get("object") == "text_completion" else "chat"


def _take_body(signal: Signal, found: Findings, body: dict[str, Any]) -> None:
    values, cleaner = found.values, found.cleaner
    request = {key: value for key, value in body.items() if key in CONTENT_OF_REQUESTS}
    rest = {key: value for key, value in body.items() if key not in request and key not in _VECTORS}
    response = known(read_response, rest) or Body()
    if response.messages:
        values["output"], values["finish_reasons"] = response.messages, response.finish_reasons
    if signal.parent_span_id is None:
        _take_request(found, request)
    for field, value in (("model", rest.pop("model", None)), ("response_id", rest.pop("id", None))):
        if isinstance(value, str) and value:
            values[field] = cleaner.bounded(field, value)
    fill_usage(found, rest.get("usage") or rest.get("usageMetadata"))
    content = {key: rest.pop(key) for key in _RESPONSES if key in rest}
    if content and "output" not in values:
        found.put(CONTENT, content)
    kept = {key: value for key, value in rest.items() if value not in (None, "", "{}")}
    if kept:
        found.put(RAW, kept)


def _take_request(found: Findings, request: dict[str, Any]) -> None:
    """A span whose parent nobody made: what was sent stands nowhere else."""
    opened = {key: _read(value) for key, value in request.items()}
    body = known(read_request, opened) or Body()
    told = {"input": body.messages, "system": body.system, "tool_definitions": body.tools}
    found.values.update({field: value for field, value in told.items() if value})


def _read(value: Any) -> Any:
    try:
        return read_repr(value) if isinstance(value, str) and value[:1] in ("[", "{") else value
    except ValueError:
        return value
