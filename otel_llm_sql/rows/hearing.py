"""What the operations of a session say about it: who says something first is believed.

A session's row remembers what was said and by whom, so that most batches add to it without reading its operations. Who
may not say it any more is forgotten; then the others are heard again.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple

from otel_llm_sql.records import AGENT_ID, METADATA, JsonValue
from otel_llm_sql.rows.facts import SpanKey
from otel_llm_sql.rows.identity import operation_id
from otel_llm_sql.rows.known import Carrier, Row
from otel_llm_sql.rows.placing import Named, around
from otel_llm_sql.rows.resolve import Final, Resolution
from otel_llm_sql.rows.spans import name_in, outlined

Stamp = tuple[int, str]
"""When something was said, and by which operation: the earliest wins, then the smallest id."""

_LAST = 2**63 - 1


def inherited_stamp(name: Named) -> Stamp:
    """Of an operation that does not name its session itself: whoever does is believed first, then the smallest name."""
    return (_LAST, f"{name.session_key} {name.workspace or ''}")


class Voice(NamedTuple):
    """What an operation says of its session's name.

    Attributes:
        session_key: as its own spans name it.
        workspace: as these tell it.
        inherited: the name that others of its trace give, where they do not.
    """

    session_key: str | None
    workspace: str | None
    inherited: Named | None


def _voice(final: Final) -> Voice:
    said = final.said
    return Voice(said.session_key, said.workspace, None if said.session_key else final.name)


class Voices:
    """The voices of operations that are stored.

    Args:
        spans: rows of all spans of their traces, by span.
    """

    def __init__(self, spans: Mapping[SpanKey, Row]) -> None:
        self._spans = spans
        self._traces = outlined(spans.values())
        self._members: dict[str, list[SpanKey]] = {}
        for key, row in spans.items():
            if row["operation_id"]:
                self._members.setdefault(row["operation_id"], []).append(key)

    def of(self, operation: str, session_id: str) -> Voice:
        """The voice of an operation in its session."""
        # The innermost span first, as when they are told; of the others it is not known which is around which.
        members = sorted(self._members.get(operation, ()), key=lambda key: (operation_id(*key) != operation, key))
        rows = [self._spans[key] for key in members]
        names = (name for row in rows if (name := name_in(row)))
        own = next((name for name in names if name.session_id == session_id), None)
        if own:
            return Voice(own.session_key, own.workspace, None)
        workspace = next((row["workspace"] for row in rows if row["workspace"]), None)
        return Voice(None, workspace, around(members, self._traces, attrgetter("names")))


SAID = ("session_key", "workspace", "agent_id", "user_id")

_UNNAMED = "workspace of those who name no session"
"""The workspace of a named session is that of those who name it: it is part of the name. Another only holds without."""


@dataclass(slots=True)
class Profile:
    """What the operations of one session say about it; the first to say something is believed."""

    said: dict[str, tuple[Stamp, str]] = field(default_factory=dict)
    metadata: dict[str, tuple[Stamp, JsonValue]] = field(default_factory=dict)

    def hear(self, stamp: Stamp, voice: Voice, *, agent_id: str | None, user_id: str | None) -> None:
        """Take what one operation says."""
        session_key, workspace, inherited = voice
        self._take(stamp, "session_key", session_key)
        self._take(stamp, "workspace" if session_key else _UNNAMED, workspace)
        self._take(stamp, "agent_id", agent_id)
        self._take(stamp, "user_id", user_id)
        if inherited:
            stamp = inherited_stamp(inherited)
            self._take(stamp, "session_key", inherited.session_key)
            self._take(stamp, "workspace", inherited.workspace)

    def _take(self, stamp: Stamp, name: str, value: str | None) -> None:
        if value and (name not in self.said or stamp < self.said[name][0]):
            self.said[name] = (stamp, value)

    def hear_metadata(self, stamp: Stamp, metadata: Mapping[str, JsonValue]) -> None:
        """Take the application's attributes, each by itself."""
        for name, value in metadata.items():
            if name not in self.metadata or stamp < self.metadata[name][0]:
                self.metadata[name] = (stamp, value)

    def recall(self, row: Mapping[str, Any], *, without: Container[str] = ()) -> list[tuple[str, Stamp]]:
        """Take what a session's row remembers; returns what it had from those in `without`."""
        forgotten = []
        provenance = dict(row["provenance"] or {})
        for name, (when, who) in (provenance.pop("metadata", None) or {}).items():
            if who in without:
                forgotten.append((f"metadata.{name}", (when, who)))
            else:
                self.hear_metadata((when, who), {name: row["metadata"][name]})
        for name, (when, who) in provenance.items():
            kept = _UNNAMED if name == "workspace" and row["session_key"] is None else name
            if who in without:
                forgotten.append((kept, (when, who)))
            else:
                self._take((when, who), kept, row[name])
        return forgotten

    def knows(self, name: str, stamp: Stamp) -> bool:
        """Whether something said no later than this is known."""
        known = self.metadata.get(name[9:]) if name.startswith("metadata.") else self.said.get(name)
        return known is not None and known[0] <= stamp

    def columns(self) -> dict[str, Any]:
        """Columns of `llm_sessions`, with what is needed to merge them again."""
        said = self.said
        if _UNNAMED in said and "session_key" not in said:
            said = said | {"workspace": said[_UNNAMED]}
        provenance: dict[str, Any] = {name: list(said[name][0]) for name in SAID if name in said}
        if self.metadata:
            provenance["metadata"] = {name: list(self.metadata[name][0]) for name in sorted(self.metadata)}
        row: dict[str, Any] = {name: said[name][1] if name in said else None for name in SAID}
        row["metadata"] = {name: self.metadata[name][1] for name in sorted(self.metadata)} or None
        row["provenance"] = provenance or None
        return row


@dataclass(slots=True)
class Hearing:
    """What the sessions hear that a resolution touches.

    Attributes:
        silent: who may not say any more what they said: ids of operations, and names that were inherited as their
            stamps tell them.
        profiles: what each session heard, by its id.
    """

    resolution: Resolution
    silent: set[str] = field(default_factory=set)
    profiles: dict[str, Profile] = field(default_factory=dict)
    _before: Voices | None = None

    def is_retold(self, final: Final) -> bool:
        """Whether an operation whose row stays names its session otherwise than it did; then that is forgotten."""
        before = self._voice_before(final.operation_id, final.session_id)
        if before == _voice(final):
            return False
        self._silence(final.operation_id, before)
        return True

    def forget(self, operation: str, session_id: str) -> None:
        """Forget what an operation said whose row changes or goes."""
        self._silence(operation, self._voice_before(operation, session_id))

    def _voice_before(self, operation: str, session_id: str) -> Voice:
        if self._before is None:
            self._before = Voices(self.resolution.kept)
        return self._before.of(operation, session_id)

    def _silence(self, operation: str, before: Voice) -> None:
        self.silent.add(operation)
        if before.inherited:
            self.silent.add(inherited_stamp(before.inherited)[1])

    def hear(self, touched: Container[str]) -> None:
        """Hear the operations of this resolution."""
        for final in self.resolution.finals.values():
            if final.session_id not in touched:
                continue
            values, extras = final.said.values, final.said.extras
            profile = self.profiles.get(final.session_id)
            if profile is None:
                profile = self.profiles[final.session_id] = Profile()
            stamp = (values.timestamp, final.operation_id)
            agent_id = extras.get(AGENT_ID) or values.agent_name
            profile.hear(stamp, _voice(final), agent_id=agent_id, user_id=values.user_id)
            if METADATA in extras:
                profile.hear_metadata(stamp, extras[METADATA])

    def recall(self, sessions: Mapping[str, Row]) -> set[str]:
        """Remember what the rows of sessions do; returns those that forget who first said what they remember."""
        speechless = set()
        for session_id, row in sessions.items():
            profile = self.profiles.setdefault(session_id, Profile())
            forgotten = profile.recall(row, without=self.silent)
            if any(not profile.knows(name, stamp) for name, stamp in forgotten):
                speechless.add(session_id)
        return speechless

    def hear_others(self, speechless: set[str], carriers: Iterable[Carrier]) -> None:
        """Hear the operations of speechless sessions that are not of this resolution."""
        rows = self.resolution.known.surroundings(speechless)
        voices = Voices({SpanKey(row["trace_id"], row["span_id"]): row for row in rows})
        for carrier in carriers:
            if carrier.operation_id in self.resolution.finals:
                continue
            profile = self.profiles[carrier.session_id]
            stamp = (carrier.timestamp, carrier.operation_id)
            voice = voices.of(carrier.operation_id, carrier.session_id)
            agent_id = carrier.extras.get(AGENT_ID) or carrier.agent_name
            profile.hear(stamp, voice, agent_id=agent_id, user_id=carrier.user_id)
            profile.hear_metadata(stamp, carrier.extras.get(METADATA) or {})
