"""Whatever is put into the attributes of JavaScript's and Google's frameworks, what is read can be stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, cast

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from storable import problems
from test_clean import JSON_VALUES, SCALARS, TEXTS

from otel_llm_sql import conventions
from otel_llm_sql.conventions import adk, genkit, vercel
from otel_llm_sql.conventions.json_text import dump
from otel_llm_sql.intake.signal import Signal, SpanEvent
from otel_llm_sql.records import Operation

KEYS = """role content text parts type value toolCallId toolName input output args data mediaType image system prompt
messages toolRequest toolResponse media ref name url contentType reasoning message candidates finishReason usage raw
custom inputTokens outputTokens thoughtsTokens usageMetadata promptTokenCount candidatesTokenCount prompt_tokens
completion_tokens prompt_tokens_details cached_tokens choices finish_reason id model embeddings embedding tools config
contents system_instruction thought function_call function_response usage_metadata prompt_token_count anthropic
cacheCreationInputTokens bedrock cacheWriteInputTokens""".split()
KINDS = ["text", "tool-call", "tool-result", "file", "image", "reasoning", "Buffer", "json", "stop", "tool-calls"]
LEAVES = SCALARS | st.sampled_from(KINDS) | st.integers(0, 300)
BODIES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | TEXTS, inner, max_size=4),
    max_leaves=15,
)
VALUES = BODIES.map(dump) | BODIES | JSON_VALUES
OPERATIONS = st.sampled_from(
    ["ai.generateText", "ai.generateText.doGenerate", "ai.streamObject.doStream", "ai.embedMany.doEmbed", "ai.toolCall"]
)
SUBTYPES = st.sampled_from(["model", "embedder", "tool", "flow", "retriever"])
AI_NAMES = """response.text response.toolCalls response.files response.object response.providerMetadata embeddings
toolCall.id toolCall.args toolCall.result telemetry.metadata.a settings.context.sessionId request.headers.user-agent"""
NAMES = {
    vercel: [*vercel.TABLE, *(f"ai.{name}" for name in AI_NAMES.split())],
    genkit: [*genkit.TABLE, "genkit:path"],
    adk: [*adk.TABLE],
}


@st.composite
def signals(draw: Callable[..., Any], module: Any) -> Signal:
    """A span that speaks the vocabulary, whatever it says."""
    attributes = draw(st.dictionaries(st.sampled_from(NAMES[module]) | TEXTS, VALUES, max_size=10))
    attributes[draw(st.sampled_from(sorted(module.MARKS)))] = draw(VALUES)
    if module is vercel:
        attributes["ai.operationId"] = draw(OPERATIONS | VALUES)
    if module is genkit:
        attributes["genkit:metadata:subtype"] = draw(SUBTYPES | VALUES)
    events = draw(
        st.lists(st.builds(SpanEvent, TEXTS | st.just("exception"), st.just(1), st.just(attributes)), max_size=1)
    )
    scope = draw(st.sampled_from(["ai", "gen_ai", "genkit-tracer", "gcp.vertex.agent"]) | st.none())
    return Signal(
        "span", "a" * 32, "b" * 16, None, draw(TEXTS), 1, 2, attributes, scope_name=scope, events=tuple(events)
    )


@pytest.mark.parametrize("module", [vercel, genkit, adk], ids=["vercel", "genkit", "adk"])
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_attributes_are_read_and_can_be_stored(module: Any, data: st.DataObject) -> None:
    """Any values in, never an exception and never a lost span; what comes out is storable, and always the same."""
    signal = data.draw(signals(module))
    operation = cast("Operation", conventions.read(signal))
    assert problems(operation) == []
    assert asdict(cast("Operation", conventions.read(signal))) == asdict(operation)
    orjson.dumps([operation.extras, operation.metadata, operation.tool_definitions])
    conventions.without_content(operation)
    assert problems(operation) == []
