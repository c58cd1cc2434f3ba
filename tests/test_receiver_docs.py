"""docs/receiver.md is true: its example runs as it stands, its tables say what the code says."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from receivers import serving, span_ids, traces

from otel_llm_sql.receiver.metrics import Meters
from otel_llm_sql.receiver.settings import _READERS, ReceiverSettings
from otel_llm_sql.testing import stored

PAGE = (Path(__file__).parent.parent / "docs" / "receiver.md").read_text(encoding="utf-8")


def rows(title: str) -> list[list[str]]:
    """The rows of the table under a heading."""
    section = re.split(r"^## ", PAGE.partition(f"\n## {title}\n")[2], flags=re.MULTILINE)[0]
    lines = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line] for line in lines if "..." not in line[0]]


def test_the_table_of_settings() -> None:
    """Every setting is in the table, with its default."""
    told = {name: row[1] for row in rows("Settings") for name in re.findall(r"`(\w+)`", row[0])}
    assert set(told) == {name.upper() for name in _READERS}
    for field in fields(ReceiverSettings):
        default: Any = field.default
        shown = "" if default in {None, ()} else f"{default:g}" if isinstance(default, float) else str(default)
        assert told[field.name.upper()].strip("`") == shown, field.name


def test_the_table_of_metrics() -> None:
    """Every metric is in the table, and no other."""
    told = {name for row in rows("Metrics") for name in re.findall(r"`(\w+)(?:{\w+})?`", row[0])}
    text = Meters().text().decode()
    counted = re.findall(r"^# HELP otel_llm_sql_receiver_(\w+) ", text, flags=re.MULTILINE)
    assert told == {name for name in counted if not name.endswith("_created")}


def test_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of an application that mounts the receiver stores what it is sent, and ends."""
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102 - our own page
    request = traces(2)
    with serving(names["app"]) as server:
        assert server.post(request.SerializeToString(), "/telemetry/v1/traces").status == 200
    assert {row["span_id"] for row in stored("sqlite:///llm.db")["llm_operations"]} == span_ids(request)
