"""How far a file is read, on standard error: a bar with the extra `cli`, else a line; nothing where nobody looks."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec

Show = Callable[[int], None]
"""Shows how many bytes are done."""


def progress(what: str, total: int) -> AbstractContextManager[Show]:
    """Show progress while a block runs; what was shown is gone afterwards.

    Args:
        what: what is worked on.
        total: bytes there are; 0 where nobody knows, as with a pipe.
    """
    if not sys.stderr.isatty():
        return nullcontext(lambda _: None)
    return _bar(what, total) if find_spec("rich") else _line(what, total)


@contextmanager
def _bar(what: str, total: int) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as shown:
        task = shown.add_task(what, total=total or None)
        yield lambda done: shown.update(task, completed=done)


@contextmanager
def _line(what: str, total: int) -> Iterator[Show]:
    width = max(shutil.get_terminal_size().columns - 1, 1)

    def show(done: int) -> None:
        share = f" ({done * 100 // total} %)" if total else ""
        write(f"{what}: {done / 1e6:,.1f} MB{share}")

    def write(text: str) -> None:
        sys.stderr.write(f"\r{text[-width:].ljust(width)}\r")
        sys.stderr.flush()

    try:
        yield show
    finally:
        write("")
