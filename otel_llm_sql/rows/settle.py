"""The second half of a resolution: rows of operations, messages, tool definitions and sessions.

A message belongs to the earliest operation of its session that carried it, calls to a provider before the agents and
tools around them (an agent's span starts first and repeats what its calls said: docs/decisions/0002).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain

import orjson

from otel_llm_sql.records import DEFINITIONS
from otel_llm_sql.rows.batch import COLUMNS, RowBatch
from otel_llm_sql.rows.facts import names_in, names_told
from otel_llm_sql.rows.forms import (
    Claim,
    claimant_of,
    claimant_of_carrier,
    is_stored,
    message_row,
    moved_row,
    operation_row,
    precedence,
)
from otel_llm_sql.rows.hearing import Hearing
from otel_llm_sql.rows.identity import definitions_digest_of, message_digests, session_prefix
from otel_llm_sql.rows.known import Carrier, Owner, Row
from otel_llm_sql.rows.naming import Names, add_name, add_names
from otel_llm_sql.rows.notes import note
from otel_llm_sql.rows.resolve import Final, Resolution


@dataclass(slots=True)
class Settlement:
    """What becomes of messages and sessions once the operations are known.

    Attributes:
        unsettled: rows of operations that were stored otherwise, or are gone.
        touched: sessions that gain, lose or change an operation.
        claims: the best claim of the changed operations on each message, by message id.
        names: names of tools that the changed operations tell, by message id.
        told: names of tools, by digest, that operations told, by operation id.
        renaming: operations whose rows stay, but not the names of tools that they tell.
        unnamed: messages of which an operation no longer tells the name: id -> session and name.
        withdrawn: messages that an operation no longer carries, or carries later than it did: id -> session.
        carriers: all operations of the sessions in which somebody else may have to step in.
    """

    resolution: Resolution
    batch: RowBatch
    hearing: Hearing
    unsettled: dict[str, Row] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    sessions: dict[str, Row] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    names: Names = field(default_factory=dict)
    told: dict[str, Names] = field(default_factory=dict)
    renaming: set[str] = field(default_factory=set)
    unnamed: dict[str, tuple[str, str]] = field(default_factory=dict)
    withdrawn: dict[str, str] = field(default_factory=dict)
    definitions: dict[str, tuple[str, str]] = field(default_factory=dict)
    lost_definitions: dict[str, str] = field(default_factory=dict)
    carriers: dict[str, list[Carrier]] = field(default_factory=dict)

    def write_operations(self) -> None:
        """Rows of `llm_operations` that are new or different; and what they say of messages and sessions."""
        changed = set()
        self._recall_names()
        # In the order in which they own messages: the first claim on a message is the best.
        for final in sorted(self.resolution.finals.values(), key=_precedence):
            row, ids = operation_row(final)
            before = self.resolution.old.get(final.operation_id)
            if before is not None and is_stored(row, before):
                self._retell(final, ids)
                continue
            self.batch.put("llm_operations", row, exists=before is not None)
            if self.resolution.notes:
                self._keep_notes(final)
            changed.add(final.operation_id)
            self.touched.add(final.session_id)
            self._claim(final, ids)
        for operation_id, before in self.resolution.old.items():
            if operation_id in changed or operation_id not in self.resolution.finals:
                self.unsettled[operation_id] = before
                self.touched.add(before["session_id"])
                self.hearing.forget(operation_id, before["session_id"])
                self._withdraw(before)
        self._withdraw_names()

    def _recall_names(self) -> None:
        """Who told which names of tools, as far as they are in sight."""
        for key, evidence in self.resolution.stored.items():
            operation_id = self.resolution.kept[key]["operation_id"]
            if operation_id and (names := names_told(evidence.said())):
                add_names(self.told.setdefault(operation_id, {}), names)

    def _retell(self, final: Final, ids: list[str]) -> None:
        """What an operation tells otherwise although its row stays: the names of tools, and of its session."""
        if (final.said.names or {}) != self.told.get(final.operation_id, {}):
            self.renaming.add(final.operation_id)
            self.touched.add(final.session_id)
            self._claim(final, ids)
        if self.hearing.is_retold(final):
            self.touched.add(final.session_id)

    def _keep_notes(self, final: Final) -> None:
        """What was cut of an operation, or of those whose spans it has now, stays cut."""
        kept, notes = self.resolution.kept, self.resolution.notes
        for key in final.members:
            if key in kept and (sizes := notes.get(kept[key]["operation_id"])):
                note(self.batch.notes, final.operation_id, sizes)

    def _claim(self, final: Final, ids: list[str]) -> None:
        claimant = claimant_of(final)
        claims = self.claims
        for number, message_id in enumerate(ids):
            if message_id not in claims:
                claims[message_id] = (claimant, number)
        if names := final.said.names:
            for message_id, said in zip(ids, final.said.digests, strict=True):
                add_name(self.names, message_id, names.get(said))
        if (digest := definitions_digest_of(final.said.extras)) is not None:
            self.definitions[session_prefix(final.session_id) + digest] = (final.session_id, digest)

    def _withdraw(self, before: Row) -> None:
        standing = precedence(before["operation_type"], before["timestamp"], before["operation_id"])
        for message_id in before["message_ids"] or ():
            claim = self.claims.get(message_id)
            if claim is None or claim[0].precedence > standing:
                self.withdrawn[message_id] = before["session_id"]
        definitions_id = (before["extras"] or {}).get(DEFINITIONS)
        if definitions_id and definitions_id not in self.definitions:
            self.lost_definitions[definitions_id] = before["session_id"]

    def _withdraw_names(self) -> None:
        """Which messages had names of tools from operations that tell others now, or no longer carry them."""
        for operation_id in self.told.keys() & (self.unsettled.keys() | self.renaming):
            before = self.resolution.old[operation_id]
            ids = before["message_ids"] or ()
            for message_id, digest in zip(ids, message_digests(ids), strict=True):
                name, now = self.told[operation_id].get(digest), self.names.get(message_id)
                if name and (now is None or now > name):
                    home = (before["session_id"], name)
                    self.unnamed[message_id] = min(home, self.unnamed.get(message_id, home))

    def search(self) -> None:
        """Read all operations of the sessions in which somebody else may have to step in."""
        known = self.resolution.known
        self.sessions = known.sessions(self.touched) if self.touched else {}
        self.hearing.hear(self.touched)
        speechless = self.hearing.recall(self.sessions)
        wanted = set(self.lost_definitions.values()) | speechless
        if asked := self.withdrawn.keys() | self.unnamed.keys():
            owners = known.owners(asked)
            orphans = {m for m, owner in owners.items() if owner.operation_id in self.unsettled}
            self.withdrawn = {m: s for m, s in self.withdrawn.items() if m in orphans}
            named = {(m, owner.tool_name) for m, owner in owners.items()}
            self.unnamed = {m: home for m, home in self.unnamed.items() if (m, home[1]) in named}
            wanted.update(self.withdrawn.values(), (session_id for session_id, _ in self.unnamed.values()))
        if wanted:
            for carrier in known.carriers(wanted):
                if carrier.operation_id not in self.unsettled:
                    self.carriers.setdefault(carrier.session_id, []).append(carrier)
        for session_id in wanted:
            self.carriers.setdefault(session_id, [])
        if speechless:
            self.hearing.hear_others(speechless, chain.from_iterable(self.carriers[s] for s in speechless))

    def write_messages(self) -> None:
        """Rows of `llm_messages`: new ones, and those whose owner changes."""
        self._claim_for_others()
        self._name_by_others()
        new = self.claims
        if owners := self._owners():
            self._move(owners)
            self._repeat(owners)
            new = {message_id: claim for message_id, claim in new.items() if message_id not in owners}
        texts = self.resolution.texts
        digests = [owner.digests[number] for owner, number in new.values()]
        texts.recover(digests, self.resolution.old.values(), self.resolution.known)
        self.batch.inserts["llm_messages"] = [
            message_row(message_id, claim, texts.messages[digest], self.names.get(message_id))
            for (message_id, claim), digest in zip(new.items(), digests, strict=True)
        ]
        self.batch.deletes["llm_messages"] = [m for m in self.withdrawn if m not in self.claims]

    def _name_by_others(self) -> None:
        """The names that others tell who still carry messages that somebody does not name any more."""
        unnamed = {m for m in self.unnamed if m in self.claims or m not in self.withdrawn}
        carriers = {
            carrier.operation_id: carrier.message_ids
            for carrier in chain.from_iterable(self.carriers.values())
            if carrier.operation_id not in self.renaming and not unnamed.isdisjoint(carrier.message_ids)
        }
        for operation_id, kept in self.resolution.known.kept(carriers) if carriers else ():
            ids = carriers[operation_id]
            digests = message_digests(ids)
            names = names_in(kept, digests)
            for message_id, digest in zip(ids, digests, strict=True):
                if message_id in unnamed:
                    add_name(self.names, message_id, names.get(digest))

    def _owners(self) -> dict[str, Owner]:
        """Who owns those claimed messages that are stored, and those that somebody does not name any more."""
        if not self.sessions:
            return {}
        existing = {m for m, (owner, _) in self.claims.items() if owner.session_id in self.sessions}
        existing.update(m for m in self.unnamed if m not in self.withdrawn)
        return self.resolution.known.owners(existing) if existing else {}

    def _move(self, owners: Mapping[str, Owner]) -> None:
        """Give messages to who claims them, where that one comes before the owner; and change names of tools."""
        updates = self.batch.updates["llm_messages"]
        for message_id, owner in owners.items():
            if claim := self.claims.get(message_id):
                standing = precedence(owner.operation_type, owner.timestamp, owner.operation_id)
                if owner.operation_id in self.unsettled or claim[0].precedence < standing:
                    updates.append(moved_row(message_id, claim))
            told = (self.names.get(message_id), None if message_id in self.unnamed else owner.tool_name)
            name = min(filter(None, told), default=None)
            if name != owner.tool_name:
                updates.append({"message_id": message_id, "tool_name": name})

    def _repeat(self, owners: Iterable[str]) -> None:
        """What the messages say that are stored already, as far as it was told again."""
        told = self.resolution.texts.messages
        claims = ((text, self.claims[text]) for text in owners if text in self.claims)
        carried = ((text, owner.digests[number]) for text, (owner, number) in claims if owner.digests)
        self.batch.repeated = {text: told[digest] for text, digest in carried if digest in told}

    def _claim_for_others(self) -> None:
        for carrier in chain.from_iterable(self.carriers.values()):
            claimant = claimant_of_carrier(carrier)
            for number, message_id in enumerate(carrier.message_ids):
                if message_id in self.withdrawn:
                    claim = (claimant, number)
                    self.claims[message_id] = min(claim, self.claims.get(message_id, claim))

    def write_definitions(self) -> None:
        """Rows of `llm_tool_definitions`: once per session."""
        carried = {
            text for carrier in chain.from_iterable(self.carriers.values()) if (text := carrier.extras.get(DEFINITIONS))
        }
        self.batch.deletes["llm_tool_definitions"] = [d for d in self.lost_definitions if d not in carried]
        if not self.definitions:
            return
        known = self.resolution.known
        stored = known.definitions(self.definitions)
        new = {text: home for text, home in self.definitions.items() if text not in stored}
        texts = self.resolution.texts
        texts.recover_definitions({digest for _, digest in new.values()}, self.resolution.old.values(), known)
        for definitions_id, (session_id, digest) in new.items():
            definitions = orjson.dumps(texts.definitions[digest]).decode()
            self.batch.inserts["llm_tool_definitions"].append((definitions_id, session_id, definitions))

    def write_sessions(self) -> None:
        """Rows of `llm_sessions`: new, changed, or empty and gone."""
        extents = self._extents()
        for session_id in self.touched:
            before = self.sessions.get(session_id)
            if session_id not in extents:
                if before is not None:
                    self.batch.deletes["llm_sessions"].append(session_id)
                continue
            row = self._session_row(session_id, extents[session_id])
            if before is None or any(before[name] != value for name, value in row.items()):
                for name in ("metadata", "provenance"):
                    row[name] = orjson.dumps(row[name]).decode() if row[name] is not None else None
                new_row = tuple(row[name] for name in COLUMNS["llm_sessions"])
                self.batch.put("llm_sessions", new_row, exists=before is not None)

    def _extents(self) -> dict[str, tuple[int, int]]:
        shrinking = {row["session_id"] for row in self.unsettled.values()}
        extents = {
            s: (row["created_at"], row["last_seen_at"]) for s, row in self.sessions.items() if s not in shrinking
        }
        if shrinking:
            extents.update(self.resolution.known.extents(shrinking, self.unsettled))
        for final in self.resolution.finals.values():
            if final.session_id in self.touched:
                moment = final.said.values.timestamp
                first, last = extents.get(final.session_id, (moment, moment))
                extents[final.session_id] = (min(first, moment), max(last, moment))
        return extents

    def _session_row(self, session_id: str, extent: tuple[int, int]) -> Row:
        row: Row = {"session_id": session_id} | self.hearing.profiles[session_id].columns()
        row["created_at"], row["last_seen_at"] = extent
        return row


def _precedence(final: Final) -> tuple[bool, int, str]:
    values = final.said.values
    return precedence(values.operation_type, values.timestamp, final.operation_id)
