"""Made-up telemetry for tests of the store: whole conversations as Operations, with all that makes merging hard."""

from __future__ import annotations

import random
from dataclasses import replace

from otel_llm_sql.records import ANSWER, STREAM, STREAM_ANSWER, STREAM_REQUEST, Message, Operation

START = 1_790_000_000_000_000
"""Microseconds since the epoch."""


def span(
    trace: int, span_id: int, *, at: int = 0, ms: int = 100, parent: int | None = None, **fields: object
) -> Operation:
    """A span of a trace, `at` milliseconds after START."""
    defaults: dict[str, object] = {
        "operation_type": "chat",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "request_model": "gpt-4o-mini",
        "scope_name": "scope.inner",
    }
    return Operation(
        source="span",
        trace_id=f"{trace:032x}",
        span_id=f"{span_id:016x}",
        parent_span_id=None if parent is None else f"{parent:016x}",
        span_name="chat",
        timestamp=START + at * 1000,
        latency_ms=ms,
        **(defaults | fields),  # type: ignore[arg-type]
    )


def event(trace: int, span_id: int, message: Message | None, *, at: int = 0, **fields: object) -> Operation:
    """A content event that names a span."""
    return Operation(
        source="event",
        trace_id=f"{trace:032x}",
        span_id=f"{span_id:016x}",
        parent_span_id=None,
        span_name=None,
        scope_name="scope.inner",
        timestamp=START + at * 1000,
        event_time_ns=(START + at * 1000) * 1000,
        status="pending",
        messages=[message] if message else [],
        **fields,  # type: ignore[arg-type]
    )


def said(role: str, content: str | None, direction: str = "input", **fields: object) -> Message:
    """A message."""
    return Message(role, content, direction=direction, **fields)  # type: ignore[arg-type]


def conversation(trace: int, turns: int, session: str | None = None, **fields: object) -> list[Operation]:
    """Calls that each send the whole history again, each in a trace of its own."""
    history = [said("system", "Be brief.")]
    calls = []
    for turn in range(turns):
        history.append(said("user", f"question {turn % 3}"))
        answer = said("assistant", f"answer {turn % 2}", "output", finish_reason="stop")
        calls.append(
            span(
                trace + turn,
                1,
                at=turn * 1000,
                session_key=session,
                messages=[*history, answer],
                input_tokens=10 * turn,
                output_tokens=5,
                response_id=f"r-{trace}-{turn}",
                finish_reason="stop",
                **fields,
            )
        )
        history.append(replace(answer, direction="input", finish_reason=None))
    return calls


def agent_run(trace: int, session: str | None = None) -> list[Operation]:
    """An agent with two calls, each told by two spans, a tool between them; the key stands on the root alone."""
    question, result = said("user", "weather?"), said("tool", "18C")
    call = said("assistant", None, "output", parts=[{"type": "tool_call"}])
    answer = said("assistant", "18C it is", "output")
    tools = [{"name": "get_weather"}]
    aggregate = {"provider": None, "model": None, "request_model": None, "scope_name": "framework"}
    agent = {"operation_type": "invoke_agent", "agent_name": "bob", "workspace": "w", "user_id": "u"} | aggregate
    outer = {"scope_name": "outer", "tool_definitions": tools}
    first = {"response_id": f"x{trace}", "input_tokens": 7, "output_tokens": 3}
    second = {"response_id": f"y{trace}"}
    reported = {"input_tokens": 20, "output_tokens": 9}
    history = [question, replace(call, direction="input"), replace(result, tool_name="get_weather"), answer]
    return [
        span(trace, 1, ms=1000, session_key=session, metadata={"tier": "gold"}, messages=[question, answer], **agent),
        span(trace, 2, at=10, ms=100, parent=1, messages=[question, call], **outer, **first),
        span(trace, 3, at=11, ms=90, parent=2, cost=0.5, cost_source="catalog", **first),
        span(trace, 4, at=120, ms=20, parent=1, operation_type="execute_tool", messages=[result], **aggregate),
        span(trace, 5, at=150, ms=100, parent=1, messages=history, **outer, **second),
        # the client's own span, in a trace of its own: the response id alone ties it
        span(trace + 500, 6, at=151, ms=90, cost=0.7, cost_source="reported", **reported, **second),
    ]


def with_events(trace: int, session: str | None = None) -> list[Operation]:
    """A call whose messages come as log records, before or after its span."""
    return [
        span(trace, 1, at=50, ms=30, session_key=session, input_tokens=3, output_tokens=1, response_id=f"z{trace}"),
        event(trace, 1, said("system", "Be kind."), at=51),
        event(trace, 1, said("user", "hello"), at=52),
        event(trace, 1, said("assistant", "hi", "output", finish_reason="stop"), at=79),
        event(trace, 2, said("user", "lost"), at=60),
    ]


def retries(trace: int) -> list[Operation]:
    """A framework's span around two tries, of which the second succeeds; and two calls at the same time."""
    tried = [said("user", "try"), said("assistant", "done", "output")]
    return [
        span(trace, 1, ms=500, scope_name="outer", messages=tried, session_key="tries"),
        span(trace, 2, at=10, ms=100, parent=1, status="error", error_type="429", error_message="slow down"),
        span(trace, 3, at=200, ms=100, parent=1, input_tokens=4, output_tokens=2),
        span(trace, 4, at=400, ms=50, parent=9, messages=[said("user", "same")], response_id="constant"),
        span(trace, 5, at=405, ms=40, parent=9, messages=[said("user", "same")], response_id="constant"),
    ]


def hard_cases(trace: int) -> list[Operation]:
    """Twins whose ends differ by less than a millisecond, other work inside a call, a span exported twice by a fork."""
    key = "7C9E6679-7425-40DE-944B-E07FC1F90AE7"
    outer = span(trace, 1, ms=10, scope_name="outer", response_id=f"t{trace}", input_tokens=5, output_tokens=6)
    inner = span(trace, 2, ms=10, parent=77, response_id=f"t{trace}", input_tokens=5, output_tokens=6)
    inner.timestamp += 900
    retrieval = span(trace, 3, at=2, ms=3, parent=1, operation_type="embeddings", model="small", input_tokens=9)
    claude = {"model": "claude", "request_model": "claude"}
    judge = span(trace, 4, at=6, ms=1, parent=1, input_tokens=1, output_tokens=1, **claude)
    forked = span(trace + 1, 1, ms=5, metadata={"a": 1})
    return [
        outer,
        inner,
        retrieval,
        judge,
        forked,
        replace(forked, latency_ms=9, session_key="forked", metadata={"b": 2}, extras={"service.instance.id": "child"}),
        span(trace + 2, 1, session_key=key, workspace="one"),
        span(trace + 3, 1, at=-5, session_key=key.lower(), workspace="two", agent_name="a"),
        span(trace + 4, 1, at=5, session_key=key.replace("-", ""), agent_name="b"),
    ]


def surroundings(trace: int, span_id: int, *, parent: int | None = None, **fields: object) -> Operation:
    """A span that is no operation, and names the session or the user of those inside of it."""
    nothing = {"provider": None, "model": None, "request_model": None, "scope_name": "http"}
    return replace(span(trace, span_id, parent=parent, **(nothing | fields)), source="context")


def requests(trace: int) -> list[Operation]:
    """Calls inside of HTTP requests that alone know session and user, one of them inside of another."""
    key = "7C9E6679-7425-40DE-944B-E07FC1F90AE8"
    question = said("user", "where am I?")
    outer = surroundings(trace, 1, session_key="web", user_id="ann", workspace="shop")
    return [
        outer,
        replace(outer, user_id="bob"),
        span(trace, 2, parent=1, messages=[question]),
        span(trace, 3, at=3, parent=1, messages=[question], user_id="cyd"),
        surroundings(trace, 4, parent=1, session_key="inner", workspace="shop"),
        span(trace, 5, at=5, parent=4, messages=[question]),
        span(trace, 6, at=6, parent=99, messages=[question]),
        event(trace, 1, said("user", "a log record in the request"), at=2),
        surroundings(trace + 1, 1, session_key=key, workspace="one", user_id="ann"),
        span(trace + 1, 2, at=9, parent=1, messages=[question], workspace="of the service"),
        surroundings(trace + 2, 1, session_key=key.lower(), workspace="two", user_id="bob"),
        span(trace + 2, 2, at=8, parent=1, messages=[question]),
        span(trace + 2, 3, at=10, parent=2, operation_type="execute_tool"),
        surroundings(trace + 3, 1, session_key="nobody comes"),
    ]


def told_apart(trace: int) -> list[Operation]:
    """Calls that a client library and its instrumentation tell in traces of their own, or side by side."""
    claude = {"model": "claude", "request_model": "claude", "provider": "anthropic"}
    sdk = claude | {"scope_name": "com.anthropic.sdk.python"}
    around = claude | {"scope_name": "opentelemetry.instrumentation.anthropic"}
    question, answer = said("user", "parallel?"), said("assistant", "yes", "output")
    used = {"input_tokens": 11, "output_tokens": 7}
    failed = {"status": "error", "error_type": "429"}
    return [
        # two at the same time, with the same prompt
        span(trace, 1, at=0, ms=100, messages=[question, answer], session_key="apart", **around, **used),
        span(trace + 1, 1, at=5, ms=85, **sdk, **used),
        span(trace + 2, 1, at=10, ms=100, messages=[question, answer], **around, **used),
        span(trace + 3, 1, at=15, ms=80, **sdk, **used),
        # beside each other in one trace; a stream whose tokens only one of them knows; an error
        span(trace + 4, 2, at=200, ms=50, parent=1, messages=[question, answer], **around, **used),
        span(trace + 4, 3, at=201, ms=48, parent=1, **sdk),
        span(trace + 4, 4, at=300, ms=50, parent=1, messages=[question], **around, **failed),
        span(trace + 4, 5, at=301, ms=48, parent=1, **sdk, **failed),
        # a call of another model, and one afterwards, are others
        span(trace + 5, 1, at=205, ms=10, **(sdk | {"model": "haiku", "request_model": "haiku"})),
        span(trace + 6, 1, at=400, ms=10, **sdk, **used),
    ]


def streams(trace: int) -> list[Operation]:
    """Streams of which one span tells the request and another, when it has ended, the answer."""
    question, answer = said("user", "stream?"), said("assistant", "done", "output", tool_name="get_weather")
    logfire = {"scope_name": "logfire.openai"}
    asked: dict[str, object] = {"messages": [question], "extras": {STREAM: STREAM_REQUEST}, **logfire}
    told: dict[str, object] = {"messages": [question, answer], "extras": {STREAM: STREAM_ANSWER}, **logfire}
    return [
        span(trace, 1, at=0, ms=8, **asked),  # abandoned
        span(trace + 1, 1, at=100, ms=8, session_key="streams", **asked),
        span(trace + 2, 1, at=109, ms=200, input_tokens=4, output_tokens=2, **told),
        span(trace + 3, 2, at=0, ms=8, parent=1, **asked),
        span(trace + 3, 3, at=9, ms=20, parent=1, input_tokens=5, output_tokens=3, **told),
    ]


def steps(trace: int) -> list[Operation]:
    """Steps that know more of an answer than the call inside of them; one disagrees."""
    nothing = {"provider": None, "model": None, "request_model": None, "operation_type": "chain", "scope_name": "graph"}
    answer = {"response_id": f"s{trace}", "model": "gpt-4o-mini-2024-07-18", "finish_reason": "stop", "input_tokens": 3}
    known: dict[str, object] = {"extras": {ANSWER: answer | {"reasoning_output_tokens": 1}}, **nothing}
    used = {"input_tokens": 3, "output_tokens": 2}
    return [
        span(trace, 1, ms=100, **known),
        span(trace, 2, at=1, ms=10, parent=1, status="error", error_type="429"),
        span(trace, 3, at=20, ms=50, parent=1, **used),
        # the client's own span in the last call, and another one's in a trace of its own
        span(trace, 6, at=21, ms=40, parent=3, scope_name="client", **used),
        span(trace, 4, ms=100, **known),
        span(trace, 5, at=1, ms=10, parent=4, input_tokens=4),
        span(trace, 7, ms=100, **known),
        span(trace, 8, at=1, ms=50, parent=7, response_id=f"s{trace}+", **used),
        span(trace + 1, 1, at=2, ms=40, scope_name="client", response_id=f"s{trace}+", **used),
        span(trace, 9, at=60, ms=1, parent=7, operation_type="embeddings"),
    ]


def everything() -> list[Operation]:
    """A bit of each."""
    key = "0b3f1c62-6a0e-4f5e-9d55-0f5c1f0a9a01"
    return [
        *conversation(0x10, 4, "talk", workspace="w"),
        *conversation(0x20, 2),
        *agent_run(0x30, "run"),
        *agent_run(0x40),
        *agent_run(0x50, key),
        *with_events(0x60, "run"),
        *with_events(0x70),
        *retries(0x80),
        *hard_cases(0x90),
        *requests(0xA0),
        *told_apart(0xB0),
        *streams(0xC0),
        *steps(0xD0),
    ]


def split(operations: list[Operation], chance: random.Random) -> list[list[Operation]]:
    """The same operations, shuffled, some of them twice, in batches of any size."""
    mixed = operations + chance.sample(operations, chance.randint(0, len(operations)))
    chance.shuffle(mixed)
    batches = []
    while mixed:
        size = chance.choice((1, 2, 3, 5, 8, 50))
        batches.append(mixed[:size])
        mixed = mixed[size:]
    return batches
