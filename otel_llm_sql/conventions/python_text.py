"""Python's repr of plain data, as some instrumentations write it where JSON belongs, becomes data again.

It is turned into JSON text, never evaluated.
"""

from __future__ import annotations

import re
from typing import Any

from otel_llm_sql.conventions.json_text import dump, parse

_TOKEN = re.compile(
    r"""(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<word>[A-Za-z_]\w*)|(?P<rest>[^'"A-Za-z_]+)""", re.DOTALL
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_WORDS = {"None": "null", "True": "true", "False": "false", "nan": "null", "inf": "null"}
_LAST_CHARACTER = 0x10FFFF


def read_repr(text: str) -> Any:
    """The dict, list or scalar that a text is the repr of.

    Raises:
        ValueError: it is no repr of what JSON has, such as that of an object; or it is cut.
    """
    pieces, end = [], 0
    for token in _TOKEN.finditer(text):
        if token.start() != end:
            break
        end = token.end()
        pieces.append(_as_json(token))
    if end != len(text):
        raise ValueError("no repr of plain data")
    return parse("".join(pieces))


def _as_json(token: re.Match[str]) -> str:
    told = token[0]
    if token.lastgroup == "text":
        inner = told[1:-1]
        return dump(_ESCAPE.sub(_unescaped, inner) if "\\" in inner else inner)
    if token.lastgroup == "word":
        if told not in _WORDS and told not in ("e", "E"):  # of a float: 1e-05
            raise ValueError("no repr of plain data")
        return _WORDS.get(told, told)
    return told


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    if code is None:
        return _ESCAPES.get(match[4], match[4])
    return chr(min(int(code, 16), _LAST_CHARACTER))
