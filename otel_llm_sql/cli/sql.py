"""Run one SELECT and print its rows: a table on a terminal, CSV when piped.

The session is read-only, and a statement that runs longer than the query timeout is stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from otel_llm_sql.cli import output
from otel_llm_sql.settings import Settings, load

if TYPE_CHECKING:
    from otel_llm_sql.query.columns import Column

SUMMARY = "run a SELECT and print its rows (table, CSV or JSON)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's own arguments."""
    parser.add_argument("statement", metavar="SELECT", help="the SQL statement; `-` reads it from standard input")
    formats = parser.add_mutually_exclusive_group()
    formats.add_argument("--format", choices=output.FORMATS, help="default: table on a terminal, else csv")
    formats.add_argument("--csv", dest="format", action="store_const", const="csv", help="the same as --format csv")
    formats.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")


def run(arguments: argparse.Namespace) -> int:
    """Run the statement."""
    statement = sys.stdin.read() if arguments.statement == "-" else arguments.statement
    columns = _ask(load(url=arguments.db_uri, schema=arguments.schema), statement)
    form = output.chosen(arguments.format)
    names = [column.name for column in columns]
    values = (_values(column, parsed=form == "json") for column in columns)
    output.write([dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)], form, names)
    return 0


def _ask(settings: Settings, statement: str) -> list[Column]:
    from otel_llm_sql.query.engines import reader, require_database
    from otel_llm_sql.query.failures import explained
    from otel_llm_sql.query.reading import read_columns

    require_database(settings.url)
    engine = reader(settings.url, settings.schema, settings.query_timeout)
    with explained(settings.query_timeout), engine.connect() as connection:
        return read_columns(connection, statement, None, settings.query_timeout)


def _values(column: Column, *, parsed: bool) -> list[Any]:
    """A column's values; JSON inside JSON is no text."""
    if not parsed or column.kind != "json":
        return column.values
    return [value if value is None else json.loads(value) for value in column.values]
