"""Pydantic AI's spans, versions 2 to 6 of its format: OpenTelemetry's words, and what it says otherwise or twice.

An agent's own usage (`gen_ai.aggregated_usage.*`) sums up its calls'. `model_request_parameters` repeats the tools and
the instructions that stand beside it, and finish reasons are its own words for those of the providers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.exchanges import ARGUMENTS, RESULT
from otel_llm_sql.conventions.genai import span_messages
from otel_llm_sql.conventions.genai_content import take_content
from otel_llm_sql.conventions.genai_fields import FIELDS, apply_rules, recognised
from otel_llm_sql.conventions.json_coded import opened
from otel_llm_sql.conventions.shared import context_fields, operation
from otel_llm_sql.conventions.table import Findings, compiled
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import Operation

PREFIXES = ("gen_ai.", "pydantic_ai.")
EVENT_NAMES: frozenset[str] = frozenset()
MARKS = frozenset({"model_request_parameters", "pydantic_ai.all_messages", "gen_ai.aggregated_usage.input_tokens"})
SCOPES = ("pydantic-ai",)

_TABLE = compiled(*context_fields(agent_name=("agent_name",)), *FIELDS)
_SPANS = {"agent run": "invoke_agent", "running tool": "execute_tool", "running tools": "chain"}
"""Names of spans of version 2, which say what they are where no attribute does."""

_FINISH_REASONS = {
    "openai": {"tool_call": "tool_calls"},
    "azure.ai.openai": {"tool_call": "tool_calls"},
    "groq": {"tool_call": "tool_calls"},
    "mistral_ai": {"tool_call": "tool_calls"},
    "anthropic": {"tool_call": "tool_use", "length": "max_tokens"},
    "aws.bedrock": {"tool_call": "tool_use", "length": "max_tokens"},
}
"""What a provider says where Pydantic AI has one word for just that; `stop` has several."""

_PARAMETERS = "model_request_parameters"
_TOLD_BESIDE = frozenset({"function_tools", "output_tools", "instruction_parts"})
_TOOL = ((ARGUMENTS, "tool_arguments"), (RESULT, "tool_response"))


def read(signal: Signal, *, capture_media: bool = False) -> Operation | None:
    """The operation a span tells of; None for logs, and for spans on which nothing is about a GenAI operation."""
    if signal.kind != "span":
        return None
    found = Findings(Cleaner(capture_media=capture_media))
    found.collect(signal.attributes, _TABLE)
    told = span_messages(signal, found) if signal.events else []
    if not told and not recognised(found) and signal.name not in _SPANS:
        return None
    values = found.values
    if "operation_type" not in values and signal.name in _SPANS:
        values["operation_type"] = _SPANS[signal.name]
    apply_rules(signal, found)
    _take_parameters(found)
    for name, older in _TOOL:
        if older in found.extras and values.get("operation_type") == "execute_tool":
            found.extras.setdefault(name, found.extras.pop(older))
    take_content(found, told)
    _name_reasons(found)
    return operation(signal, found)


def _take_parameters(found: Findings) -> None:
    """What `model_request_parameters` says beside tools and instructions; a failed call tells these nowhere else."""
    parameters = opened(found.extras.get(_PARAMETERS))
    if not isinstance(parameters, Mapping):
        return
    told = parameters.get("instruction_parts")
    if isinstance(told, list) and told and "system" not in found.values:
        found.values["system"] = told
    kept = {key: value for key, value in parameters.items() if key not in _TOLD_BESIDE and value not in _NOTHING}
    found.put(_PARAMETERS, kept)


_NOTHING: tuple[Any, ...] = (None, [], {}, "")


def _name_reasons(found: Findings) -> None:
    values = found.values
    words = _FINISH_REASONS.get(values.get("provider", ""), {})
    if "finish_reason" in values:
        values["finish_reason"] = words.get(values["finish_reason"], values["finish_reason"])
    for message in values.get("messages", ()):
        if message.finish_reason in words:
            message.finish_reason = words[message.finish_reason]


__all__ = ["EVENT_NAMES", "MARKS", "PREFIXES", "SCOPES", "read"]
