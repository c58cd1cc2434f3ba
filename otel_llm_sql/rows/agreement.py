"""Whether two spans may tell about the same call: by kind, model and tokens, by their place and by the clock.

All functions are pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from otel_llm_sql.rows.facts import Fact, SpanKey, Values

PROMPTLY = 2_000_000
"""Microseconds after an outer span within which the client's call begins; the window in which others are sought."""

MILLISECOND = 1000
"""Microseconds by which an end may be wrong: it is computed from whole milliseconds."""

GENERATING = frozenset({"chat", "text_completion", "generate_content", "unknown"})
"""Operation types that are spellings of one kind of call."""

Calls: TypeAlias = Mapping[SpanKey, Fact]


def kind(fact: Fact) -> str:
    """What kind of call a span tells about."""
    operation_type = fact.values.operation_type
    return "chat" if operation_type in GENERATING else str(operation_type)


def same_response(one: Fact, other: Fact) -> bool:
    """Whether both know a response id, and the same."""
    return one.values.response_id is not None and one.values.response_id == other.values.response_id


def agree(one: Fact, other: Fact) -> bool:
    """Whether two spans do not contradict each other about the model and the tokens."""
    mine, theirs = one.values, other.values
    # Traceloop counts the first token of Anthropic's streams twice: equal input is enough where the response is one.
    same_input = mine.input_tokens is not None and mine.input_tokens == theirs.input_tokens
    return (same_input or tokens_agree(mine, theirs)) and models_agree(mine, theirs)


def tokens_agree(one: Values, other: Values) -> bool:
    """Whether no count that both tell differs."""
    # Nobody asks with no tokens: LangChain has 0 where its client's stream does not say how many.
    pairs = zip(tokens(one), tokens(other), strict=True)
    return all(not mine or not theirs or mine == theirs for mine, theirs in pairs)


def tokens(values: Values) -> tuple[int | None, int | None]:
    """Tokens of input and output."""
    return values.input_tokens, values.output_tokens


def added_up(outer: Fact, inner: Fact) -> bool:
    """Whether an outer span counts all tokens of the inner one the same number of times: once for each choice."""
    counted = zip(tokens(outer.values), tokens(inner.values), strict=True)
    ratios = {divmod(mine, theirs) if mine and theirs else (0, 0) for mine, theirs in counted}
    times, rest = min(ratios)
    if len(ratios) > 1 or rest or times <= 1:
        return False
    choices = len(outer.digests) - outer.inputs
    return choices in (0, times) and models_agree(outer.values, inner.values)


def models_agree(one: Values, other: Values) -> bool:
    """Whether a model of one is the alias or the dated name of a model of the other; what is not told agrees."""
    mine, theirs = (tuple(name for name in (v.model, v.request_model) if name) for v in (one, other))
    return not mine or not theirs or any(a in b or b in a for a in mine for b in theirs)


def place_of(key: SpanKey, fact: Fact) -> object:
    """Where a span stands: beside others with the same parent, or with those that have none in any trace."""
    return (key.trace_id, fact.parent_span_id) if fact.parent_span_id else None


def fit(outer: Fact, inner: Fact) -> bool:
    """Whether a span may tell about a call that is inside of it in time alone; where both know an id, ids decide."""
    values, told = outer.values, inner.values
    is_inside = told.timestamp >= values.timestamp and inner.end <= outer.end + MILLISECOND
    if not is_inside or None not in (values.response_id, told.response_id) or values.service_name != told.service_name:
        return False
    return kind(outer) == kind(inner) and agree(outer, inner)


def nearest(fitting: Iterable[tuple[SpanKey, SpanKey]], calls: Calls) -> dict[SpanKey, SpanKey]:
    """Each outer span with the inner one that begins soonest in it, where that one knows no nearer outer span."""
    pairs = sorted((calls[i].values.timestamp - calls[o].values.timestamp, o, i) for o, i in fitting)
    first_of_outer = {o: i for _, o, i in reversed(pairs)}
    first_of_inner = {i: o for _, o, i in reversed(pairs)}
    return {o: i for o, i in first_of_outer.items() if first_of_inner[i] == o}
