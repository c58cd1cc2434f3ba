"""Run a small program that calls an LLM (a local stand-in: no key, no network) and show the rows it leaves.

The program uses the `openai` client and is started as any program would be: with `opentelemetry-instrument` and
environment variables. Everything that is shown afterwards is read back from the database.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from otel_llm_sql.cli import output
from otel_llm_sql.errors import LlmSqlError
from otel_llm_sql.masking import mask
from otel_llm_sql.settings import Settings, default_url, load

if TYPE_CHECKING:
    from otel_llm_sql.query import Query

SUMMARY = "run a small program that calls an LLM stand-in, and show the rows it leaves"

DATABASE = "a file of its own"
"""What it writes to unless it is told."""

SERVICE = "otel-llm-sql-demo"
"""The program's `service.name`."""

_SHOWN = {
    "OTEL_TRACES_EXPORTER": "llm_sql",
    "OTEL_LOGS_EXPORTER": "llm_sql",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
}
"""What anybody sets for a program of their own."""
_NEEDED = ("openai", "opentelemetry.distro", "opentelemetry.instrumentation.genai.openai")
_TIMEOUT_SECONDS = 120

_TABLES = {
    "llm_sessions, newest first": """
        SELECT session_key, workspace, user_id, created_at, last_seen_at FROM llm_sessions
        WHERE session_id IN (SELECT session_id FROM llm_operations WHERE service_name = :service)
        ORDER BY last_seen_at DESC LIMIT 4""",
    "llm_operations, newest first": """
        SELECT operation_type, model, input_tokens, output_tokens, latency_ms, cost, status FROM llm_operations
        WHERE service_name = :service
        ORDER BY timestamp DESC LIMIT 9""",
    "llm_messages, newest first": """
        SELECT role, direction, SUBSTR(content, 1, 60) AS content FROM llm_messages
        WHERE operation_id IN (SELECT operation_id FROM llm_operations WHERE service_name = :service)
        ORDER BY timestamp DESC, sequence_number DESC LIMIT 8""",
    "Cost by model": """
        SELECT model, COUNT(*) AS calls, SUM(input_tokens) AS input_tokens, SUM(output_tokens) AS output_tokens,
            SUM(cost) AS cost FROM llm_operations
        WHERE service_name = :service AND provider IS NOT NULL
        GROUP BY model ORDER BY model""",
}
_COLUMNS = ["timestamp", "workspace", "provider", "model", "input_tokens", "output_tokens", "cost", "status"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's own arguments: it has none."""


def run(arguments: argparse.Namespace) -> int:
    """Run the demo."""
    _require_extra()
    from otel_llm_sql.query import Query

    settings = load(url=arguments.db_uri or demo_url(), schema=arguments.schema)
    before = _operations(settings)
    _run_program(settings)
    if _operations(settings) == before:
        raise LlmSqlError("the program ran, but no row arrived: see the lines of the exporter above")
    _show(Query(settings.url, schema=settings.schema))
    _say_what_next(settings)
    return 0


def demo_url() -> str:
    """URL of the demo's own database file, beside the default database."""
    folder, _, _ = default_url().rpartition("/")
    return f"{folder}/demo.db"


def _require_extra() -> None:
    missing = [name for name in _NEEDED if not _installed(name)]
    if missing:
        raise LlmSqlError(f"the demo needs {', '.join(missing)}: pip install 'otel-llm-sql[demo]'")


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it is missing
        return False


def _operations(settings: Settings) -> int:
    """How many operations the database holds; says so if it cannot be written to."""
    import sqlalchemy as sa

    from otel_llm_sql.cli.connections import connected, require_current
    from otel_llm_sql.schema import tables, versions

    with connected(settings, role="write") as (_, connection):
        found = versions.current_version(connection)
        require_current(found)
        return 0 if found is None else connection.scalar(sa.select(sa.func.count()).select_from(tables.operations)) or 0


def _run_program(settings: Settings) -> None:
    from otel_llm_sql.demo import stand_in

    program = str(Path(stand_in.__file__).with_name("app.py"))
    print(f"A program that calls an LLM: {program}")
    for name, value in _SHOWN.items():
        print(f"  {name}={value} \\")
    print("  opentelemetry-instrument python app.py\n", flush=True)
    with stand_in.running() as base_url:
        command = [_instrument(), sys.executable, program]
        env = _environment(settings, base_url)
        # S603: the program is ours, and nothing in the command comes from outside
        ended = subprocess.run(command, env=env, timeout=_TIMEOUT_SECONDS, check=False)  # noqa: S603
    if ended.returncode:
        raise LlmSqlError(f"the program ended with exit code {ended.returncode}")


def _instrument() -> str:
    beside = shutil.which("opentelemetry-instrument", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("opentelemetry-instrument")
    if not found:
        raise LlmSqlError("opentelemetry-instrument is not on the PATH: pip install 'otel-llm-sql[demo]'")
    return found


def _environment(settings: Settings, base_url: str) -> dict[str, str]:
    """The caller's environment without its own OpenTelemetry settings, which are about other programs."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith("OTEL_") or n.startswith("OTEL_EXPORTER_LLM_SQL_")}
    database = {"OTEL_EXPORTER_LLM_SQL_URL": settings.url, "OTEL_EXPORTER_LLM_SQL_SCHEMA": settings.schema or ""}
    service = {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "no-key-needed", "NO_PROXY": "127.0.0.1"}
    return kept | _SHOWN | {"OTEL_SERVICE_NAME": SERVICE} | database | service


def _show(query: Query) -> None:
    import polars as pl

    for title, statement in _TABLES.items():
        print(f"\n{title}\n")
        output.write(query.query_db(statement, {"service": SERVICE}), "table")
    print("\nThe same as a Polars frame: polars_from_db(service_name=...)\n")
    with pl.Config(tbl_rows=6, tbl_cols=-1, tbl_width_chars=120, fmt_str_lengths=32):
        print(query.polars_from_db(service_name=SERVICE, columns=_COLUMNS))


def _say_what_next(settings: Settings) -> None:
    masked = mask(settings.url)
    url = settings.url if masked == settings.url else "URL"  # a password is not shown
    statement = "SELECT model, SUM(cost) AS cost FROM llm_operations GROUP BY model"
    print(f"\nThe rows are in {masked.removeprefix('sqlite:///')}\nWhat to type next:\n")
    program = _typed("otel-llm-sql")
    print(f'  {program} sql --db-uri "{url}" "{statement}"')
    print(f'  {program} status --db-uri "{url}"')
    frame = f"Query('{url}').polars_from_db(columns=['timestamp', 'model', 'input_tokens', 'cost'])"
    print(f'  {_typed("python")} -c "from otel_llm_sql import Query; print({frame})"')


def _typed(program: str) -> str:
    """What to type for a program of this environment: its path, unless the shell finds it by its name."""
    beside = Path(sys.executable).with_name(program)
    return str(beside) if beside.exists() and shutil.which(program) != str(beside) else program
