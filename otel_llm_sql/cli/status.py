"""Show where the telemetry goes: database, schema version, rows of each table, newest operation."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from otel_llm_sql.cli import output
from otel_llm_sql.masking import mask
from otel_llm_sql.settings import load

if TYPE_CHECKING:
    from sqlalchemy import Connection

SUMMARY = "show the database, its schema version, row counts and the newest row"

_COUNTED = ("sessions", "operations", "messages", "spans", "tool_definitions", "dead_letters")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's own arguments."""
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")


def run(arguments: argparse.Namespace) -> int:
    """Show the status; the exit code says whether the schema is current."""
    from otel_llm_sql.cli.connections import connected, require_current
    from otel_llm_sql.schema import versions
    from otel_llm_sql.schema.tables import VERSION

    settings = load(url=arguments.db_uri, schema=arguments.schema)
    with connected(settings) as (_, connection):
        found = versions.current_version(connection)
        facts = _facts(connection) if found == VERSION else []
    where = [("database", mask(settings.url)), ("schema found", found or "no tables yet"), ("schema wanted", VERSION)]
    rows = [{"what": what, "value": value} for what, value in [*where, *facts]]
    _print(rows, as_json=arguments.json)
    require_current(found)
    return 0


def _facts(connection: Connection) -> list[tuple[str, Any]]:
    import sqlalchemy as sa

    from otel_llm_sql.schema import tables

    counted = [getattr(tables, name) for name in _COUNTED]
    counts = [(t.name, connection.scalar(sa.select(sa.func.count()).select_from(t))) for t in counted]
    newest = connection.scalar(sa.select(sa.func.max(tables.operations.c.timestamp)))
    return [*counts, ("newest operation", newest)]


def _print(rows: output.Rows, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({str(row["what"]).replace(" ", "_"): output.plain(row["value"]) for row in rows}))
        return
    for row in rows:
        print(f"{row['what']:<22} {output.shown(row['value'])}")
