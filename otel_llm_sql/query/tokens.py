"""SQL text -> tokens, as each kind of database reads it: what is code, and what is only quoted.

It knows strings, quoted identifiers, comments and dollar quotes, and nothing of grammar. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from otel_llm_sql.errors import QueryError

TokenKind = Literal["word", "identifier", "string", "comment", "parameter", "position", "symbol", "space"]


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of SQL; the texts of all tokens, joined, are the SQL.

    Attributes:
        kind: a word, a quoted identifier, a string, a comment, a parameter `:name`, a position `?`, or a symbol.
        text: as written, quotes included.
    """

    kind: TokenKind
    text: str

    @property
    def name(self) -> str:
        """A word or quoted identifier in lower case, without its quotes; empty for every other kind."""
        if self.kind == "word":
            return self.text.lower()
        return self.text.strip('"`[]').lower() if self.kind == "identifier" else ""


@dataclass(frozen=True, slots=True)
class Lexis:
    """How one kind of database reads quotes and comments.

    Attributes:
        strings: pattern of string literals.
        identifiers: pattern of quoted identifiers.
        comments: pattern of comments.
        nested_comments: whether `/* /* */ */` is one comment.
    """

    strings: str
    identifiers: str
    comments: str
    nested_comments: bool = False


_PLAIN = r"'(?:[^']|'')*'"
_DOUBLE = r'"(?:[^"]|"")*"'
_BACKTICK = r"`(?:[^`]|``)*`"
_WORD = r"[A-Za-z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*"
_BLOCK = r"/\*.*?\*/"

STANDARD = Lexis(_PLAIN, _DOUBLE, rf"--[^\n\r]*|{_BLOCK}")
SQLITE = Lexis(_PLAIN, rf"{_DOUBLE}|{_BACKTICK}|\[[^\]]*\]", rf"--[^\n]*|{_BLOCK}|/\*.*\Z")
# Any byte above 127 may stand in the tag of a dollar quote, letter or not.
_TAG = r"(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?"
POSTGRESQL = Lexis(
    rf"[eE]'(?:[^'\\]|\\.|'')*'|{_PLAIN}|\$(?P<tag>{_TAG})\$.*?\$(?P=tag)\$",
    _DOUBLE,
    r"--[^\n\r]*|/\*",
    nested_comments=True,
)
# Spaces and control characters as MySQL counts them, which is ASCII's alone.
_MYSQL_COMMENTS = rf"--(?=[ \x00-\x1f\x7f]|\Z)[^\n]*|\#[^\n]*|{_BLOCK}"
MYSQL = Lexis(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"", _BACKTICK, _MYSQL_COMMENTS)
MYSQL_WITHOUT_BACKSLASHES = Lexis(rf"{_PLAIN}|{_DOUBLE}", _BACKTICK, _MYSQL_COMMENTS)
MYSQL_ANSI = Lexis(r"'(?:[^'\\]|\\.|'')*'", rf"{_BACKTICK}|{_DOUBLE}", _MYSQL_COMMENTS)
MYSQL_ANSI_WITHOUT_BACKSLASHES = Lexis(_PLAIN, rf"{_BACKTICK}|{_DOUBLE}", _MYSQL_COMMENTS)


def _pattern(lexis: Lexis) -> re.Pattern[str]:
    # A colon is a parameter only where no cast `::`, no slice `[1:n]` and no word stands before it. Only ASCII space is
    # space, and all beyond ASCII is part of a word, as in the databases' own lexers: `x€$$` opens no dollar quote.
    return re.compile(
        rf"(?P<space>[ \t\n\r\f\v]+)|(?P<comment>{lexis.comments})|(?P<string>{lexis.strings})"
        rf"|(?P<identifier>{lexis.identifiers})|(?P<word>{_WORD}|\d[\w.]*)"
        r"|(?P<symbol>::|:=)|(?P<parameter>(?<![\w\])]):[^\W\d]\w*)|(?P<position>\?)|(?P<unclosed>['\"`]|/\*)|(?P<other>.)",
        re.DOTALL,
    )


_PATTERNS = {
    lexis: _pattern(lexis)
    for lexis in (
        *(STANDARD, SQLITE, POSTGRESQL),
        *(MYSQL, MYSQL_WITHOUT_BACKSLASHES, MYSQL_ANSI, MYSQL_ANSI_WITHOUT_BACKSLASHES),
    )
}
_COMMENT_EDGES = re.compile(r"/\*|\*/")


def tokenize(sql: str, lexis: Lexis) -> list[Token]:
    """Split SQL into tokens.

    Args:
        sql: any text.
        lexis: how the database reads it.

    Raises:
        QueryError: a string, a quoted identifier or a comment is not closed.
    """
    return list(_tokens(sql, lexis))


def code(tokens: list[Token]) -> list[Token]:
    """The tokens that mean something: neither space nor comment."""
    return [token for token in tokens if token.kind not in ("space", "comment")]


def _tokens(sql: str, lexis: Lexis) -> Iterator[Token]:
    at, pattern = 0, _PATTERNS[lexis]
    while match := pattern.match(sql, at):
        kind, end = match.lastgroup or "", match.end()
        if kind == "unclosed":
            raise QueryError(f"the SQL ends inside the quote or comment that {match.group()} opens: close it")
        if lexis.nested_comments and match.group() == "/*":
            end = _end_of_comment(sql, at)
        yield Token("symbol" if kind == "other" else kind, sql[at:end])  # type: ignore[arg-type]
        at = end


def _end_of_comment(sql: str, start: int) -> int:
    depth = 0
    for edge in _COMMENT_EDGES.finditer(sql, start):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    raise QueryError("the SQL ends inside a comment: close it with */")
