"""The shape of the database: versions, migrations, and who may change it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from otel_llm_sql.errors import SchemaError
from otel_llm_sql.schema import tables, versions, views
from otel_llm_sql.schema.types import Uuid
from otel_llm_sql.store.engines import create_engine

pytestmark = pytest.mark.quick


@contextmanager
def engine(url: str, **options: Any) -> Iterator[sa.Engine]:
    made = create_engine(url, **options)
    try:
        yield made
    finally:
        made.dispose()


def shape(url: str) -> dict[str, Any]:
    """Everything that inspection tells about the tables and views of a database."""
    with engine(url) as made:
        inspector = sa.inspect(made)
        return {name: _table_shape(inspector, name) for name in sorted(inspector.get_table_names())} | {
            name: [(column["name"], str(column["type"])) for column in inspector.get_columns(name)]
            for name in sorted(inspector.get_view_names())
        }


def _table_shape(inspector: sa.Inspector, name: str) -> dict[str, Any]:
    return {
        "columns": [
            (column["name"], repr(column["type"]), column["nullable"], column["default"], column.get("comment"))
            for column in inspector.get_columns(name)
        ],
        "primary key": inspector.get_pk_constraint(name),
        "foreign keys": sorted(inspector.get_foreign_keys(name), key=str),
        "indexes": sorted(inspector.get_indexes(name), key=str),
        "options": _options(inspector, name),
    }


def _options(inspector: sa.Inspector, name: str) -> dict[str, Any]:
    try:
        return inspector.get_table_options(name)
    except NotImplementedError:  # SQLAlchemy 2.0 asks for them on MySQL alone
        return {}


def test_fresh_schema_equals_migrated_schema(kind: str, new_database: Callable[[str], str]) -> None:
    """A database made at once and one brought there by every migration cannot be told apart."""
    fresh, migrated = new_database(kind), new_database(kind)
    with engine(fresh) as made:
        versions.ensure(made)
    with engine(migrated) as made:
        assert versions.migrate(made) == ["0001", "0002", "0003", "0004"]
    assert shape(fresh) == shape(migrated)
    assert set(shape(fresh)) == set(tables.metadata.tables) | set(views.VIEWS)


@pytest.mark.parametrize("way", [versions.ensure, versions.migrate])
def test_alembic_finds_no_difference(url: str, way: Callable[[sa.Engine], Any]) -> None:
    """Alembic's own comparison of the tables with the database is empty."""
    with engine(url) as made:
        way(made)
        with made.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": False})
            assert compare_metadata(context, tables.metadata) == []


def test_all_lock_stripes_exist(kind: str, new_database: Callable[[str], str]) -> None:
    """A fresh and a migrated database both hold every row that writers lock."""
    for way in (versions.ensure, versions.migrate):
        with engine(new_database(kind)) as made:
            way(made)
            with made.connect() as connection:
                stripes = list(connection.scalars(sa.select(tables.locks.c.stripe).order_by("stripe")))
        assert stripes == list(range(tables.LOCK_STRIPES))


def test_ensure_is_repeatable(url: str) -> None:
    """What is current is left alone."""
    with engine(url) as made:
        versions.ensure(made)
        with made.begin() as connection:
            assert versions.current_version(connection) == tables.VERSION
            connection.execute(tables.sessions.insert(), [_session()])
        versions.ensure(made)
        assert versions.migrate(made) == []
        with made.connect() as connection:
            assert connection.scalar(sa.select(sa.func.count()).select_from(tables.sessions)) == 1


TEN_PROCESSES = """
import os, sys, traceback
from otel_llm_sql.schema.versions import ensure
from otel_llm_sql.store.engines import create_engine

gate, opened = os.pipe()
for _ in range(10):
    if os.fork() == 0:
        os.close(opened)
        engine, code = create_engine(sys.argv[1]), 1
        try:
            os.read(gate, 1)  # returns when the parent closes the other end
            ensure(engine)
            code = int("alembic" in sys.modules)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
os.close(opened)
sys.exit(sum(os.wait()[1] != 0 for _ in range(10)))
"""


def test_ten_processes_start_at_once(url: str) -> None:
    """Ten processes that find an empty database together all succeed, without Alembic, and it is made once."""
    end = subprocess.run([sys.executable, "-c", TEN_PROCESSES, url], capture_output=True, text=True, check=False)
    assert (end.stderr, end.returncode) == ("", 0)
    with engine(url) as made, made.connect() as connection:
        assert connection.scalars(sa.select(tables.schema_version.c.version_num)).all() == [tables.VERSION]
        assert connection.scalar(sa.select(sa.func.count()).select_from(tables.locks)) == tables.LOCK_STRIPES


def test_an_older_database_is_upgraded_only_on_demand(url: str) -> None:
    """ensure() changes nothing in an older database and says what to run; migrate() upgrades it and keeps its rows."""
    with engine(url) as made:
        assert versions.migrate(made, "0001") == ["0001"]
        with made.begin() as connection:
            connection.execute(tables.sessions.insert(), [_session()])
            connection.execute(tables.operations.insert(), [_operation()])
            connection.execute(tables.spans.insert(), [_span()])
        before = shape(url)
        with pytest.raises(SchemaError, match=r"version 0001.*writes 0004.*otel-llm-sql migrate"):
            versions.ensure(made)
        assert shape(url) == before
        assert versions.migrate(made) == ["0002", "0003", "0004"]
        versions.ensure(made)
        with made.connect() as connection:
            assert connection.scalar(sa.select(sa.func.count()).select_from(tables.sessions)) == 1
            (span,) = connection.execute(sa.select(tables.spans)).mappings()
        assert {name: span[name] for name in _span()} == _span()


def test_a_downgrade_gives_the_older_version(kind: str, new_database: Callable[[str], str]) -> None:
    """0004, 0003 and 0002 undone is what 0001 made."""
    there_and_back, older = new_database(kind), new_database(kind)
    with engine(there_and_back) as made:
        versions.migrate(made)
        assert versions.migrate(made, "0001") == ["0004", "0003", "0002"]
    with engine(older) as made:
        versions.migrate(made, "0001")
    assert _unordered(shape(there_and_back)) == _unordered(shape(older))


def _unordered(found: dict[str, Any]) -> dict[str, Any]:
    """A shape without the order of columns: one that is made again comes last."""
    return {
        name: told | {"columns": sorted(told["columns"])} if isinstance(told, dict) else told
        for name, told in found.items()
    }


@pytest.mark.parametrize("way", [versions.ensure, versions.migrate])
def test_a_newer_database_is_refused(url: str, way: Callable[[sa.Engine], Any]) -> None:
    """Tables of a newer package are not touched; the message says to upgrade."""
    with engine(url) as made:
        versions.ensure(made)
        with made.begin() as connection:
            connection.execute(tables.schema_version.update().values(version_num="9999"))
        with pytest.raises(SchemaError, match=r"version 9999.*upgrade the package"):
            way(made)


@pytest.mark.parametrize("way", [versions.ensure, versions.migrate])
def test_an_interrupted_creation_is_completed(
    kind: str, new_database: Callable[[str], str], way: Callable[[sa.Engine], Any]
) -> None:
    """Tables without indexes, views, lock rows and version, as a crash leaves them in MySQL, are made whole."""
    whole, half = new_database(kind), new_database(kind)
    with engine(whole) as made:
        versions.ensure(made)
    with engine(half) as made:
        versions.ensure(made)
        with made.begin() as connection:
            connection.exec_driver_sql("DROP VIEW llm_session_summary")
            connection.exec_driver_sql("DROP TABLE llm_messages")
            _index("idx_llm_operations_provider").drop(connection)
            connection.execute(tables.locks.delete().where(tables.locks.c.stripe > 10))
            connection.execute(tables.schema_version.delete())
        way(made)
        with made.connect() as connection:
            assert versions.current_version(connection) == tables.VERSION
            assert connection.scalar(sa.select(sa.func.count()).select_from(tables.locks)) == tables.LOCK_STRIPES
    assert shape(half) == shape(whole)


@pytest.mark.parametrize("way", [versions.ensure, versions.migrate])
def test_tables_of_somebody_else_are_refused(url: str, way: Callable[[sa.Engine], Any]) -> None:
    """A table that only has our name is neither used nor changed, and nothing is put beside it."""
    with engine(url) as made:
        with made.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE llm_operations (id INTEGER PRIMARY KEY)")
        with pytest.raises(SchemaError, match="llm_operations that is not ours"):
            way(made)
        assert sa.inspect(made).get_table_names() == ["llm_operations"]


def test_a_postgresql_schema_of_its_own(new_database: Callable[[str], str]) -> None:
    """With `schema` the tables live there and unqualified names find them; the default schema stays empty."""
    url = new_database("postgresql")
    for way in (versions.ensure, versions.migrate):
        name = f'My "{way.__name__}" schema'
        with engine(url, schema=name) as made:
            way(made)
            versions.ensure(made)
            assert set(sa.inspect(made).get_table_names(schema=name)) == set(tables.metadata.tables)
            with made.connect() as connection:
                assert connection.exec_driver_sql("SELECT count(*) FROM llm_session_summary").scalar() == 0
    with engine(url) as made:
        assert sa.inspect(made).get_table_names() == []


def test_a_schema_that_exists_needs_no_right_to_create_one(new_database: Callable[[str], str]) -> None:
    """A role that may only use its own schema, not create schemas, can make the tables there."""
    url = new_database("postgresql")
    role = f"r{url.rpartition('/')[2]}"
    with engine(url) as made, made.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN PASSWORD 'test'")
        connection.exec_driver_sql(f"CREATE SCHEMA telemetry AUTHORIZATION {role}")
    with engine(url.replace("//test:test@", f"//{role}:test@"), schema="telemetry") as made:
        versions.ensure(made)
        with made.connect() as connection:
            assert versions.current_version(connection) == tables.VERSION


def test_mariadb_stores_every_character_at_any_length(new_database: Callable[[str], str]) -> None:
    """Even where the database's default is latin1, text is utf8mb4 and long text is LONGTEXT."""
    url = new_database("mariadb")
    with engine(url) as made:
        with made.begin() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {made.url.database} CHARACTER SET latin1")
        versions.ensure(made)
        with made.connect() as connection:
            columns = connection.exec_driver_sql(
                "SELECT table_name, column_name, data_type, character_set_name FROM information_schema.columns"
                " WHERE table_schema = DATABASE() AND table_name IN (SELECT table_name FROM information_schema.tables"
                " WHERE table_type = 'BASE TABLE') AND character_set_name IS NOT NULL"
            ).all()
    ids = {column.name for table in tables.metadata.tables.values() for column in table.columns if _is_id(column)}
    assert {column for _table, column, _type, charset in columns if charset != "utf8mb4"} == ids
    long = {(table, column) for table, column, type_, _charset in columns if type_ == "longtext"}
    assert {("llm_messages", "content"), ("llm_operations", "error_message"), ("llm_dead_letters", "payload")} <= long


def test_names_need_no_quotes(url: str) -> None:
    """Every table, view and column can be named without quotes, so people write SQL without thinking of them."""
    with engine(url) as made:
        versions.ensure(made)
        inspector = sa.inspect(made)
        names = (*inspector.get_table_names(), *inspector.get_view_names())
        columns = {name: [str(column["name"]) for column in inspector.get_columns(name)] for name in names}
        with made.connect() as connection:
            for name in names:
                result = connection.exec_driver_sql(f"SELECT {', '.join(columns[name])} FROM {name} WHERE 1 = 0")
                assert list(result.keys()) == columns[name]


def test_the_documented_indexes_exist(url: str) -> None:
    """The indexes that the seed documentation names are there under their names."""
    with engine(url) as made:
        versions.ensure(made)
        names = {index["name"] for index in sa.inspect(made).get_indexes("llm_operations")}
    assert {"idx_llm_operations_timestamp", "idx_llm_operations_provider"} <= names


def _session() -> dict[str, Any]:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return {
        "session_id": "11111111-1111-4111-8111-111111111111",
        "created_at": moment,
        "last_seen_at": moment,
    }


def _operation() -> dict[str, Any]:
    return {
        "operation_id": "22222222-2222-4222-8222-222222222222",
        "session_id": _session()["session_id"],
        "timestamp": _session()["created_at"],
        "operation_type": "chat",
        "status": "ok",
        "input_messages": 0,
    }


def _span() -> dict[str, Any]:
    return {"trace_id": "1" * 32, "span_id": "1" * 16, "operation_id": _operation()["operation_id"]}


def _index(name: str) -> sa.Index:
    return next(index for table in tables.metadata.tables.values() for index in table.indexes if index.name == name)


def _is_id(column: sa.Column[Any]) -> bool:
    """Whether a column holds hexadecimal digits alone: UUIDs, trace and span ids."""
    return isinstance(column.type, Uuid | sa.CHAR)
