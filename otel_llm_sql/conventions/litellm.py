"""LiteLLM's callback (`litellm_request` around `raw_gen_ai_request`) and its second version (one span per call).

Both speak OpenTelemetry's words, with some of their own. What LiteLLM makes up is no fact: its own ids for providers
that send none of OpenAI's shape, zeros on failed calls, and a cost of 0 where it knows no price.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.exchanges import fill_usage
from otel_llm_sql.conventions.genai_content import take_content
from otel_llm_sql.conventions.genai_fields import FIELDS, operation_word, recognised
from otel_llm_sql.conventions.litellm_raw import is_raw, read_raw
from otel_llm_sql.conventions.python_text import read_repr
from otel_llm_sql.conventions.shared import context_fields, operation
from otel_llm_sql.conventions.table import Field, Findings, compiled, raw
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import Operation

PREFIXES = ("gen_ai.", "llm.")
EVENT_NAMES: frozenset[str] = frozenset()
MARKS = frozenset({"litellm.call_id", "litellm.provider.model", "hidden_params"})
SCOPES = ("litellm",)


def _operation(cleaner: Cleaner, name: str, value: Any) -> str | None:
    told = (cleaner.bounded(name, value, 64) or "").lower()
    return _CALL_TYPES.get(told) or operation_word(cleaner, name, value)


def _cost(cleaner: Cleaner, name: str, value: Any) -> float | None:
    return cleaner.amount(name, value) or None


_CALL_TYPES = {
    **dict.fromkeys(("completion", "acompletion", "aresponses", "anthropic_messages"), "chat"),
    **dict.fromkeys(("aembedding",), "embeddings"),
    **dict.fromkeys(("atext_completion",), "text_completion"),
    **dict.fromkeys(("agenerate_content", "generate_content_stream", "agenerate_content_stream"), "generate_content"),
    **dict.fromkeys(("arerank",), "rerank"),
    **dict.fromkeys(("call_mcp_tool",), "execute_tool"),
}
"""LiteLLM's functions, of which `completion` is the one for chats."""

_TABLE = compiled(
    *context_fields(user_id=("llm.user", "litellm.end_user.id", "metadata.user_api_key_end_user_id")),
    Field("operation_type", _operation, ("gen_ai.operation.name", "llm.request.type", "litellm.call_type")),
    Field("cost", _cost, ("litellm.cost.total", "gen_ai.cost.total_cost")),
    Field("usage", raw, ("metadata.usage_object",), keep=True),
    *FIELDS,
)

_TOKENS = ("input_tokens", "output_tokens")
_OWN_ID = re.compile(r"(?:chatcmpl-)?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_TOOL = re.compile(r"(?:llm\.request\.functions|gen_ai\.tool)\.(\d+)\.(name|description|parameters)")
_CALLED = re.compile(r"gen_ai\.completion\.(\d+)\.function_call\.(name|arguments)")


def read(signal: Signal, *, capture_media: bool = False) -> Operation | None:
    """The operation a span tells of; None for logs, and for spans of LiteLLM's own services."""
    if signal.kind != "span" or not _is_ours(signal):
        return None
    cleaner = Cleaner(capture_media=capture_media)
    if is_raw(signal):
        return read_raw(signal, cleaner)
    found = Findings(cleaner)
    found.collect(signal.attributes, _TABLE)
    if not recognised(found):
        return None
    found.values.setdefault("operation_type", "chat")
    _leave_made_up(signal, found)
    _take_usage(found)
    _take_tools(found)
    take_content(found, [])
    return operation(signal, found)


def _is_ours(signal: Signal) -> bool:
    return (signal.scope_name or "").startswith(SCOPES) or not MARKS.isdisjoint(signal.attributes) or is_raw(signal)


def _leave_made_up(signal: Signal, found: Findings) -> None:
    values, extras = found.values, found.extras
    if _OWN_ID.fullmatch(values.get("response_id", "")):
        found.give_back(("response_id",))
    if signal.status == "error":
        found.give_back([field for field in _TOKENS if values.get(field) == 0])
    # None comes as an empty text.
    for name in [name for name, value in extras.items() if value == "" and name.startswith("metadata.")]:
        del extras[name]


def _take_usage(found: Findings) -> None:
    """Cached and reasoning tokens of the first version stand in the repr of the whole usage alone."""
    told = found.values.pop("usage", None)
    if not isinstance(told, str):
        return
    try:
        usage = read_repr(told)
    except ValueError:
        return
    fill_usage(found, usage)
    if isinstance(usage, Mapping) and usage.get("cache_creation_input_tokens"):
        tokens = found.cleaner.count("metadata.usage_object", usage["cache_creation_input_tokens"])
        found.values.setdefault("cache_write_input_tokens", tokens)


def _take_tools(found: Findings) -> None:
    """Tools that are offered, and calls of them: the first version tells these beside its messages, without ids."""
    values, extras = found.values, found.extras
    offered, called = _listed(extras, _TOOL), _listed(extras, _CALLED)
    if offered:
        values.setdefault("tool_definitions", [{"type": "function", "function": tool} for tool in offered])
    if called:
        values["output"] = _with_calls(values.get("output"), called)


def _with_calls(output: Any, called: list[dict[str, Any]]) -> Any:
    calls = [{"type": "function", "function": call} for call in called]
    return {"role": "assistant", "tool_calls": calls} if _says_nothing(output) else output


def _says_nothing(output: Any) -> bool:
    return output is None or (isinstance(output, str) and '"parts": []' in output and '"parts": [{' not in output)


def _listed(extras: dict[str, Any], pattern: re.Pattern[str]) -> list[dict[str, Any]]:
    """Take the items of a list, of which each field is an attribute, out of `extras`."""
    items: dict[int, dict[str, Any]] = {}
    for name in list(extras):
        match = pattern.fullmatch(name)
        if match:
            items.setdefault(int(match[1]), {})[match[2]] = extras.pop(name)
    return [items[number] for number in sorted(items)]


__all__ = ["EVENT_NAMES", "MARKS", "PREFIXES", "SCOPES", "read"]
