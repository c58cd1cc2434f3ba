"""Column types that mean the same on every database.

Each takes and gives plain values: UUIDs are canonical 36-character text, JSON is Python values, times are aware UTC
datetimes with microseconds. The writer's bulk routes bypass the conversions and send the text that these types store.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

from otel_llm_sql.references import packed, unpacked

_MYSQL = ("mysql", "mariadb")


class Uuid(TypeDecorator[str]):
    """A UUID as canonical text: native on PostgreSQL, 36 characters elsewhere."""

    impl = sa.String(36)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type of this database."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.UUID(as_uuid=False))
        if dialect.name in _MYSQL:
            # MariaDB's own UUID refuses values whose version and variant it does not know: trace ids, for example.
            return dialect.type_descriptor(mysql.CHAR(36, charset="ascii", collation="ascii_bin"))
        return dialect.type_descriptor(sa.String(36))


class Timestamp(TypeDecorator[datetime]):
    """A moment in UTC with microseconds: TIMESTAMPTZ, DATETIME(6), or ISO text on SQLite."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type of this database."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.DateTime(timezone=True))
        if dialect.name in _MYSQL:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The moment in UTC; without its zone where the column has none."""
        if value is None:
            return None
        value = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's
        """The moment, aware, in UTC."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class _JsonB(UserDefinedType[Any]):
    """JSONB without SQLAlchemy's own (de)serialising: ours is the same on every driver."""

    cache_ok = True

    def get_col_spec(self, **_kw: Any) -> str:
        return "JSONB"


class _Json(UserDefinedType[Any]):
    cache_ok = True

    def get_col_spec(self, **_kw: Any) -> str:
        return "JSON"


class Json(TypeDecorator[Any]):
    """Strict JSON: JSONB on PostgreSQL, the JSON type elsewhere."""

    impl = _Json
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type of this database."""
        return dialect.type_descriptor(_JsonB() if dialect.name == "postgresql" else _Json())

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's
        """The JSON text of a value; None is SQL's NULL."""
        return None if value is None else orjson.dumps(value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002 - SQLAlchemy's
        """The value of a JSON text."""
        return orjson.loads(value) if isinstance(value, str | bytes) else value


class References(TypeDecorator[list[str]]):
    """Ids of messages of one session, packed (see `references`); a list of canonical text to Python."""

    impl = sa.LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type of this database."""
        # MySQL's BLOB ends at 64 kB.
        return dialect.type_descriptor(mysql.MEDIUMBLOB() if dialect.name in _MYSQL else sa.LargeBinary())

    def process_bind_param(self, value: list[str] | bytes | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002 - SQLAlchemy's
        """What is stored; what is packed already stays."""
        return value if value is None or isinstance(value, bytes) else packed(value)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> list[str] | None:  # noqa: ARG002 - SQLAlchemy's
        """The ids."""
        return None if value is None else unpacked(value)


def long_text() -> TypeEngine[str]:
    """Text of any length: TEXT, but LONGTEXT on MySQL, whose TEXT ends at 64 kB."""
    return sa.Text().with_variant(mysql.LONGTEXT(), *_MYSQL)


def bounded(length: int = 255) -> TypeEngine[str]:
    """Text that may stand in an index."""
    return sa.String(length)


def hexadecimal(length: int) -> TypeEngine[str]:
    """Trace and span ids: lower-case hex of a fixed length."""
    return sa.CHAR(length).with_variant(mysql.CHAR(length, charset="ascii", collation="ascii_bin"), *_MYSQL)
