"""docs/schema.md tells the truth about the tables."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from otel_llm_sql.schema import tables, versions
from otel_llm_sql.store.engines import create_engine

PAGE = Path(__file__).parent.parent / "docs" / "schema.md"


def _documented() -> dict[str, list[str]]:
    sections = re.split(r"^## ", PAGE.read_text().partition("\n# Examples\n")[0], flags=re.MULTILINE)[1:]
    rows = {
        section.split("\n")[0]: re.findall(r"^\| (\w+) \| .* \| .+ \|$", section, flags=re.MULTILINE)
        for section in sections
    }
    return {name: [column for column in columns if column != "column"] for name, columns in rows.items()}


def test_the_page_names_every_table_view_and_column(new_database: Callable[[str], str]) -> None:
    """Tables, views and columns on the page are those of a real database, in the same order."""
    engine = create_engine(new_database("sqlite"))
    versions.ensure(engine)
    inspector = sa.inspect(engine)
    names = (*tables.metadata.tables, *inspector.get_view_names())
    actual = {name: [column["name"] for column in inspector.get_columns(name)] for name in names}
    engine.dispose()
    assert _documented() == actual


def test_the_page_tells_what_can_be_null() -> None:
    """A column is documented with `null` exactly where the table allows it."""
    rows = re.findall(r"^## (\w+)$|^\| (\w+) \| (.*?) \|", PAGE.read_text(), flags=re.MULTILINE)
    documented, table = set(), ""
    for heading, column, type_ in rows:
        table = heading or table
        if column and table in tables.metadata.tables and type_.endswith("null"):
            documented.add((table, column))
    nullable = {(t.name, c.name) for t in tables.metadata.tables.values() for c in t.columns if c.nullable}
    assert documented == nullable


def test_the_examples_run(url: str) -> None:
    """Every query on the page runs verbatim on every database."""
    engine = create_engine(url)
    versions.ensure(engine)
    queries = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    with engine.connect() as connection:
        answers = [connection.exec_driver_sql(query).all() for query in queries]
    engine.dispose()
    assert answers == [[], [], []]


def test_how_text_is_compared(url: str, kind: str) -> None:
    """Upper and lower case differ everywhere; spaces at the end differ, except to MariaDB, as the page says."""
    engine = create_engine(url)
    versions.ensure(engine)
    key, moment = tables.sessions.c.session_key, datetime(2026, 1, 1, tzinfo=UTC)
    with engine.begin() as connection:
        row = {"session_id": str(uuid.uuid4()), "session_key": "a", "created_at": moment, "last_seen_at": moment}
        connection.execute(tables.sessions.insert(), row)
        equal = {text for text in ("a", "A", "a ") if connection.scalar(sa.select(key).where(key == text))}
        like = {text for text in ("a", "a ") if connection.scalar(sa.select(key).where(key.like(text)))}
    engine.dispose()
    assert equal == ({"a", "a "} if kind == "mariadb" else {"a"})
    assert like == {"a"}
    assert "MariaDB and MySQL ignore spaces at the end" in PAGE.read_text()


def test_the_page_says_who_owns_a_message() -> None:
    """As decision 0002: calls to a provider go before what is around them."""
    assert "| operation_id | UUID, foreign key | the earliest call to a provider" in PAGE.read_text()
