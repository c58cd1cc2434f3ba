"""Which known operations have to be looked at since a new span may tell about the same call without a link to them.

Only a client library's own spans, those of its instrumentations, those that are made in callbacks and those of failed
calls are ever looked for like that: see `twins.CLIENTS`, `twins.CALLBACKS` and `failures.LIBRARY`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from otel_llm_sql.records import Operation
from otel_llm_sql.rows.agreement import GENERATING, PROMPTLY
from otel_llm_sql.rows.facts import Evidence, Fact, SpanKey
from otel_llm_sql.rows.failures import is_of_library, may_stand_apart
from otel_llm_sql.rows.known import Known, Row
from otel_llm_sql.rows.twins import CLOCK_SKEW, is_told_by_callbacks, library_of

New = Mapping[SpanKey, Evidence]


def beside(new: New, kept: Mapping[SpanKey, Row]) -> set[SpanKey]:
    """Known spans with the same parent as a new one of which one may tell about the other's call."""
    libraries = {(key.trace_id, fact.parent_span_id, library) for key, fact, library in _of_libraries(new)}
    others = {
        (key.trace_id, fact.parent_span_id, not is_told_by_callbacks(fact.scope_name))
        for key, fact in _generating(new)
        if fact.parent_span_id
    }
    failures = {(key.trace_id, fact.parent_span_id) for key, fact in _failures(new) if fact.parent_span_id}
    if not libraries and not others:
        return set()
    return {
        key
        for key, row in kept.items()
        if (key.trace_id, row["parent_span_id"], library_of(row["scope_name"])) in libraries
        or (key.trace_id, row["parent_span_id"], is_told_by_callbacks(row["scope_name"])) in others
        or ((key.trace_id, row["parent_span_id"]) in failures and is_of_library(row["scope_name"]))
    }


def elsewhere(new: New, known: Known) -> set[str]:
    """Ids of operations in other traces of which a new span may tell the same call."""
    return _of_same_library(new, known) | _by_callbacks(new, known) | _failed(new, known)


def unlinked_names(operations: Iterable[Operation], has_callbacks: Callable[[], bool]) -> set[str]:
    """What two writers both lock when one of them has a span for which the other looks by the clock.

    Args:
        operations: what is about to be written.
        has_callbacks: asks whether spans that are made in callbacks were ever stored. The very first of them may come
            at the same moment as its client's span: then nothing is locked yet.
    """
    names: set[str] = set()
    moments: set[int] = set()
    callbacks = False
    for operation in operations:
        if operation.parent_span_id is None and (library := library_of(operation.scope_name)):
            names.add(library)
        if operation.parent_span_id is None and operation.status == "error" and is_of_library(operation.scope_name):
            names.add("failed")
        if operation.operation_type in GENERATING:
            told = is_told_by_callbacks(operation.scope_name)
            callbacks = callbacks or told
            if told or operation.parent_span_id is None:
                moments.add(operation.timestamp // PROMPTLY)
    if moments and (callbacks or has_callbacks()):
        names.update(f"begun {moment + near}" for moment in moments for near in (-1, 0, 1))
    return names


def _of_libraries(new: New) -> Iterator[tuple[SpanKey, Fact, str]]:
    """New spans about calls of libraries that tell them themselves."""
    for key, evidence in new.items():
        if evidence.span and (library := library_of(evidence.span.scope_name)):
            yield key, evidence.span, library


def _generating(new: New) -> Iterator[tuple[SpanKey, Fact]]:
    """New spans about calls that generate something."""
    for key, evidence in new.items():
        if evidence.span and evidence.span.values.operation_type in GENERATING:
            yield key, evidence.span


def _failures(new: New) -> Iterator[tuple[SpanKey, Fact]]:
    """New spans about failures of which others may tell without a link."""
    return ((key, fact) for key, fact in _generating(new) if may_stand_apart(fact))


def _of_same_library(new: New, known: Known) -> set[str]:
    found: set[str] = set()
    facts: defaultdict[str, list[Fact]] = defaultdict(list)
    for _, span, library in _of_libraries(new):
        if span.parent_span_id is None:
            facts[library].append(span)
    for library, spans in facts.items():
        since = min([span.values.timestamp for span in spans]) - CLOCK_SKEW
        found |= known.unlinked(library, since, max([span.end for span in spans]) + CLOCK_SKEW)
    return found


def _by_callbacks(new: New, known: Known) -> set[str]:
    outer: list[int] = []
    inside: list[int] = []
    for _, fact in _generating(new):
        if is_told_by_callbacks(fact.scope_name):
            if fact.values.response_id is None:
                outer.append(fact.values.timestamp)
        elif fact.parent_span_id is None:
            inside.append(fact.values.timestamp)
    found: set[str] = set()
    if outer:
        found |= known.without_parent(min(outer), max(outer) + PROMPTLY)
    if inside:
        found |= known.told_by_callbacks(min(inside) - PROMPTLY, max(inside) + PROMPTLY)
    return found


def _failed(new: New, known: Known) -> set[str]:
    begun = [fact.values.timestamp for _, fact in _failures(new) if fact.parent_span_id is None]
    # Wider than two that are told at once: in whom one of them finds its pair depends on those around them.
    return known.failed(min(begun) - PROMPTLY, max(begun) + PROMPTLY) if begun else set()
