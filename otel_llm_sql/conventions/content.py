"""`capture_content=False`: everything that people or models said leaves an Operation, what is counted stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from otel_llm_sql.records import Message, Operation

CONTENT_EXTRAS = frozenset(
    {
        "all_messages",
        "all_messages_events",
        "events",
        "final_result",
        "gen_ai.completion",
        "gen_ai.evaluation.explanation",
        "gen_ai.event.content",
        "gen_ai.input.messages",
        "gen_ai.memory.query.text",
        "gen_ai.memory.records",
        "gen_ai.output.messages",
        "gen_ai.prompt",
        "gen_ai.retrieval.documents",
        "gen_ai.retrieval.query.text",
        "gen_ai.system_instructions",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "gen_ai.tool.definitions",
        "input",
        "model_request_parameters",
        "output",
        "prompt",
        "pydantic_ai.all_messages",
        "pydantic_ai.new_messages",
        "request_data",
        "response_data",
        "tool_arguments",
        "tool_response",
    }
)
"""Attributes that carry content. Vocabularies add theirs here."""

CONTENT_PREFIXES = ("gen_ai.prompt.", "gen_ai.completion.")

_KEPT_OF_PARTS = ("type", "id", "name")


def without_content(operation: Operation) -> None:
    """Take all content out of an operation, in place.

    Messages stay, with role, direction, the kinds of their parts, and the ids and names of tool calls.
    """
    operation.messages = [_shape(message) for message in operation.messages]
    operation.tool_definitions = None
    carrying = [name for name in operation.extras if name in CONTENT_EXTRAS or name.startswith(CONTENT_PREFIXES)]
    for name in carrying:
        del operation.extras[name]


def _shape(message: Message) -> Message:
    # A copy: the messages of a history may be shared with other operations.
    parts = None if message.parts is None else [_bare(part) for part in message.parts]
    return replace(message, content=None, parts=parts, digest=None)


def _bare(part: Any) -> Any:
    return {key: part[key] for key in _KEPT_OF_PARTS if key in part} if isinstance(part, dict) else None
