"""What messages and tool definitions say, by digest: from the batch, or from where they stand in the database.

Two spans that tell about one call may tell its messages in different shapes. Only one shape is shown; the other is kept
with the evidence, so that it is still there should later evidence bring it back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from otel_llm_sql.records import JsonValue, Message
from otel_llm_sql.rows.identity import digest_of_text, digest_text, message_digest, message_digests, session_prefix
from otel_llm_sql.rows.known import Known, Row
from otel_llm_sql.rows.naming import Names, add_name

_FIELDS = ("role", "content", "parts", "tool_call_id")


class Texts:
    """Messages and tool definitions by digest."""

    def __init__(self) -> None:
        self.messages: dict[str, Message] = {}
        self.definitions: dict[str, JsonValue] = {}

    def learn(self, messages: Iterable[Message]) -> tuple[list[str], Names | None]:
        """Take what messages say; returns their digests, and the names of tools that they tell."""
        digests = []
        names: Names | None = None
        known = self.messages
        for message in messages:
            digest = message.digest
            if digest is None:
                digest = message.digest = message_digest(message)
            digests.append(digest)
            if digest not in known:
                known[digest] = message
            if message.tool_name:
                names = {} if names is None else names
                add_name(names, digest, message.tool_name)
        return digests, names

    def kept(self, messages: Iterable[str], definitions: Iterable[str]) -> dict[str, JsonValue]:
        """What is kept with evidence whose shape is not shown."""
        kept: dict[str, JsonValue] = {}
        if texts := {digest_text(d): {n: getattr(self.messages[d], n) for n in _FIELDS} for d in messages}:
            kept["texts"] = texts
        if tools := {digest_text(d): self.definitions[d] for d in definitions}:
            kept["definitions"] = tools
        return kept

    def unpack(self, kept: Mapping[str, Any]) -> None:
        """Take back what was kept with evidence."""
        for text, fields in (kept.get("texts") or {}).items():
            self.messages.setdefault(digest_of_text(text), Message(**fields))
        for text, definitions in (kept.get("definitions") or {}).items():
            self.definitions.setdefault(digest_of_text(text), definitions)

    def recover(self, messages: Iterable[str], old: Collection[Row], known: Known) -> None:
        """Read messages that the batch does not have from the operations that carried them."""
        missing = {digest for digest in messages if digest not in self.messages} if old else set()
        if not missing:
            return
        places: dict[str, str] = {}
        for row in old:
            ids = row["message_ids"] or ()
            places.update((text, d) for text, d in zip(ids, message_digests(ids), strict=True) if d in missing)
        for row in known.messages(places):
            self.messages[places[row["message_id"]]] = Message(**{name: row[name] for name in _FIELDS})

    def recover_definitions(self, digests: Iterable[str], old: Iterable[Row], known: Known) -> None:
        """Read tool definitions that the batch does not have from the sessions in which they stand."""
        missing = {digest for digest in digests if digest not in self.definitions}
        if not missing:
            return
        prefixes = {session_prefix(row["session_id"]) for row in old}
        places = {prefix + digest: digest for digest in missing for prefix in prefixes}
        for text, definitions in known.definitions(places).items():
            self.definitions[places[text]] = definitions
