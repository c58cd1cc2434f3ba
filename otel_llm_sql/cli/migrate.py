"""Bring the tables to the version this package writes.

It may run while programs write: they keep their telemetry until it is done. What programs that ended had kept is
stored.
"""

from __future__ import annotations

import argparse

from otel_llm_sql.masking import mask
from otel_llm_sql.settings import load

SUMMARY = "create the tables, or upgrade those of an older version"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's own arguments: it has none."""


def run(arguments: argparse.Namespace) -> int:
    """Migrate."""
    from otel_llm_sql.cli.connections import connected
    from otel_llm_sql.pipeline import Pipeline
    from otel_llm_sql.schema import tables, versions

    settings = load(url=arguments.db_uri, schema=arguments.schema)
    with connected(settings, role="write") as (engine, connection):
        before = versions.current_version(connection)
        connection.rollback()
        versions.migrate(engine)
    state = "already at" if before == tables.VERSION else f"{before or 'no tables'} ->"
    print(f"{mask(settings.url)}: {state} {tables.VERSION}")
    if kept := Pipeline(settings).replay():
        print(f"stored {kept:,} operations that programs had kept meanwhile")
    return 0
