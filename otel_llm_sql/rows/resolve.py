"""Operations in, RowBatch out: what changes in the database when these signals become known.

The promise: the rows depend on the set of signals ever delivered, not on their order, grouping or repetition. Where
nothing is known yet of a trace, its rows follow from the batch alone and cost a handful of questions for all together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from otel_llm_sql.records import DEFINITIONS, JsonValue, Operation
from otel_llm_sql.rows.batch import Row, RowBatch
from otel_llm_sql.rows.facts import (
    Evidence,
    Fact,
    SpanKey,
    evidence_from_json,
    evidence_json,
    fact_from_row,
    fact_of,
)
from otel_llm_sql.rows.identity import operation_id
from otel_llm_sql.rows.known import Known
from otel_llm_sql.rows.merge import CLOCK_SKEW, Merged, combined, groups, merged, same
from otel_llm_sql.rows.placing import Named, Trace, place
from otel_llm_sql.rows.texts import Texts


@dataclass(slots=True)
class Final:
    """An operation as it will stand in the database.

    Attributes:
        name: the session it belongs to, where one is named; by its own spans or by others of the trace.
        session_key: the session that its own spans name.
        workspace: the workspace that its own spans name.
    """

    operation_id: str
    session_id: str
    name: Named | None
    members: list[SpanKey]
    said: Merged
    session_key: str | None
    workspace: str | None


@dataclass(slots=True)
class Resolution:
    """The state of one resolution: what was known of the traces it touches, and what becomes of them.

    Attributes:
        evidences: evidence of every span that is looked at, old and new together.
        kept: rows of `llm_spans` that exist, light ones included, by span.
        old: rows of `llm_operations` that may change, by id.
        finals: the operations that follow from the evidence, by id.
    """

    known: Known
    texts: Texts = field(default_factory=Texts)
    evidences: dict[SpanKey, Evidence] = field(default_factory=dict)
    new: dict[SpanKey, Evidence] = field(default_factory=dict)
    kept: dict[SpanKey, Row] = field(default_factory=dict)
    stored: dict[SpanKey, Evidence] = field(default_factory=dict)
    old: dict[str, Row] = field(default_factory=dict)
    old_members: dict[str, set[SpanKey]] = field(default_factory=dict)
    traces: dict[str, Trace] = field(default_factory=dict)
    finals: dict[str, Final] = field(default_factory=dict)
    batch: RowBatch = field(default_factory=RowBatch)

    def gather(self, operations: Iterable[Operation]) -> None:
        """Fold the batch's own signals by span."""
        for operation in operations:
            key = SpanKey(operation.trace_id, operation.span_id)
            fact = fact_of(operation, self.texts)
            evidence = Evidence(fact) if operation.source == "span" else Evidence(None, [fact])
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
        self._outline()
        if self.kept and (moved := self._renamed_traces()):
            ids = {row["operation_id"] for key, row in self.kept.items() if key.trace_id in moved}
            self._read_operations(ids - self.old.keys())
            self._combine()
            self._outline()

    def _read_traces(self, trace_ids: set[str]) -> None:
        for row in self.known.spans(trace_ids):
            self.kept[SpanKey(row["trace_id"], row["span_id"])] = row

    def _near(self) -> set[SpanKey]:
        """Known spans whose reading may change: the new ones' own, those around them, and their siblings."""
        above = {(k.trace_id, p) for k in self.new if (p := self._parent(k))}
        near = set()
        for key, row in self.kept.items():
            parent = (key.trace_id, row["parent_span_id"])
            if key in self.new or key in above or parent in self.new or parent in above:
                near.add(key)
        return near

    def _parent(self, key: SpanKey) -> str | None:
        span = self.new[key].span
        if span:
            return span.parent_span_id
        return self.kept[key]["parent_span_id"] if key in self.kept else None

    def _twins(self) -> set[str]:
        facts = [f for e in self.new.values() for f in e.said() if f.values["response_id"]]
        if not facts:
            return set()
        since = min(f.values["timestamp"] for f in facts) - CLOCK_SKEW
        until = max(f.end for f in facts) + CLOCK_SKEW
        return self.known.calls({f.values["response_id"] for f in facts}, since, until)

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
            self.old_members.setdefault(row["operation_id"], set()).add(key)
            if row["facts"]:
                self.stored[key] = evidence_from_json(row["facts"], row)
                self.texts.unpack(row["facts"])
            else:
                self.stored[key] = Evidence(fact_from_row(self.old[row["operation_id"]], row))

    def _combine(self) -> None:
        """Put old and new evidence together; what says nothing new is dropped."""
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

    def _outline(self) -> None:
        """The shape of every trace in sight: parents, and the sessions that spans name."""
        self.traces = {}
        for key, row in self.kept.items():
            self.traces.setdefault(key.trace_id, Trace()).add(key.span_id, row["parent_span_id"], _name(row))
        for key, evidence in self.evidences.items():
            said = evidence.said()
            naming = _naming(said)
            name = Named(naming.workspace, naming.session_key) if naming and naming.session_key else None
            self.traces.setdefault(key.trace_id, Trace()).add(key.span_id, said[0].parent_span_id, name)

    def _renamed_traces(self) -> set[str]:
        """Traces in which the session of a span that says nothing itself may have changed."""
        before: dict[str, set[Named]] = {}
        for key, row in self.kept.items():
            names = before.setdefault(key.trace_id, set())
            if name := _name(row):
                names.add(name)
        changed = {key.trace_id for key in self.new}
        return {
            trace_id
            for trace_id, names in before.items()
            if trace_id in changed and ((after := set(self.traces[trace_id].names.values())) != names or len(after) > 1)
        }

    def conclude(self) -> None:
        """The operations that follow from the evidence."""
        for innermost, members in groups(self.evidences).items():
            evidence = [self.evidences[key] for key in members]
            session, name = place(members, self.traces)
            said = evidence[0].said() if len(evidence) == 1 else [fact for e in evidence for fact in e.said()]
            naming = _naming(said)
            workspace = naming.workspace if naming else next((f.workspace for f in said if f.workspace), None)
            key = naming.session_key if naming else None
            final = Final(operation_id(*innermost), session, name, members, merged(evidence), key, workspace)
            self.finals[final.operation_id] = final

    def write_spans(self) -> None:
        """Rows of `llm_spans`, and the operations that are no longer."""
        for final in self.finals.values():
            for key in final.members:
                evidence = self.evidences[key]
                row = span_row(key, evidence)
                row["operation_id"] = final.operation_id
                if len(final.members) > 1 or not evidence.is_plain:
                    row["facts"] = orjson.dumps(evidence_json(evidence) | self._not_shown(final, evidence)).decode()
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


def _span_changed(row: Row, before: Row) -> bool:
    facts = orjson.loads(row["facts"]) if row["facts"] else None
    return before.get("facts") != facts or any(row[name] != before[name] for name in row if name != "facts")


def _naming(said: Sequence[Fact]) -> Fact | None:
    """The first fact that names a session."""
    for fact in said:
        if fact.session_key:
            return fact
    return None


def _name(row: Row) -> Named | None:
    return Named(row["workspace"], row["session_key"]) if row["session_key"] else None


def span_row(key: SpanKey, evidence: Evidence) -> Row:
    """What `llm_spans` tells about a span: the session is the one that is named on the span or on its events."""
    said = evidence.said()
    first: Fact = said[0]
    naming = _naming(said) or first
    return {
        "trace_id": key.trace_id,
        "span_id": key.span_id,
        "operation_id": None,
        "parent_span_id": first.parent_span_id,
        "span_name": first.span_name if evidence.span else None,
        "scope_name": first.scope_name if evidence.span else None,
        "session_key": naming.session_key,
        "workspace": naming.workspace,
        "facts": None,
    }


def definitions_digest_of(extras: Mapping[str, JsonValue]) -> int | None:
    """The digest of the tool definitions that a fact speaks of."""
    text = extras.get(DEFINITIONS)
    return int(text, 16) if text else None


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
