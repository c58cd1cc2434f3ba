"""`otel-llm-sql ...`: parse words, call a room, print.

Results go to standard output, everything else to standard error. A failure is one line without traceback, password or
prompt, and an exit code that says what kind it was (`failures.py`).
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from otel_llm_sql.cli import demo, failures, import_files, migrate, serve, sql, status
from otel_llm_sql.masking import mask_all

COMMANDS = {
    "demo": demo,
    "status": status,
    "sql": sql,
    "import": import_files,
    "migrate": migrate,
    "serve": serve,
}
"""A command is a module with `SUMMARY`, `add_arguments(parser)` and `run(arguments) -> exit code`.

One that ends by itself on a signal says `HEARS_SIGNALS = True` and runs in the main thread, where Python delivers them.
"""

INTERRUPTED = 130

_LISTEN_SECONDS = 0.2
"""A join without a limit is deaf to Ctrl-C on Windows."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after the program's name; None for those of the process.

    Returns:
        The exit code: 0 ok, 1 failure, 2 usage, 3 database not reachable, 4 schema out of date. On Ctrl-C the process
        ends with 130.
    """
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as ended:  # --help, --version, words that are none of ours
        return ended.code if isinstance(ended.code, int) else 0
    _print_anything()
    try:
        if getattr(COMMANDS[arguments.command], "HEARS_SIGNALS", False):
            return _guarded(arguments)
        return _run_interruptibly(arguments)
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)  # nothing else ends a thread that waits in C


def _print_anything() -> None:
    """Have standard output escape what its encoding lacks, as standard error does: a file's name ends no command."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _run_interruptibly(arguments: argparse.Namespace) -> int:
    codes: list[int] = []
    # Python hears Ctrl-C in the main thread, and not while a driver waits in C: so the work is done in another one.
    work = threading.Thread(target=lambda: codes.append(_guarded(arguments)), daemon=True)
    work.start()
    while work.is_alive():
        work.join(_LISTEN_SECONDS)
    return codes[0]


def _guarded(arguments: argparse.Namespace) -> int:
    try:
        code: int = COMMANDS[arguments.command].run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader (`| head`) has what it wanted. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the door: whatever happens inside becomes one line and an exit code
        if os.environ.get(failures.TRACEBACK):
            traceback.print_exception(error)
        print(f"otel-llm-sql: {failures.line(error)}", file=sys.stderr)
        return failures.exit_code(error)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # argparse repeats what it was given, and a misplaced URL holds a password
        super().error(mask_all(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="otel-llm-sql", description="Telemetry of LLM calls in your own SQL database.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('otel-llm-sql')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        command = commands.add_parser(name, help=module.SUMMARY, description=module.__doc__)
        default = getattr(module, "DATABASE", "as the exporter finds it")
        command.add_argument("--db-uri", metavar="URL", help=f"database (default: {default})")
        command.add_argument("--schema", metavar="NAME", help="PostgreSQL schema that holds the tables")
        module.add_arguments(command)
    return parser
