"""Operations in, RowBatch out: what changes in the database when these signals become known.

The promise: the rows depend on the set of signals ever delivered, not on their order, grouping or repetition. Where
nothing is known yet of a trace, its rows follow from the batch alone and cost a handful of questions for all together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from otel_llm_sql.records import DEFINITIONS, JsonValue, Operation
from otel_llm_sql.rows.batch import NewRow, RowBatch, named
from otel_llm_sql.rows.facts import (
    Evidence,
    Fact,
    SpanKey,
    evidence_from_json,
    evidence_json,
    fact_from_row,
    fact_of,
)
from otel_llm_sql.rows.identity import digest_of_text, operation_id, session_id, trace_session_id
from otel_llm_sql.rows.known import Known, Row
from otel_llm_sql.rows.merge import CLOCK_SKEW, combined, groups, merged, naming_fact, same
from otel_llm_sql.rows.placing import Named, Trace, name_around
from otel_llm_sql.rows.texts import Texts


@dataclass(slots=True)
class Final:
    """An operation as it will stand in the database.

    Attributes:
        is_named: whether anybody names that session: its own spans, or others of the trace.
        members: the spans that tell about it, from the innermost outwards.
        said: what they say together.
    """

    operation_id: str
    session_id: str
    is_named: bool
    members: list[SpanKey]
    said: Fact


@dataclass(slots=True)
class Resolution:
    """The state of one resolution: what was known of the traces it touches, and what becomes of them.

    Attributes:
        evidences: evidence of every span that is looked at, old and new together.
        kept: rows of `llm_spans` that exist, light ones included, by span.
        old: rows of `llm_operations` that may change, by id.
        traces: what `_outlined` found; empty until somebody asks.
        finals: the operations that follow from the evidence, by id.
    """

    known: Known
    texts: Texts = field(default_factory=Texts)
    evidences: dict[SpanKey, Evidence] = field(default_factory=dict)
    new: dict[SpanKey, Evidence] = field(default_factory=dict)
    kept: dict[SpanKey, Row] = field(default_factory=dict)
    stored: dict[SpanKey, Evidence] = field(default_factory=dict)
    old: dict[str, Row] = field(default_factory=dict)
    traces: dict[str, Trace] = field(default_factory=dict)
    finals: dict[str, Final] = field(default_factory=dict)
    batch: RowBatch = field(default_factory=RowBatch)

    def gather(self, operations: Iterable[Operation]) -> None:
        """Fold the batch's own signals by span."""
        for operation in operations:
            key = SpanKey(operation.trace_id, operation.span_id)
            fact = fact_of(operation, self.texts)
            evidence = Evidence(fact) if operation.source == "span" else Evidence(None, (fact,))
            if key in self.new:
                before = self.new[key]
                evidence = combined(before, evidence)
                self.batch.duplicates += same(before, evidence)
            self.new[key] = evidence

    def look_up(self) -> None:
        """Read what is known about the same traces and the same calls."""
        self._read_traces({key.trace_id for key in self.new})
        near = self._near() if self.kept else set()
        wanted = {self.kept[key]["operation_id"] for key in near} | self._twins()
        if wanted:
            self._read_operations(wanted)
        self._combine()
        if self.kept and (moved := self._renamed_traces()):
            ids = {row["operation_id"] for key, row in self.kept.items() if key.trace_id in moved}
            self._read_operations(ids - self.old.keys())
            self._combine()

    def _read_traces(self, trace_ids: set[str]) -> None:
        for row in self.known.spans(trace_ids):
            self.kept[SpanKey(row["trace_id"], row["span_id"])] = row

    def _near(self) -> set[SpanKey]:
        """Known spans whose reading may change: the new ones' own, those around them, and what is inside of these."""
        above = {(k.trace_id, p) for k in self.new if (p := self._parent(k))}
        # As long as nothing is known of the span around them, siblings do not depend on each other.
        outer = self.new.keys() | (above & self.kept.keys())
        return {key for key, row in self.kept.items() if key in outer or (key.trace_id, row["parent_span_id"]) in outer}

    def _parent(self, key: SpanKey) -> str | None:
        span = self.new[key].span
        if span:
            return span.parent_span_id
        return self.kept[key]["parent_span_id"] if key in self.kept else None

    def _twins(self) -> set[str]:
        facts = [fact for evidence in self.new.values() for fact in evidence.said() if fact.values.response_id]
        if not facts:
            return set()
        since = min([fact.values.timestamp for fact in facts]) - CLOCK_SKEW
        until = max([fact.end for fact in facts]) + CLOCK_SKEW
        return self.known.calls({fact.values.response_id or "" for fact in facts}, since, until)

    def _read_operations(self, ids: set[str]) -> None:
        if not ids:
            return
        operations, spans = self.known.operations(ids)
        self.old.update((row["operation_id"], row) for row in operations)
        elsewhere = {row["trace_id"] for row in spans} - {key.trace_id for key in self.kept}
        if elsewhere:
            self._read_traces(elsewhere)
        for row in spans:
            key = SpanKey(row["trace_id"], row["span_id"])
            self.kept[key] = row
            if row["facts"]:
                self.stored[key] = evidence_from_json(row["facts"], row)
                self.texts.unpack(row["facts"])
            else:
                self.stored[key] = Evidence(fact_from_row(self.old[row["operation_id"]], row))

    def _combine(self) -> None:
        """Put old and new evidence together; what says nothing new is dropped."""
        self.traces = {}
        if not self.stored:
            self.evidences = self.new
            return
        self.evidences = dict(self.stored)
        for key, evidence in list(self.new.items()):
            before = self.stored.get(key)
            if before is None:
                self.evidences[key] = evidence
                continue
            self.evidences[key] = combined(before, evidence)
            if same(before, self.evidences[key]):
                self.batch.duplicates += 1
                self.evidences[key] = before
                del self.new[key]

    def _outlined(self) -> dict[str, Trace]:
        """The shape of every trace in sight: parents, and the sessions that spans name."""
        if self.traces:
            return self.traces
        traces: defaultdict[str, Trace] = defaultdict(Trace)
        for key, row in self.kept.items():
            traces[key.trace_id].add(key.span_id, row["parent_span_id"], _name(row))
        for key, evidence in self.evidences.items():
            said = evidence.said()
            naming = naming_fact(said)
            name = Named(naming.workspace, naming.session_key) if naming and naming.session_key else None
            traces[key.trace_id].add(key.span_id, said[0].parent_span_id, name)
        self.traces = traces
        return traces

    def _renamed_traces(self) -> set[str]:
        """Traces in which the session of a span that says nothing itself may have changed."""
        before: dict[str, set[Named]] = {}
        for key, row in self.kept.items():
            names = before.setdefault(key.trace_id, set())
            if name := _name(row):
                names.add(name)
        changed = {key.trace_id for key in self.new}
        traces = self._outlined()
        return {
            trace_id
            for trace_id, names in before.items()
            if trace_id in changed and ((after := set(traces[trace_id].names.values())) != names or len(after) > 1)
        }

    def conclude(self) -> None:
        """The operations that follow from the evidence."""
        for innermost, members in groups(self.evidences).items():
            said = merged([self.evidences[key] for key in members])
            session, is_named = self._session(members, said)
            final = Final(operation_id(*innermost), session, is_named, members, said)
            self.finals[final.operation_id] = final

    def _session(self, members: Sequence[SpanKey], said: Fact) -> tuple[str, bool]:
        """The session of an operation, and whether it is named; else the trace stands in."""
        if said.session_key:
            return session_id(said.workspace, said.session_key), True
        if name := name_around(members, self._outlined()):
            return name.session_id, True
        # Twins in two traces: the outer one stands among the application's other spans.
        return trace_session_id(members[-1].trace_id), False

    def write_spans(self) -> None:
        """Rows of `llm_spans`, and the operations that are no longer."""
        for final in self.finals.values():
            for key in final.members:
                evidence = self.evidences[key]
                facts = None
                if len(final.members) > 1 or not evidence.is_plain:
                    facts = orjson.dumps(evidence_json(evidence) | self._not_shown(final, evidence)).decode()
                row = span_row(key, final.operation_id, evidence, facts)
                before = self.kept.get(key)
                if before is None or _span_changed(row, before):
                    self.batch.put("llm_spans", row, exists=before is not None)
        self.batch.deletes["llm_operations"] = [gone for gone in self.old if gone not in self.finals]

    def _not_shown(self, final: Final, evidence: Evidence) -> dict[str, JsonValue]:
        """The messages and tool definitions that this evidence tells and the operation does not show."""
        messages = {d for fact in evidence.said() for d in fact.digests} - set(final.said.digests)
        shown = definitions_digest_of(final.said.extras)
        definitions = {definitions_digest_of(fact.extras) for fact in evidence.said()} - {None, shown}
        wanted = [d for d in definitions if d is not None]
        self.texts.recover(messages, self.old.values(), self.known)
        self.texts.recover_definitions(wanted, self.old.values(), self.known)
        return self.texts.kept(sorted(messages & self.texts.messages.keys()), sorted(wanted))


def _span_changed(row: NewRow, before: Row) -> bool:
    *rest, facts = named("llm_spans", row).items()
    told = orjson.loads(facts[1]) if facts[1] else None
    return before.get("facts") != told or any(value != before[name] for name, value in rest)


def _name(row: Row) -> Named | None:
    return Named(row["workspace"], row["session_key"]) if row["session_key"] else None


def span_row(key: SpanKey, operation_id: str, evidence: Evidence, facts: str | None) -> NewRow:
    """What `llm_spans` tells about a span: the session is the one that is named on the span or on its events."""
    said = evidence.said()
    span, first = evidence.span, said[0]
    naming = first if first.session_key else naming_fact(said) or first
    return (
        *key,
        operation_id,
        first.parent_span_id,
        span.span_name if span else None,
        span.scope_name if span else None,
        naming.session_key,
        naming.workspace,
        facts,
    )


def definitions_digest_of(extras: Mapping[str, JsonValue]) -> str | None:
    """The digest of the tool definitions that a fact speaks of."""
    text = extras.get(DEFINITIONS)
    return digest_of_text(text) if text else None


def resolve_operations(operations: Sequence[Operation], known: Known) -> Resolution:
    """All that follows for operations and spans; sessions and messages are settled by `rows.settle`."""
    resolution = Resolution(known)
    resolution.gather(operations)
    resolution.look_up()
    if not resolution.new:
        return Resolution(known, batch=resolution.batch)
    resolution.conclude()
    resolution.write_spans()
    return resolution
