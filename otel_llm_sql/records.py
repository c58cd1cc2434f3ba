"""What one signal said about one GenAI operation. Plain values; imports nothing from the house.

Field names are the column names of `llm_operations`, `llm_messages` and `llm_sessions`: one word per idea. What leaves
`conventions.read` is canonical: every value here can be stored, as it stands, in every database we support.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

JsonValue = Any
"""Strict JSON: dict (str keys), list, str, int within 64 bits, finite float, bool, None; at most 30 levels deep."""

AGGREGATES = frozenset(
    {
        "invoke_agent",
        "create_agent",
        "invoke_workflow",
        "handle_conversation_turn",
        "execute_tool",
        "retrieval",
        "plan",
        "search_memory",
        "create_memory",
        "update_memory",
        "upsert_memory",
        "delete_memory",
        "create_memory_store",
        "delete_memory_store",
        "evaluate",
        "fetch_response",  # of an earlier call's answer
        # Not OpenTelemetry's, but told by frameworks as if they were (strands, Vercel, crewai, LangChain, ...):
        "agent_handoff",
        "agent_step",
        "chain",
        "execute_agent_loop_cycle",
        "execute_event_loop_cycle",
        "execute_task",
        "guardrail",
        "handoff",
        "invoke_graph",
        "invoke_swarm",
    }
)
"""Values of `gen_ai.operation.name` that are no call to a provider: their tokens would count their children's again."""

ONLY_OF_CALLS = (
    "provider",
    "request_model",
    "model",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "reasoning_output_tokens",
    "cost",
    "cost_source",
)
"""Fields that AGGREGATES do not have."""

OWN = "otel_llm_sql."
"""What the keys that we put into `extras` begin with: an application's attributes never mean what they mean."""

AGENT_ID = f"{OWN}agent_id"
METADATA = f"{OWN}metadata"
FINISH_REASONS = f"{OWN}finish_reasons"
DEFINITIONS = f"{OWN}tool_definitions_id"

STREAM = f"{OWN}stream"
"""Key in `extras` of the two spans that tell a stream: STREAM_REQUEST on the one, STREAM_ANSWER on the other."""

STREAM_REQUEST, STREAM_ANSWER = "request", "answer"

ANSWER = f"{OWN}answer"
"""Key in `extras` of a step: what it says of the one answer it gave, and the call inside of it may not say."""

REPAIRED = f"{OWN}repaired"
"""Key in `extras` under which repairs and truncations are listed: `{field or attribute: what was done}`."""


NAME_LENGTH = 255
"""Characters of the columns that hold names and keys."""


def bounded_key(key: str) -> str:
    """A session key as it fits its column: of a longer one the beginning and a hash, so that two stay two."""
    if len(key) <= NAME_LENGTH:
        return key
    digest = blake2b(key.encode(errors="replace"), digest_size=16).hexdigest()
    return f"{key[: NAME_LENGTH - 1 - len(digest)]}#{digest}"


@dataclass(slots=True)
class Message:
    """One message of an exchange.

    Attributes:
        role: system, user, assistant, tool, developer, ...
        content: what a person would read; None where content was not captured.
        parts: OpenTelemetry's message parts, only where the text alone does not say it all.
        direction: `input` (system prompt and history included) or `output`.
        tool_call_id: for role tool, the call it answers.
        finish_reason: for outputs.
        digest: what the message says, hashed; kept here by `rows` because a history is sent again and again.
    """

    role: str
    content: str | None = None
    parts: list[JsonValue] | None = None
    direction: Literal["input", "output"] = "input"
    tool_call_id: str | None = None
    tool_name: str | None = None
    finish_reason: str | None = None
    digest: str | None = field(default=None, compare=False, repr=False)


@dataclass(slots=True)
class Operation:
    """What one span, or one content event, said about one operation.

    Attributes:
        source: `span`; `event` for a log record that carries content or details of the span it names; `context` for a
            span that is no GenAI operation and only names the session and the user of the operations inside of it.
        trace_id: 32 lower-case hex digits.
        span_id: 16 lower-case hex digits.
        timestamp: start of the span in microseconds since the epoch (UTC); for an event, its own time.
        latency_ms: end minus start in whole milliseconds, never negative; None for an event.
        event_time_ns: for an event, its time in nanoseconds: messages of one call are ordered by it.
        operation_type: a value of `gen_ai.operation.name`; empty for an event that does not say.
        input_tokens: all prompt tokens, cached ones included. For AGGREGATES provider, model, tokens and cost are None
            here and what the span reported stands in `extras`.
        cost: US dollars as the telemetry reported it (`cost_source` is `reported`), else None until it is priced.
        service_tier: what prices depend on (`batch`, `flex`, `priority`), None for the normal tier. Not a column.
        session_key: the conversation id exactly as the application gave it, on this very span.
        messages: system, then input, then output.
        tool_definitions: the tools offered to the model; stored once per session.
        extras: everything else that was on the span, strict JSON.
    """

    source: Literal["span", "event", "context"]
    trace_id: str
    span_id: str
    parent_span_id: str | None
    span_name: str | None
    scope_name: str | None
    timestamp: int
    latency_ms: int | None = None
    event_time_ns: int = 0
    operation_type: str = ""
    action_id: str | None = None
    provider: str | None = None
    model: str | None = None
    request_model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    reasoning_output_tokens: int | None = None
    time_to_first_token_ms: int | None = None
    cost: float | None = None
    cost_source: str | None = None
    service_tier: str | None = None
    status: Literal["ok", "error", "pending"] = "ok"
    error_type: str | None = None
    error_message: str | None = None
    finish_reason: str | None = None
    response_id: str | None = None
    tool_name: str | None = None
    agent_name: str | None = None
    user_id: str | None = None
    service_name: str | None = None
    session_key: str | None = None
    workspace: str | None = None
    agent_id: str | None = None
    metadata: dict[str, JsonValue] | None = None
    messages: list[Message] = field(default_factory=list)
    tool_definitions: JsonValue | None = None
    extras: dict[str, JsonValue] = field(default_factory=dict)

    @property
    def is_call(self) -> bool:
        """Whether this is a call to a provider, as opposed to an agent, workflow, tool or retrieval step."""
        return self.operation_type not in AGGREGATES
