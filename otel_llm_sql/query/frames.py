"""Columns, or CSV, or rows of a known shape -> a Polars frame with dtypes that we choose, never inferred.

ids String, times `Datetime("us", "UTC")`, counts Int64, cost Float64, JSON String.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from otel_llm_sql.errors import QueryError
from otel_llm_sql.query.canonical import LONG_NUMBER, canonical_all
from otel_llm_sql.query.columns import Column, Kind
from otel_llm_sql.references import unpacked

TIMESTAMP = pl.Datetime("us", "UTC")
DTYPES: Mapping[Kind, pl.DataType] = {
    "text": pl.String(),
    "json": pl.String(),
    "integer": pl.Int64(),
    "float": pl.Float64(),
    "boolean": pl.Boolean(),
    "timestamp": TIMESTAMP,
    "date": pl.Date(),
    "time": pl.Time(),
    "interval": pl.Duration("us"),
    "binary": pl.Binary(),
}
"""The dtype of each kind of column."""


def frame(columns: Sequence[Column]) -> pl.DataFrame:
    """A frame of columns whose values are of their kind already."""
    named = (pl.Series(c.name, c.values, DTYPES[c.kind]) for c in columns)
    return pl.DataFrame([_canonical(s) if c.kind == "json" else s for c, s in zip(columns, named, strict=True)])


def from_csv(data: bytes, shape: Mapping[str, Kind]) -> pl.DataFrame:
    """A frame from CSV without a header.

    Args:
        data: NULL is an empty field, empty text is `""`, a time is microseconds since 1970.
        shape: name and kind of each column, in order; at least two, as a lone NULL would be an empty line.
    """
    dtypes = {name: pl.Int64() if kind == "timestamp" else DTYPES[kind] for name, kind in shape.items()}
    if not data:
        return _finished(pl.DataFrame(schema=dtypes), shape)
    return _finished(pl.read_csv(data, has_header=False, schema=dtypes), shape)


def from_columns(columns: Sequence[Sequence[Any]], shape: Mapping[str, Kind]) -> pl.DataFrame:
    """A frame from values as a driver gave them, by column: times and JSON are text.

    Raises:
        QueryError: a column of our tables holds what does not belong there.
    """
    named = zip(shape.items(), columns, strict=True)
    return _finished(pl.DataFrame([_series(name, kind, values) for (name, kind), values in named]), shape)


def from_arrow(table: Any, shape: Mapping[str, Kind]) -> pl.DataFrame:
    """A frame from an Arrow table of SQLite's values: times and JSON are text, and the first row is not one of them.

    Raises:
        PolarsError: a column of our tables holds what does not belong there.
    """
    raw = pl.DataFrame(table).filter(pl.nth(0) != "")
    return _finished(raw.select(pl.col(name).cast(_fetched(kind)) for name, kind in shape.items()), shape)


def _series(name: str, kind: Kind, values: Sequence[Any]) -> pl.Series:
    try:
        return pl.Series(name, values, _fetched(kind))
    except (TypeError, OverflowError, pl.exceptions.PolarsError) as error:
        raise QueryError(f"column {name} holds values that are not {kind}: read it with query_db()") from error


def _fetched(kind: Kind) -> pl.DataType:
    """What drivers give for a column: a time is text, or microseconds in CSV."""
    return pl.String() if kind == "timestamp" else DTYPES[kind]


def _finished(raw: pl.DataFrame, shape: Mapping[str, Kind]) -> pl.DataFrame:
    """Times as times, JSON in one spelling."""
    done = [_finish(raw[name], kind) for name, kind in shape.items()]
    return pl.DataFrame(done)


def _finish(series: pl.Series, kind: Kind) -> pl.Series:
    if kind == "json":
        return _canonical(series)
    if kind != "timestamp":
        return series
    if series.dtype == pl.String:
        return series.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", time_zone="UTC")
    return series.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _canonical(series: pl.Series) -> pl.Series:
    long_numbers = bool(series.str.contains(LONG_NUMBER).any())
    return pl.Series(series.name, canonical_all(series.to_list(), long_numbers=long_numbers), pl.String())


def in_order(raw: pl.DataFrame, order: Sequence[str]) -> pl.DataFrame:
    """The rows sorted; databases mostly give them in the order of time already, which is cheap to see."""
    ascending = (raw[order[0]].to_physical().diff() > 0).all()
    return raw if ascending else raw.sort(order)


def joined_texts(operations: pl.DataFrame, messages: pl.DataFrame) -> pl.DataFrame:
    """Replace the columns `message_ids` and `input_messages` by `input_text` and `output_text`.

    Args:
        operations: a row per operation, in order; `message_ids` in hex digits.
        messages: `message_id` and `content`, of all sessions of these operations.

    Returns:
        The operations with what went in and what came out: contents in order, a blank line between them; NULL where
        there is none.
    """
    listed_ids = [unpacked(bytes.fromhex(digits)) if digits else None for digits in operations["message_ids"]]
    ids = operations.select(pl.Series("message_id", listed_ids, pl.List(pl.String())), "input_messages").with_row_index(
        "row"
    )
    listed = (
        ids.explode("message_id")
        .drop_nulls("message_id")
        .with_columns((pl.int_range(pl.len()).over("row") < pl.col("input_messages")).alias("incoming"))
        .with_row_index("place")
        .join(messages, on="message_id", how="left")
        .drop_nulls("content")
        .sort("place")
        .group_by("row", "incoming", maintain_order=True)
        .agg(pl.col("content").str.join("\n\n"))
    )
    rows = ids.select("row")
    for name, incoming in (("input_text", True), ("output_text", False)):
        texts = listed.filter(pl.col("incoming") == incoming).select("row", pl.col("content").alias(name))
        rows = rows.join(texts, on="row", how="left", maintain_order="left")
    return pl.concat([operations.drop("message_ids", "input_messages"), rows.drop("row")], how="horizontal")
