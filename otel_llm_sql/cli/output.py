"""Rows as a table to read, or as CSV or JSON for the next program.

A terminal gets a table, a pipe gets CSV, unless a format is asked for. What people wrote is never cut; control
characters in it are shown, not sent to the terminal.
"""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from importlib.util import find_spec
from typing import Any, TextIO

Rows = Sequence[Mapping[str, Any]]

FORMATS = ("table", "csv", "json")

_NARROWEST = 8
"""Characters a column needs to be readable: a table with less for each is printed as one record after the other."""

_BIDIRECTIONAL = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_VISIBLE = _CONTROL | {code: f"\\u{code:04x}" for code in _BIDIRECTIONAL} | {ord("\n"): "\\n", ord("\t"): "\\t"}


def write(rows: Rows, form: str | None = None, columns: Sequence[str] | None = None) -> None:
    """Print rows on standard output.

    Args:
        rows: the rows; all have the same keys.
        form: one of `FORMATS`; None for a table on a terminal and CSV elsewhere.
        columns: names of the columns, for when there may be no row; None takes them from the first row.
    """
    names = list(columns or (rows[0] if rows else ()))
    _WRITERS[chosen(form)](rows, names, sys.stdout)


def chosen(form: str | None) -> str:
    """The format: what was asked for, else a table on a terminal and CSV elsewhere."""
    return form or ("table" if sys.stdout.isatty() else "csv")


def plain(value: object) -> object:
    """A value as strict JSON has it: times in ISO 8601, exact numbers as numbers, bytes in hexadecimal."""
    if value is None or isinstance(value, bool | int | str | list | dict):
        return value
    if isinstance(value, float | Decimal):
        return _number(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return bytes(value).hex() if isinstance(value, bytes | bytearray | memoryview) else str(value)


def _number(value: float | Decimal) -> object:
    if not math.isfinite(value):
        return None
    return int(value) if isinstance(value, Decimal) and value == int(value) else float(value)


def _text(value: object) -> str:
    value = plain(value)
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value).lower() if isinstance(value, bool) else str(value)


def shown(value: object) -> str:
    """A value as a person reads it, on one line: a sum of prices ends where its digits are no longer known."""
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.12g}"
    return "NULL" if value is None else _text(value).translate(_VISIBLE)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _write_csv(rows: Rows, names: Sequence[str], out: TextIO) -> None:
    if not names:
        return
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(["" if row[name] is None else _text(row[name]) for name in names] for row in rows)


def _write_json(rows: Rows, names: Sequence[str], out: TextIO) -> None:
    lines = (json.dumps({n: plain(row[n]) for n in names}, ensure_ascii=False, default=str) for row in rows)
    out.write("[" + ",".join(f"\n  {line}" for line in lines) + ("\n" if rows else "") + "]\n")


def _write_table(rows: Rows, names: Sequence[str], out: TextIO) -> None:
    width = shutil.get_terminal_size().columns
    if not rows:
        out.write("(no rows)\n")
    elif out.isatty() and len(names) * _NARROWEST > width:
        _write_records(rows, names, out)
    elif out.isatty() and find_spec("rich"):
        _write_rich(rows, names, out)
    else:
        _write_aligned(rows, names, out)


def _write_aligned(rows: Rows, names: Sequence[str], out: TextIO) -> None:
    cells = [[shown(row[name]) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    right = [all(row[name] is None or _is_number(row[name]) for row in rows) for name in names]
    for line in (names, ["-" * width for width in widths], *cells):
        padded = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True))
        out.write("  ".join(padded).rstrip() + "\n")


def _write_rich(rows: Rows, names: Sequence[str], out: TextIO) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="" if os.environ.get("NO_COLOR") else "bold", pad_edge=False)
    for name in names:
        numbers = all(row[name] is None or _is_number(row[name]) for row in rows)
        table.add_column(Text(name), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(row[name])) for name in names))
    Console(file=out, highlight=False).print(table)


def _write_records(rows: Rows, names: Sequence[str], out: TextIO) -> None:
    margin = max(map(len, names))
    for number, row in enumerate(rows, 1):
        out.write(f"-- row {number}\n")
        out.writelines(f"{name.ljust(margin)}  {shown(row[name])}\n" for name in names)


_WRITERS = {"table": _write_table, "csv": _write_csv, "json": _write_json}
