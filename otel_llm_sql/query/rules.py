"""What a person's SQL may say: one statement, which reads. The first of three walls.

The second is the session (see `sessions`), the third and only complete one is a database role that may only read: no
rule here can know what a function that somebody installed does. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from otel_llm_sql.errors import NotReadOnlyError, QueryError
from otel_llm_sql.query.tokens import Token, code

_BEGINNINGS = frozenset({"select", "with", "values", "table", "explain", "show", "describe", "desc", "("})
_WRITES = frozenset({"insert", "update", "delete", "merge", "replace", "truncate", "create", "alter", "drop", "copy"})
_LOCKS = frozenset({("for", "update"), ("for", "share"), ("for", "no"), ("for", "key"), ("lock", "in")})
_SEQUENCES = frozenset({("value", "for")})


@dataclass(frozen=True, slots=True)
class Rules:
    """What one kind of database must not be asked.

    Attributes:
        functions: functions that change, wait, lock, signal, read or write files, or run SQL given as text.
        prefixes: beginnings of the names of such functions.
        harmless: functions that begin so and are allowed.
        symbols: symbols that change something.
        comments: beginnings of comments that are code.
    """

    functions: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    harmless: tuple[str, ...] = ()
    symbols: frozenset[str] = frozenset()
    comments: tuple[str, ...] = ()

    def forbids(self, function: str) -> bool:
        """Whether a function must not be called."""
        if function in self.functions:
            return True
        return function.startswith(self.prefixes) and not function.startswith(self.harmless)


POSTGRESQL = Rules(
    functions=frozenset(
        {
            *("nextval", "setval", "set_config", "txid_current", "ts_stat", "ts_rewrite", "xpath_table", "connectby"),
            *("loread", "lowrite", "gin_clean_pending_list", "normal_rand"),
        }
    ),
    prefixes=("pg_", "lo_", "dblink", "query_to_", "cursor_to_", "crosstab", "brin_", "binary_upgrade_", "http_"),
    # "pg_" is refused as a whole: new versions bring new functions, and few of them only look.
    harmless=(
        *("pg_typeof", "pg_size_pretty", "pg_size_bytes", "pg_table_size", "pg_total_relation_size", "pg_get_"),
        *("pg_relation_size", "pg_indexes_size", "pg_database_size", "pg_column_size", "pg_is_in_recovery"),
        *("pg_postmaster_start_time", "pg_backend_pid", "pg_encoding_to_char", "pg_table_is_visible", "pg_input_"),
    ),
)
MYSQL = Rules(
    functions=frozenset(
        {
            *("sleep", "benchmark", "get_lock", "release_lock", "release_all_locks", "load_file", "nextval", "setval"),
            *("master_pos_wait", "source_pos_wait", "master_gtid_wait", "wait_for_executed_gtid_set"),
            *("wait_until_sql_thread_after_gtids", "last_insert_id", "sys_exec", "sys_eval", "sys_set", "analyse"),
        }
    ),
    # MySQL's own functions and components that steer replication, firewalls, keys, audits and locks of services.
    prefixes=(
        *("asynchronous_connection_failover_", "group_replication_", "innodb_redo_log_", "service_get_"),
        *("service_release_", "keyring_", "mysql_firewall_", "set_firewall_", "firewall_", "version_tokens_"),
        *("audit_log_", "audit_api_", "masking_dictionary_", "dictionary_"),
    ),
    symbols=frozenset({":="}),
    comments=("/*!", "/*M!"),
)
SQLITE = Rules(
    functions=frozenset(
        {
            *("load_extension", "writefile", "readfile", "edit", "fts3_tokenizer", "eval", "lsdir", "fsdir"),
            *("sqlite_log", "spellfix1_editdist_load"),
        }
    )
)
NO_RULES = Rules()


def require_read_only(tokens: list[Token], rules: Rules) -> None:
    """Accept one statement that reads.

    Args:
        tokens: the SQL.
        rules: what this kind of database must not be asked.

    Raises:
        QueryError: there is no statement.
        NotReadOnlyError: there are several, or one that is more than a question.
    """
    statement = code(tokens)
    while statement and statement[-1].text == ";":
        statement.pop()
    if not statement:
        raise QueryError("there is no SQL: write one SELECT")
    for refused in (_several, _beginning, _phrases, _unsure, _functions(rules), _marks(tokens, rules)):
        if reason := refused(statement):
            allowed = "SELECT, WITH, VALUES, TABLE, SHOW, EXPLAIN"
            raise NotReadOnlyError(f"{reason}: only one statement that reads is allowed ({allowed})")


def _several(statement: list[Token]) -> str:
    return "a second statement follows the first" if any(token.text == ";" for token in statement) else ""


def _beginning(statement: list[Token]) -> str:
    first = statement[0].text.lower()
    return "" if first in _BEGINNINGS else f"the SQL begins with {first[:20].upper()}"


def _phrases(statement: list[Token]) -> str:
    """Words that write or lock: INTO, FOR UPDATE, and INSERT, UPDATE, ... where a statement may begin."""
    words = [token.text.lower() if token.kind == "word" else token.text for token in statement]
    if "into" in words:
        return "INTO writes"
    for first, second in pairwise(words):
        if (first, second) in _LOCKS | _SEQUENCES:
            return f"{first} {second}".upper() + " locks or counts"
    for before, word, after in zip(["(", *words], words, [*words[1:], ""], strict=False):
        if word in _WRITES and after not in ("(", ")", ",", "", ".") and before in (")", "(", "explain", "analyze"):
            return f"{word.upper()} writes"
    return ""


def _unsure(statement: list[Token]) -> str:
    """Spellings whose end or meaning depends on more than the text."""
    for first, second in pairwise(statement):
        if first.text[:2] in ("e'", "E'") and second.kind == "string":
            return "an E'...' string in several pieces"
    for first, second, third in zip(statement, statement[1:], statement[2:], strict=False):
        if first.name == "u" and second.text == "&" and third.kind == "identifier":
            return 'an identifier U&"..."'
    return ""


def _functions(rules: Rules) -> Callable[[list[Token]], str]:
    def refused(statement: list[Token]) -> str:
        called = (first.name for first, second in pairwise(statement) if second.text == "(" and first.name)
        function = next(filter(rules.forbids, called), None)
        return f"the function {function}() does more than read" if function else ""

    return refused


def _marks(tokens: list[Token], rules: Rules) -> Callable[[list[Token]], str]:
    def refused(_statement: list[Token]) -> str:
        if any(token.kind == "comment" and token.text.startswith(rules.comments) for token in tokens if rules.comments):
            return "a comment that is executed"
        return ":= assigns" if any(token.text in rules.symbols for token in tokens) else ""

    return refused
