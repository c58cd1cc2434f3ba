"""What the step around a call says of its answer, where the call itself does not.

LangGraph's steps give back the provider's message whole, with its id and usage; the spans of the calls inside of them
often tell less. Only columns are completed: which spans tell about one call is decided by what these say themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from otel_llm_sql.records import ANSWER
from otel_llm_sql.rows.facts import Evidence, Fact, SpanKey, Values

Evidences = Mapping[SpanKey, Evidence]

_TOKENS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "reasoning_output_tokens",
)
_TOLD = ("response_id", "finish_reason", *_TOKENS)


def completed(said: Fact, members: Sequence[SpanKey], evidences: Evidences) -> Values:
    """The values of a call with what the step directly around it knows of its answer.

    Args:
        said: what the spans of the operation say.
        members: these spans.
        evidences: all that is in sight.

    Returns:
        The values as they are for anything but a call in such a step, or where the two disagree on tokens.
    """
    values = said.values
    if not said.is_call:
        return values
    for key in members:
        parent = _parent(key, evidences)
        answer = _answer_of(SpanKey(key.trace_id, parent), evidences) if parent else None
        if answer and _is_last(key, evidences) and all(_agree(answer.get(n), getattr(values, n)) for n in _TOKENS):
            told = {name: answer[name] for name in _TOLD if name in answer and getattr(values, name) is None}
            if "model" in answer and values.model in (None, values.request_model):
                told["model"] = answer["model"]
            return values._replace(**told)
    return values


def steps_around(evidences: Evidences) -> set[SpanKey]:
    """The spans directly around calls, known or not."""
    return {
        SpanKey(key.trace_id, evidence.span.parent_span_id)
        for key, evidence in evidences.items()
        if evidence.span and evidence.span.parent_span_id and evidence.span.is_call
    }


def answering(evidences: Evidences) -> set[tuple[str, str | None]]:
    """The steps that know of an answer."""
    return {key for key, evidence in evidences.items() if evidence.span and ANSWER in evidence.span.extras}


def _answer_of(step_key: SpanKey, evidences: Evidences) -> Mapping[str, Any] | None:
    step = evidences.get(step_key)
    answer = step.span.extras.get(ANSWER) if step and step.span else None
    return answer if isinstance(answer, dict) else None


def _parent(key: SpanKey, evidences: Evidences) -> str | None:
    span = evidences[key].span
    return span.parent_span_id if span else None


def _is_last(key: SpanKey, evidences: Evidences) -> bool:
    """Whether no other call in the step ended later: it gave the answer."""
    parent = _parent(key, evidences)
    ends = {
        other: evidence.span.end
        for other, evidence in evidences.items()
        if evidence.span and evidence.span.is_call and other.trace_id == key.trace_id
        if evidence.span.parent_span_id == parent
    }
    return max(ends, key=lambda other: (ends[other], other)) == key


def _agree(one: int | None, other: int | None) -> bool:
    return one is None or other is None or one == other
