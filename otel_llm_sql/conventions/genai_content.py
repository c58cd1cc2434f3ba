"""From what OpenTelemetry's attributes and events hold to the messages, finish reasons and tools of one operation."""

from __future__ import annotations

from otel_llm_sql.conventions.messages import finish, name_tools, read_messages
from otel_llm_sql.conventions.table import Findings
from otel_llm_sql.records import FINISH_REASONS, Message

_TOOL_CONTENT = ("gen_ai.tool.call.arguments", "gen_ai.tool.call.result")


def take_content(found: Findings, told: list[Message]) -> None:
    """Make the messages, the finish reason and the tool definitions of the Operation.

    Args:
        found: `system`, `input`, `output`, `conversation` and `finish_reasons` are taken out of its values; `messages`,
            `finish_reason` and `tool_definitions` come in.
        told: messages that events told, in their order.
    """
    values = found.values
    system, sent, received = _in_order(found, told)
    messages = [*system, *sent, *received]
    reasons = values.pop("finish_reasons", ())
    finish(received, reasons)
    name_tools(messages)
    if len(reasons) > 1:
        found.extras[FINISH_REASONS] = reasons
    if reasons or received:
        values["finish_reason"] = reasons[0] if reasons else received[0].finish_reason
    if not _is_tool_call(found):
        values["messages"] = messages
    if "tool_definitions" in values:
        told_tools = values["tool_definitions"]
        values["tool_definitions"] = found.cleaner.structure("gen_ai.tool.definitions", told_tools)


def _in_order(found: Findings, told: list[Message]) -> tuple[list[Message], list[Message], list[Message]]:
    """System instructions, what was sent, what was received; a system prompt that is told twice is one message."""
    values, cleaner, take = found.values, found.cleaner, found.values.pop
    key = values.get("pinned_key") or values.get("session_key")
    if key and cleaner.capture_media:  # read without media, the same history says less
        key = f"{key}\0media"
    system = read_messages(cleaner, "gen_ai.system_instructions", take("system", None), "input", "system")
    sent = read_messages(cleaner, "gen_ai.input.messages", take("input", None), "input", conversation=key)
    received = read_messages(cleaner, "gen_ai.output.messages", take("output", None), "output")
    if "conversation" in values:
        whole = _whole(found)
        sent, received = (sent, received) if sent or received else whole
    if told:
        sent = sent or [message for message in told if message.direction == "input"]
        received = received or [message for message in told if message.direction == "output"]
    if system and sent:
        repeated = [(message.role, message.content) for message in sent]
        system = [message for message in system if (message.role, message.content) not in repeated]
    return system, sent, received


def _whole(found: Findings) -> tuple[list[Message], list[Message]]:
    """What was sent and received, out of one list of both: what the assistant said last was received."""
    messages = read_messages(found.cleaner, "pydantic_ai.all_messages", found.values.pop("conversation"), "input")
    if not messages or messages[-1].role != "assistant":
        return messages, []
    messages[-1].direction = "output"
    return messages[:-1], messages[-1:]


def _is_tool_call(found: Findings) -> bool:
    """Arguments and result of a tool stand in `extras`; as messages they would be told twice."""
    return found.values.get("operation_type") == "execute_tool" and any(name in found.extras for name in _TOOL_CONTENT)
