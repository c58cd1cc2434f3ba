"""Python's repr of data, as some instrumentations write it where JSON belongs, becomes data again.

It is turned into JSON text and read as such, never evaluated: dicts, lists, tuples and scalars, and objects whose repr
names their fields (`ToolCall(id='1')`) as dicts with their class under `CLASS`. Anything else is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from otel_llm_sql.conventions.json_text import dump, parse

CLASS = "__class__"

_TOKEN = re.compile(
    r"""
    (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<enum><[\w.]+:\ (?P<value>'(?:[^'\\]|\\.)*'|-?[0-9]+)>)
    |(?P<address><.{1,300}?\ at\ 0x[0-9a-fA-F]+>)
    |(?P<open>[A-Za-z_][\w.]*\()
    |(?P<field>[A-Za-z_]\w*=)
    |(?P<number>-?[0-9][0-9_.]*(?:e[+-]?[0-9]+)?)
    |(?P<word>-?[A-Za-z_]\w*)
    |(?P<tuple>\()
    |(?P<close>\))
    |(?P<rest>[\s,:\[\]{}]+)
    """,
    re.DOTALL | re.VERBOSE,
)
_PLAIN = re.compile(r"""(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<rest>[^'"]+)""", re.DOTALL)
_WORD = re.compile(r"\b(?:None|True|False)\b")
_OBJECT = re.compile(r"[\[{,:] ?[A-Z]\w*\(")
"""What looks like an object among data; it may also stand in a text."""

_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_WORDS = {"None": "null", "True": "true", "False": "false", "nan": "null", "inf": "null", "-inf": "null"}
_LAST_CHARACTER = 0x10FFFF


def read_repr(text: str) -> Any:
    """The data that a text is the repr of.

    Raises:
        ValueError: it is the repr of something else, or cut.
    """
    if not _OBJECT.search(text):
        try:
            return parse("".join(map(_plain, _tokens(_PLAIN, text))))  # takes half of the time
        except ValueError:  # a tuple, or no repr of data
            pass
    pieces: list[str] = []
    brackets: list[str] = []
    for token in _tokens(_TOKEN, text):
        pieces.append(_as_json(token, pieces, brackets))
    return parse("".join(pieces))


def _tokens(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """One token after the other; searching for the next one instead would take the square of a broken text's length."""
    end = 0
    while end < len(text):
        token = pattern.match(text, end)
        if token is None:
            raise ValueError("no repr of data")
        yield token
        end = token.end()


def _plain(token: re.Match[str]) -> str:
    told = token[0]
    return _quoted(told) if token.lastgroup == "text" else _WORD.sub(lambda word: _WORDS[word[0]], told)


def _as_json(token: re.Match[str], pieces: list[str], brackets: list[str]) -> str:
    """One token in JSON; a comma before a closing bracket is taken back."""
    kind, told = token.lastgroup, token[0]
    if kind == "open":
        brackets.append("}")
        return f'{{"{CLASS}":"{told[:-1]}",'
    if kind == "tuple":
        brackets.append("]")
        return "["
    if kind == "close":
        if not brackets:
            raise ValueError("no repr of data")
        pieces[-1] = pieces[-1].rstrip().removesuffix(",")
        return brackets.pop()
    return _SCALARS[kind or "rest"](token)


def _quoted(told: str) -> str:
    if told[0] not in "'\"":
        return told
    inner = told[1:-1]
    return dump(_ESCAPE.sub(_unescaped, inner) if "\\" in inner else inner)


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    if code is None:
        return _ESCAPES.get(match[4], match[4])
    return chr(min(int(code, 16), _LAST_CHARACTER))


def _word(token: re.Match[str]) -> str:
    if token[0] not in _WORDS:
        raise ValueError("no repr of data")
    return _WORDS[token[0]]


_SCALARS: dict[str, Callable[[re.Match[str]], str]] = {
    "text": lambda token: _quoted(token[0]),
    "enum": lambda token: _quoted(token["value"]),
    "address": lambda _token: "null",
    "field": lambda token: f'"{token[0][:-1]}":',
    "number": lambda token: token[0],
    "word": _word,
    "rest": lambda token: token[0],
}
