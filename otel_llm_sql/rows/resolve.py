"""Operations in, RowBatch out: what changes in the database when these signals become known.

The promise: the rows depend on the set of signals ever delivered, not on their order, grouping or repetition. Where
nothing is known yet of a trace, its rows follow from the batch alone and cost a handful of questions for all together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from otel_llm_sql.records import JsonValue, Operation
from otel_llm_sql.rows.answers import answering, completed, steps_around
from otel_llm_sql.rows.batch import NewRow, RowBatch
from otel_llm_sql.rows.facts import (
    Evidence,
    Fact,
    SpanKey,
    context_from_row,
    evidence_from_row,
    evidence_json,
    evidence_of,
    names_json,
)
from otel_llm_sql.rows.identity import definitions_digest_of, operation_id, trace_session_id
from otel_llm_sql.rows.known import Known, Row
from otel_llm_sql.rows.merge import combined, merged, naming_fact, same
from otel_llm_sql.rows.notes import without_notes
from otel_llm_sql.rows.placing import Named, T, Trace, around
from otel_llm_sql.rows.sight import beside, elsewhere
from otel_llm_sql.rows.spans import is_changed, name_in, name_of, names_user, outlined, span_row, user_of
from otel_llm_sql.rows.texts import Texts
from otel_llm_sql.rows.twins import CLOCK_SKEW, groups


@dataclass(slots=True)
class Final:
    """An operation as it will stand in the database.

    Attributes:
        name: of that session, None where the trace stands in. Its own spans may name it, or others of the trace.
        members: the spans that tell about it, from the innermost outwards.
        said: what they say together.
        is_completed: whether it says more than they do, since a step around them knows it.
    """

    operation_id: str
    session_id: str
    name: Named | None
    members: list[SpanKey]
    said: Fact
    is_completed: bool = False


@dataclass(slots=True)
class Resolution:
    """The state of one resolution: what was known of the traces it touches, and what becomes of them.

    Attributes:
        evidences: evidence of every span that is looked at, old and new together.
        further: how many signals of the batch told about a span, beside the first.
        kept: rows of `llm_spans` that exist, light ones included, by span.
        old: rows of `llm_operations` that may change, by id.
        notes: what was cut of these operations.
        traces: what `_outlined` found; empty until somebody asks.
        finals: the operations that follow from the evidence, by id.
    """

    known: Known
    texts: Texts = field(default_factory=Texts)
    evidences: dict[SpanKey, Evidence] = field(default_factory=dict)
    new: dict[SpanKey, Evidence] = field(default_factory=dict)
    further: dict[SpanKey, int] = field(default_factory=dict)
    kept: dict[SpanKey, Row] = field(default_factory=dict)
    stored: dict[SpanKey, Evidence] = field(default_factory=dict)
    old: dict[str, Row] = field(default_factory=dict)
    notes: dict[str, dict[str, int]] = field(default_factory=dict)
    traces: dict[str, Trace] = field(default_factory=dict)
    finals: dict[str, Final] = field(default_factory=dict)
    batch: RowBatch = field(default_factory=RowBatch)

    def gather(self, operations: Iterable[Operation]) -> None:
        """Fold the batch's own signals by span."""
        for operation in operations:
            key = SpanKey(operation.trace_id, operation.span_id)
            evidence = evidence_of(operation, self.texts)
            if key in self.new:
                before = self.new[key]
                evidence = combined(before, evidence)
                if same(before, evidence):
                    self.batch.duplicates += 1
                else:
                    self.further[key] = self.further.get(key, 0) + 1
            self.new[key] = evidence

    def look_up(self) -> None:
        """Read what is known about the same traces and the same calls."""
        self._read_traces({key.trace_id for key in self.new})
        near = self._near() if self.kept else set()
        self._read_operations(self._operations_of(near) | self._apart(self.new))
        self._read_operations(self._apart(self._retold()) - self.old.keys())
        self._read_steps()
        self._combine()
        if self.kept and (moved := self._moved_traces()):
            ids = self._operations_of(key for key in self.kept if key.trace_id in moved)
            self._read_operations(ids - self.old.keys())
            self._read_steps()
            self._combine()

    def _operations_of(self, keys: Iterable[SpanKey]) -> set[str]:
        return {told for key in keys if (told := self.kept[key]["operation_id"])}

    def _read_traces(self, trace_ids: set[str]) -> None:
        for row in self.known.spans(trace_ids):
            key = SpanKey(row["trace_id"], row["span_id"])
            self.kept[key] = row
            if row["operation_id"] is None:
                self.stored[key] = Evidence(context=context_from_row(row))

    def _near(self) -> set[SpanKey]:
        """Known spans whose reading may change: the new ones' own, those around them, and what is inside of these."""
        above = {(k.trace_id, p) for k in self.new if (p := self._parent(k))}
        # As long as nothing is known of the span around them, siblings do not depend on each other.
        outer = self.new.keys() | (above & self.kept.keys())
        near = {key for key, row in self.kept.items() if key in outer or (key.trace_id, row["parent_span_id"]) in outer}
        return near | beside(self.new, self.kept)

    def _parent(self, key: SpanKey) -> str | None:
        evidence = self.new[key]
        if evidence.span or evidence.context:
            return evidence.around.parent_span_id
        return self.kept[key]["parent_span_id"] if key in self.kept else None

    def _apart(self, evidences: Mapping[SpanKey, Evidence]) -> set[str]:
        """Operations anywhere that may be the same calls, by response id or by the clock."""
        found = elsewhere(evidences, self.known)
        facts = [fact for evidence in evidences.values() for fact in evidence.said() if fact.values.response_id]
        if facts:
            since = min([fact.values.timestamp for fact in facts]) - CLOCK_SKEW
            until = max([fact.end for fact in facts]) + CLOCK_SKEW
            found |= self.known.calls({fact.values.response_id or "" for fact in facts}, since, until)
        return found

    def _retold(self) -> dict[SpanKey, Evidence]:
        """What was known of spans that are told otherwise now: it may have kept others apart, or tied them."""
        both = {key: (self.stored[key].span, self.new[key].span) for key in self.new.keys() & self.stored.keys()}
        return {key: Evidence(old) for key, (old, new) in both.items() if old and new and old != new}

    def _read_operations(self, ids: set[str]) -> None:
        if not ids:
            return
        operations, spans = self.known.operations(ids)
        for row in operations:
            row["extras"], notes = without_notes(row["extras"])
            self.old[row["operation_id"]] = row
            if notes:
                self.notes[row["operation_id"]] = notes
        elsewhere = {row["trace_id"] for row in spans} - {key.trace_id for key in self.kept}
        if elsewhere:
            self._read_traces(elsewhere)
        for row in spans:
            key = SpanKey(row["trace_id"], row["span_id"])
            self.kept[key] = row
            self.stored[key] = evidence_from_row(row, self.old[row["operation_id"]])
            self.texts.unpack(row["facts"] or {})

    def _read_steps(self) -> None:
        """The steps around the calls in sight, and the calls beside them: see `answers`."""
        asked: set[str] = set()
        # Mostly once or twice: a call beside another one may be told in a further trace, too, inside of a step there.
        while self.kept and (unread := self._of_steps() - asked):
            asked |= unread
            self._read_operations(unread)

    def _of_steps(self) -> set[str]:
        """Operations that are not in sight yet: steps around calls, and calls in steps that know of an answer."""
        evidences = {**self.stored, **self.new}
        around, steps = steps_around(evidences), answering(evidences)
        unread = self.kept.keys() - self.stored.keys()
        near = (key for key in unread if key in around or (key.trace_id, self.kept[key]["parent_span_id"]) in steps)
        return self._operations_of(near) - self.old.keys()

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
                self.batch.duplicates += 1 + self.further.get(key, 0)
                self.evidences[key] = before
                del self.new[key]

    def _outlined(self) -> dict[str, Trace]:
        """The shape of every trace in sight: parents, and the sessions and users that spans name."""
        if self.traces:
            return self.traces
        traces = outlined(self.kept.values())
        for key, evidence in self.evidences.items():
            said = evidence.said()
            name = name_of(naming_fact(said))
            traces[key.trace_id].add(key.span_id, evidence.around.parent_span_id, name, user_of(said))
        self.traces = traces
        return traces

    def _moved_traces(self) -> set[str]:
        """Traces in which the session or the user of a span that says nothing itself may have changed."""
        names: dict[str, set[Named]] = {}
        users: dict[str, set[str]] = {}
        for key, row in self.kept.items():
            names.setdefault(key.trace_id, set()).update(filter(None, (name_in(row),)))
            users.setdefault(key.trace_id, set()).update(filter(None, (row["user_id"],)))
        changed = {key.trace_id for key in self.new} & names.keys()
        traces = self._outlined()
        return {
            trace_id
            for trace_id in changed
            if _may_move(names[trace_id], traces[trace_id].names) or _may_move(users[trace_id], traces[trace_id].users)
        }

    def conclude(self) -> None:
        """The operations that follow from the evidence."""
        names_users = self._names_users()
        for innermost, members in groups(self.evidences).items():
            said = merged([self.evidences[key] for key in members])
            if names_users and said.values.user_id is None:
                user_id = around(members, self._outlined(), lambda trace: trace.users)
                said = replace(said, values=said.values._replace(user_id=user_id))
            values = completed(said, members, self.evidences)
            is_completed = values is not said.values
            if is_completed:
                said = replace(said, values=values)
            name = name_of(said) or around(members, self._outlined(), lambda trace: trace.names)
            # Twins in two traces: the outer one stands among the application's other spans.
            session = name.session_id if name else trace_session_id(members[-1].trace_id)
            final = Final(operation_id(*innermost), session, name, members, said, is_completed)
            self.finals[final.operation_id] = final

    def _names_users(self) -> bool:
        """Whether any span in sight names a user."""
        if any(row["user_id"] for row in self.kept.values()):
            return True
        return any(map(names_user, self.evidences.values()))

    def write_spans(self) -> None:
        """Rows of `llm_spans`, and the operations that are no longer."""
        for final in self.finals.values():
            for key in final.members:
                evidence = self.evidences[key]
                facts = None
                if len(final.members) > 1 or not evidence.is_plain or final.is_completed:
                    facts = orjson.dumps(evidence_json(evidence) | self._not_shown(final, evidence)).decode()
                elif final.said.names:
                    facts = orjson.dumps(names_json(final.said)).decode()
                self._write_span(key, span_row(key, final.operation_id, evidence, facts))
        for key in self.new:
            if (evidence := self.evidences[key]).context and not evidence.is_operation:
                self._write_span(key, span_row(key, None, evidence, None))
        self.batch.deletes["llm_operations"] = [gone for gone in self.old if gone not in self.finals]

    def _write_span(self, key: SpanKey, row: NewRow) -> None:
        before = self.kept.get(key)
        if before is None or is_changed(row, before):
            self.batch.put("llm_spans", row, exists=before is not None)

    def _not_shown(self, final: Final, evidence: Evidence) -> dict[str, JsonValue]:
        """The messages and tool definitions that this evidence tells and the operation does not show."""
        messages = {d for fact in evidence.said() for d in fact.digests} - set(final.said.digests)
        shown = definitions_digest_of(final.said.extras)
        definitions = {definitions_digest_of(fact.extras) for fact in evidence.said()} - {None, shown}
        wanted = [d for d in definitions if d is not None]
        self.texts.recover(messages, self.old.values(), self.known)
        self.texts.recover_definitions(wanted, self.old.values(), self.known)
        return self.texts.kept(sorted(messages & self.texts.messages.keys()), sorted(wanted))


def _may_move(before: set[T], after: Mapping[str, T]) -> bool:
    distinct = set(after.values())
    return distinct != before or len(distinct) > 1


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
