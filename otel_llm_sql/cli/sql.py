"""Run one SELECT and print its rows: a table on a terminal, CSV when piped.

The session is read-only, and a statement that runs longer than the query timeout is stopped.
"""

from __future__ import annotations

import argparse
import sys

from otel_llm_sql.cli import output
from otel_llm_sql.settings import load

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
    from otel_llm_sql.query import Query

    statement = sys.stdin.read() if arguments.statement == "-" else arguments.statement
    settings = load(url=arguments.db_uri, schema=arguments.schema)
    output.write(Query(settings.url, schema=settings.schema).query_db(statement), arguments.format)
    return 0
