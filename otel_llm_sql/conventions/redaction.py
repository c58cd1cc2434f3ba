"""Personal data and secrets in what people and models said, known by their shape, give way to their kind in brackets.

What has check digits is checked, so that order numbers stay. The time it takes grows with the text and not faster,
whoever wrote it: in each expression a repetition is bounded, or cannot begin inside of itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import TypeAlias

from otel_llm_sql.conventions.media import is_descriptor
from otel_llm_sql.records import JsonValue

_Length: TypeAlias = Callable[[re.Match[str]], int]
"""How many characters of a match are what was looked for; 0 where a closer look says that it is none."""

_REMEMBERED = 4 * 1024 * 1024
"""Characters of texts whose redaction is remembered: a history is sent again on every call, and 100,000 characters take
50 ms, remembered ones none to speak of."""

_SHORTEST_INTEGER = 10**12
"""Card numbers have 13 digits or more, and may stand in a tool's arguments as numbers."""


class Redactor:
    """Replaces personal data and secrets: `[email]`, `[card]`, `[iban]`, `[ssn]`, `[phone]`, `[secret]`.

    Args:
        patterns: further regular expressions; what they match becomes `[redacted]`.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._patterns = [re.compile(pattern) for pattern in patterns]
        self._known: dict[str, str] = {}
        self._size = 0

    def text(self, text: str) -> str:
        """Text without them."""
        known = self._known.get(text)
        if known is None:
            known = self._without(text)
            self._size += len(text)  # a race between two threads makes the bound a little wrong, and nothing else
            if self._size > _REMEMBERED:
                self._known, self._size = {}, len(text)
            self._known[text] = known
        return known

    def _without(self, text: str) -> str:
        for pattern in self._patterns:
            text = pattern.sub(_redacted, text)
        for rule in _RULES:
            text = rule.replaced(text)
        return text

    def value(self, value: JsonValue) -> JsonValue:
        """Strict JSON without them, in keys too; the value of a key such as `password` is one whatever it looks like.

        What stands for media is no text, and stays.
        """
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return value if is_descriptor(value) else self._object(value)
        if type(value) is int and value >= _SHORTEST_INTEGER:
            digits = str(value)
            text = self.text(digits)
            return value if text == digits else text
        return value

    def _object(self, value: Mapping[str, JsonValue]) -> JsonValue:
        redacted: dict[str, JsonValue] = {}
        for key, item in value.items():
            name = self.text(key)
            if name in redacted:  # two addresses as keys are still two
                name = next(numbered for n in count(2) if (numbered := f"{name} {n}") not in redacted)
            named = isinstance(item, str) and item and _SECRET_NAME.fullmatch(key)
            redacted[name] = "[secret]" if named else self.value(item)
        return redacted


def _redacted(found: re.Match[str]) -> str:
    return "[redacted]" if found.group() else ""


def _whole(found: re.Match[str]) -> int:
    return len(found.group())


class _Rule:
    """One kind of what is replaced.

    Args:
        kind: what is written in its place.
        expression: what it looks like; the group `kept` is only what it is known by.
        length: a closer look.
        signs: a text without any of them holds none, which is found out much faster.
    """

    def __init__(self, kind: str, expression: str, length: _Length = _whole, signs: tuple[str, ...] = ()) -> None:
        self._kind = f"[{kind}]"
        self._pattern = re.compile(expression)
        self._length = length
        self._signs = signs
        self._keeps = "kept" in self._pattern.groupindex

    def replaced(self, text: str) -> str:
        """Text in which it is replaced."""
        if self._signs and not any(sign in text for sign in self._signs):
            return text
        pieces: list[str] = []
        done = position = 0
        while found := self._pattern.search(text, position):
            length = self._length(found)
            # What is none may still hold the beginning of one: "2027 4111 1111 ...".
            position = found.start() + (length or 1)
            if length:
                pieces += (text[done : found.start()], found["kept"] if self._keeps else "", self._kind)
                done = position
        return "".join(pieces) + text[done:] if pieces else text


def _start(run: str = r"\w") -> str:
    """Where a word may begin: not within a run of these characters.

    In JSON text a line break is written as backslash and n, so what follows that n begins a word, too.
    """
    return rf"(?:(?<![{run}])|(?<=\\[bfnrt])|(?<=\\u[0-9a-fA-F]{{4}}))"


def _with_digit(found: re.Match[str]) -> int:
    """Names of things look like tokens, but hardly ever have digits."""
    return len(found.group()) if any(character.isdigit() for character in found["token"]) else 0


def _private_key(found: re.Match[str]) -> int:
    """From its first line to its last, or to the end of the text where it was cut."""
    last = _KEY_ENDS.search(found.string, found.end())
    return (last.end() if last else len(found.string)) - found.start()


_KEY_ENDS = re.compile("-----END [A-Z0-9 ]{0,60}-----")


def _card(found: re.Match[str]) -> int:
    """By the Luhn algorithm (ISO/IEC 7812-1)."""
    digits = [int(character) for character in found.group() if character.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return 0 if (sum(digits[-1::-2]) + sum(doubled)) % 10 else len(found.group())


def _iban(found: re.Match[str]) -> int:
    """By the length its country gives it, and modulo 97 (ISO 13616)."""
    text = found.group()
    places = [place for place, character in enumerate(text) if character.isalnum()]
    length = _IBAN_LENGTHS.get(text[:2].upper(), len(places) + 1)
    if length > len(places):
        return 0
    end = places[length - 1] + 1
    if found.string[found.start() + end : found.start() + end + 1].isalnum():
        return 0
    number = "".join(text[place] for place in (*places[4:length], *places[:4]))
    return end if int("".join(str(int(character, 36)) for character in number)) % 97 == 1 else 0


_IBAN_LENGTHS = {
    entry[:2]: int(entry[2:])
    for entry in (
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
        "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
        "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
        "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
        "YE30"
    ).split()
}
"""The IBAN registry, by country."""

_NAMES_OF_SECRETS = (
    r"(?:pass(?:wor[dt]|wd|phrase)|pwd|api[_ -]?key|secret[_ -]?(?:access[_ -]?)?key|access[_ -]?key|private[_ -]?key"
    r"|client[_ -]?secret|(?:access|refresh|auth|session)[_ -]?token)"
)
_SECRET_NAME = re.compile(r"(?i)[\w-]{0,40}" + _NAMES_OF_SECRETS)

_TOKEN_PREFIXES = (
    *("sk-", "sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_", "xai-", "gsk_", "hf_", "pplx-", "r8_"),
    *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "npm_", "pypi-", "dop_v1_"),
    *("xoxa-", "xoxb-", "xoxe-", "xoxp-", "xoxr-", "xoxs-", "AKIA", "ASIA", "AIza", "ya29.", "SG."),
)
"""What the keys of well-known services begin with."""

_TOKEN = f"(?P<token>(?:{'|'.join(map(re.escape, _TOKEN_PREFIXES))})" + r"[\w-]{16,}+(?:\.[\w-]{1,256}){0,2})"
_JWT = r"eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{4,}+(?:\.[A-Za-z0-9_-]*+)?"
_AUTHORIZATION = r"(?i)(?P<kept>\b(?:bearer|basic)[\s:]{1,3})(?P<token>[A-Za-z0-9._~+/=-]{16,}+)"
_BY_NAME = r"""(?i)(?P<kept>(?:token|secret)\\{0,4}["']?\s{0,3}[:=]\s{0,3}\\{0,4}["']?)(?P<token>[\w.~+/-]{12,}+)"""
_IN_URL = r"(?P<kept>://[^\s/@:]{0,64}:)[^\s/@]{1,256}(?=@)"
_NAMED_SECRET = (
    rf"(?i)(?P<kept>{_NAMES_OF_SECRETS}"
    r"""\\{0,4}["']?\s{0,3}[:=]\s{0,3}\\{0,4}["']?)[^\s"'\\,;&]{6,}+"""
)
# An escape of JSON text such as \u00e9 is a letter like others.
_EMAIL = (
    r"(?!(?<=\\)(?:[bfnrt]|u[0-9a-fA-F]{4}))(?:(?<![\w.%+-])|(?<=\\[bfnrt]))"
    r"(?:[\w.%+-]|\\u[0-9a-fA-F]{4})++@(?:[\w-]{1,63}\.){1,8}(?:xn--[\w-]{1,59}|[^\W\d_]{2,63})"
)
_IBAN = r"[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){11,32}"
# Solid, or in groups as they are printed; 0.4111111111111111 is a number.
_CARD = (
    r"(?<![0-9]\.)(?<!\+)(?:[2-6][0-9]{12,18}"
    r"|[2-6][0-9]{3}([ .-])[0-9]{4}\1[0-9]{4}\1[0-9]{4}"
    r"|[2-6][0-9]{3}([ .-])(?:[0-9]{4}\2){3}[0-9]{3}"
    r"|3[0-9]{3}([ .-])[0-9]{6}\3[0-9]{4,5})(?![0-9])"
)
_SSN = r"(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![\w-])"
_NAMED_SSN = (
    r"(?i)(?P<kept>\b(?:ssn|social security(?: number)?)[\s:#=\"'\\]{1,6})"
    r"[0-9]{3}[ -]?[0-9]{2}[ -]?[0-9]{4}(?![\w-])"
)
# International; North American; French, in pairs; with an area code's zero and a gap behind it.
_PHONE = (
    r"(?:\+[1-9][0-9]{0,2}(?: ?\([0-9]{1,4}\))?(?:[ .\-/]?[0-9]){5,13}"
    r"|(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}"
    r"|(?<![0-9] )0[1-9](?:[ .][0-9]{2}){4}(?! [0-9])"
    r"|0[1-9][0-9]{1,3}[ /-][0-9]{3,4}[ -]?[0-9]{3,4})(?![\w-])"
)

_RULES = (
    _Rule("secret", "-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----", _private_key, ("-----BEGIN",)),
    _Rule("secret", _IN_URL, signs=("://",)),
    _Rule("secret", _start(r"\w-") + _JWT, signs=("eyJ",)),
    _Rule("secret", _start(r"\w-") + _TOKEN, _with_digit, _TOKEN_PREFIXES),
    _Rule("secret", _AUTHORIZATION, _with_digit),
    _Rule("secret", _NAMED_SECRET),
    _Rule("secret", _BY_NAME, _with_digit),
    _Rule("email", _EMAIL, signs=("@",)),
    _Rule("iban", _start() + _IBAN, _iban),
    _Rule("card", _start() + _CARD, _card),
    _Rule("ssn", _start(r"\w-") + _SSN),
    _Rule("ssn", _NAMED_SSN),
    _Rule("phone", _start(r"\w.-") + _PHONE),
)
