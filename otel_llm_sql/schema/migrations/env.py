"""Runs migrations on the connection that `schema.versions.migrate` hands over; reads no file, touches no logging."""

from __future__ import annotations

from typing import Any

from alembic import context


def _note(step: Any, **_kwargs: Any) -> None:
    context.config.attributes["applied"].append(step.up_revision_id)


context.configure(
    connection=context.config.attributes["connection"],
    version_table="llm_schema_version",
    on_version_apply=_note,  # type: ignore[arg-type]  # alembic calls it by keywords
)
with context.begin_transaction():
    context.run_migrations()
