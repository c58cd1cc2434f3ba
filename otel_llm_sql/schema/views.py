"""The views of the data contract: the same columns and the same answers on every database.

Databases differ in how they unfold packed references, cut a day out of a timestamp, and name the type of a sum; each
is one frozen value. A database that is not named here gets no views.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

OPERATION_MESSAGES = """
SELECT
    o.operation_id,
    {sequence_number} AS sequence_number,
    {message_id} AS message_id,
    CASE WHEN {sequence_number} < o.input_messages THEN 'input' ELSE 'output' END AS direction
FROM llm_operations o
CROSS JOIN {unfolded}
"""

SESSION_SUMMARY = """
SELECT
    s.session_id,
    s.session_key,
    s.workspace,
    s.agent_id,
    s.user_id,
    COUNT(o.operation_id) AS operations,
    COUNT(CASE WHEN o.status = 'error' THEN 1 END) AS errors,
    {sum_input_tokens} AS input_tokens,
    {sum_output_tokens} AS output_tokens,
    SUM(o.cost) AS cost,
    MIN(o.timestamp) AS first_at,
    MAX(o.timestamp) AS last_at,
    {models} AS models
FROM llm_sessions s
LEFT JOIN llm_operations o ON o.session_id = s.session_id
GROUP BY s.session_id, s.session_key, s.workspace, s.agent_id, s.user_id
"""

USAGE_DAILY = """
SELECT
    {day} AS day,
    s.workspace,
    o.service_name,
    o.provider,
    o.model,
    COUNT(*) AS operations,
    COUNT(CASE WHEN o.status = 'error' THEN 1 END) AS errors,
    {sum_input_tokens} AS input_tokens,
    {sum_output_tokens} AS output_tokens,
    {sum_cache_read_input_tokens} AS cache_read_input_tokens,
    {sum_cache_write_input_tokens} AS cache_write_input_tokens,
    {sum_reasoning_output_tokens} AS reasoning_output_tokens,
    SUM(o.cost) AS cost,
    {average_latency_ms} AS avg_latency_ms,
    MAX(o.latency_ms) AS max_latency_ms
FROM llm_operations o
JOIN llm_sessions s ON s.session_id = o.session_id
GROUP BY {day}, s.workspace, o.service_name, o.provider, o.model
"""

VIEWS: Mapping[str, str] = {
    "llm_operation_messages": OPERATION_MESSAGES,
    "llm_session_summary": SESSION_SUMMARY,
    "llm_usage_daily": USAGE_DAILY,
}
"""Name of each view, and its SELECT with holes for what differs between databases.

`llm_usage_daily` counts every operation, pending ones and those that are no call to a provider included (provider and
model are NULL there): the sums over its rows are the sums over `llm_operations`.
"""


@dataclass(frozen=True, slots=True)
class Spelling:
    """How one kind of database says what the views need.

    Attributes:
        unfolded: the places in `o.message_ids` as a relation.
        sequence_number: such a place, from 0.
        message_id: what stands there, behind the prefix, as the primary key of `llm_messages` can be compared with it.
        total: the sum of a BIGINT column as a BIGINT.
        average: the average of a BIGINT column as a double.
        day: the UTC day of `o.timestamp`.
        models: the distinct models of a session, in order of their code points, separated by commas.
    """

    unfolded: str
    sequence_number: str
    message_id: str
    total: str
    average: str
    day: str
    models: str


_MYSQL = Spelling(
    # No table counts to a number of the row's own, but as many zeros in JSON do.
    unfolded=(
        "JSON_TABLE(CONCAT('[', SUBSTR(REPEAT(',0', LENGTH(o.message_ids) DIV 8 - 1), 2), ']'), '$[*]'"
        " COLUMNS (place FOR ORDINALITY)) j"
    ),
    sequence_number="(j.place - 1)",
    # The type of llm_messages.message_id, so that a join finds it in the primary key.
    message_id=(
        "CONVERT(LOWER(CONCAT_WS('-', HEX(SUBSTR(o.message_ids, 1, 4)), HEX(SUBSTR(o.message_ids, 5, 2)),"
        " HEX(SUBSTR(o.message_ids, 7, 2)), HEX(SUBSTR(o.message_ids, 8 * j.place + 1, 2)),"
        " HEX(SUBSTR(o.message_ids, 8 * j.place + 3, 6)))) USING ascii) COLLATE ascii_bin"
    ),
    total="CAST(SUM({column}) AS SIGNED)",
    average="SUM({column}) / (COUNT({column}) + 0e0)",
    day="CAST(o.timestamp AS DATE)",
    models="GROUP_CONCAT(DISTINCT o.model ORDER BY o.model SEPARATOR ',')",
)

SPELLINGS: Mapping[str, Spelling] = {
    "sqlite": Spelling(
        # As on MySQL; a blob of zero bytes is SQLite's way to repeat.
        unfolded=(
            "json_each('[' || substr(replace(hex(zeroblob(length(o.message_ids) / 8 - 1)), '00', ',0'), 2) || ']') j"
        ),
        sequence_number="j.key",
        message_id=(
            "lower(hex(substr(o.message_ids, 1, 4)) || '-' || hex(substr(o.message_ids, 5, 2)) || '-' ||"
            " hex(substr(o.message_ids, 7, 2)) || '-' || hex(substr(o.message_ids, 8 * j.key + 9, 2)) || '-' ||"
            " hex(substr(o.message_ids, 8 * j.key + 11, 6)))"
        ),
        total="SUM({column})",
        average="AVG({column})",
        day="date(o.timestamp)",
        # ORDER BY inside an aggregate needs SQLite 3.44: the order of a subquery is kept by all.
        models=(
            "(SELECT group_concat(m.model, ',') FROM (SELECT DISTINCT p.model FROM llm_operations p"
            " WHERE p.session_id = s.session_id AND p.model IS NOT NULL ORDER BY p.model) m)"
        ),
    ),
    "postgresql": Spelling(
        unfolded="generate_series(1, length(o.message_ids) / 8 - 1) AS j(place)",
        sequence_number="(j.place - 1)",
        message_id=("encode(substr(o.message_ids, 1, 8) || substr(o.message_ids, 8 * j.place + 1, 8), 'hex')::uuid"),
        total="SUM({column})::bigint",
        average="AVG({column})::double precision",
        day="(o.timestamp AT TIME ZONE 'UTC')::date",
        models="""string_agg(DISTINCT o.model::text COLLATE "C", ',' ORDER BY o.model::text COLLATE "C")""",
    ),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
}

_PACKED_SINCE = "0004"
"""The version whose `message_ids` are packed; before it they were a JSON array of ids."""

_MYSQL_ARRAY = (
    "JSON_TABLE(o.message_ids, '$[*]' COLUMNS (place FOR ORDINALITY,"
    " message_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin PATH '$')) j"
)
_ARRAYS: Mapping[str, tuple[str, str]] = {
    "sqlite": ("json_each(o.message_ids) j", "j.value"),
    "postgresql": (
        "jsonb_array_elements_text(o.message_ids) WITH ORDINALITY AS j(message_id, place)",
        "j.message_id::uuid",
    ),
    "mysql": (_MYSQL_ARRAY, "j.message_id"),
    "mariadb": (_MYSQL_ARRAY, "j.message_id"),
}
"""`unfolded` and `message_id` of a JSON array, for who goes back to an older version."""

_TOTALS = (
    *("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_write_input_tokens"),
    "reasoning_output_tokens",
)


def create_statements(dialect: str, version: str = _PACKED_SINCE) -> list[str]:
    """CREATE VIEW statements for a SQLAlchemy dialect name; empty for a database we do not know.

    Args:
        dialect: SQLAlchemy's name of the database.
        version: the version of the tables they are for.
    """
    spelling = SPELLINGS.get(dialect)
    if spelling is None:
        return []
    if version < _PACKED_SINCE:
        unfolded, message_id = _ARRAYS[dialect]
        spelling = replace(spelling, unfolded=unfolded, message_id=message_id)
    words = {name: getattr(spelling, name) for name in ("unfolded", "sequence_number", "message_id", "day", "models")}
    words |= {f"sum_{column}": spelling.total.format(column=f"o.{column}") for column in _TOTALS}
    words["average_latency_ms"] = spelling.average.format(column="o.latency_ms")
    return [f"CREATE VIEW {name} AS{select.format(**words)}" for name, select in VIEWS.items()]


def drop_statements(dialect: str) -> list[str]:
    """DROP VIEW statements that also pass where a view is missing."""
    return [f"DROP VIEW IF EXISTS {name}" for name in VIEWS] if dialect in SPELLINGS else []
