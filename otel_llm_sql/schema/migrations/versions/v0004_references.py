"""References to messages packed: 8 bytes of their session, once, and 8 bytes of each, instead of JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from otel_llm_sql.schema.types import Json

revision = "0004"
down_revision = "0003"

TABLE = "llm_operations"
NAME, NEW = "message_ids", "message_ids_new"
COMMENT = "what the call sent and got back, in order: see llm_operation_messages"
PORTION = 1000
PREFIX = 19


def upgrade() -> None:
    packed = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
    _replace(packed, _packed, is_done=True)


def downgrade() -> None:
    # The column comes last now; nothing reads columns by their place.
    _replace(Json(), _unpacked, is_done=False)


def _replace(type_: sa.types.TypeEngine[Any], convert: Callable[[Any], Any], *, is_done: bool) -> None:
    """Give the column another type; is_done: whether it is there already when the column is binary."""
    # MySQL commits after each statement: an upgrade that was cut off is taken up where it ended.
    columns = {column["name"]: column["type"] for column in sa.inspect(op.get_bind()).get_columns(TABLE)}
    if NAME in columns and isinstance(columns[NAME], sa.LargeBinary | mysql.MEDIUMBLOB) is is_done:
        return
    if NEW not in columns:
        op.add_column(TABLE, sa.Column(NEW, type_, comment=COMMENT))
    if NAME in columns:
        _fill(type_, convert)
        op.drop_column(TABLE, NAME)
    _rename()


def _rename() -> None:
    quoted = op.get_bind().dialect.identifier_preparer.quote
    op.execute(f"ALTER TABLE {TABLE} RENAME COLUMN {quoted(NEW)} TO {quoted(NAME)}")


def _fill(type_: sa.types.TypeEngine[Any], convert: Callable[[Any], Any]) -> None:
    """Convert all rows, in portions, in the order of their keys."""
    old = sa.LargeBinary() if isinstance(type_, Json) else Json()
    operations = sa.table(TABLE, sa.column("operation_id"), sa.column(NAME, old), sa.column(NEW, type_))
    c, connection = operations.c, op.get_bind()
    change = sa.update(operations).where(c.operation_id == sa.bindparam("id")).values({NEW: sa.bindparam("new")})
    portion = sa.select(c.operation_id, c[NAME]).where(c[NAME].is_not(None)).order_by(c.operation_id).limit(PORTION)
    rows = connection.execute(portion).all()
    while rows:
        connection.execute(change, [{"id": row[0], "new": convert(row[1])} for row in rows])
        rows = connection.execute(portion.where(c.operation_id > rows[-1][0])).all()


def _packed(ids: list[str]) -> bytes:
    return bytes.fromhex("".join([ids[0][:PREFIX], *(text[PREFIX:] for text in ids)]).replace("-", "")) if ids else b""


def _unpacked(stored: bytes) -> list[str]:
    digits = bytes(stored).hex()
    whole = (digits[:16] + digits[at : at + 16] for at in range(16, len(digits), 16))
    return ["-".join((i[:8], i[8:12], i[12:16], i[16:20], i[20:])) for i in whole]
