"""What looks like personal data or a secret is replaced by its kind, and hardly anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_llm_sql.conventions import redaction
from otel_llm_sql.conventions.redaction import Redactor

pytestmark = pytest.mark.quick

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PRIVATE_KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("to ada.l+x@sub.example.co.uk.", "to [email]."),
        ("<élan@exämple.de>, 'o_o@x.org'", "<[email]>, '[email]'"),
        ("x" * 100 + "@example.com", "[email]"),
        ("card 4111 1111 1111 1111, 5500-0055-5555-5559", "card [card], [card]"),
        ("378282246310005 or 3782 822463 10005", "[card] or [card]"),
        ("6304000000000000000", "[card]"),
        ("until 12 2027 4111 1111 1111 1111 123", "until 12 2027 [card] 123"),
        ("DE89 3704 0044 0532 0130 00 BIC, gb82west12345698765432", "[iban] BIC, [iban]"),
        (
            "078-05-1120, SSN: 219 09 9999, social security number 219099999",
            "[ssn], SSN: [ssn], social security number [ssn]",
        ),
        ("+49 170 1234567, +1 (415) 555-0132, +442079460958", "[phone], [phone], [phone]"),
        ("(415) 555-0132, 1-800-555-0199, 415.555.0132", "[phone], [phone], [phone]"),
        ("tel:+4915112345678", "tel:[phone]"),
        ("0170 1234567, 01 23 45 67 89, 020 7946 0958", "[phone], [phone], [phone]"),
        ("sk-proj-abcDEF1234567890_-xyz, AKIAIOSFODNN7EXAMPLE", "[secret], [secret]"),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "[secret]"),
        (f"token={JWT}!", "token=[secret]!"),
        (
            "Authorization: Bearer abcdef0123456789==, basic dXNlcjpwYXNzd29yZDE=",
            "Authorization: Bearer [secret], basic [secret]",
        ),
        (f"a {PRIVATE_KEY} b", "a [secret] b"),
        (PRIVATE_KEY[:40], "[secret]"),
        ("postgresql://me:pa55@host.example/db", "postgresql://me:[secret]@host.example/db"),
        (
            "https://x.org/?token=abcdefgh1234567&a=1, secret: 'a1b2c3d4e5f6'",
            "https://x.org/?token=[secret]&a=1, secret: '[secret]'",
        ),
        ("DB_PASSWORD=correcthorse api-key: 'k1234567'", "DB_PASSWORD=[secret] api-key: '[secret]'"),
        (r"{\"api_key\": \"zzz9999\"}", r"{\"api_key\": \"[secret]\"}"),
    ],
)
def test_what_is_replaced(text: str, redacted: str) -> None:
    """Each kind in its usual spellings; what stands around it stays, and twice does no more than once."""
    redactor = Redactor()
    assert redactor.text(text) == redacted
    assert Redactor().text(redacted) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "order 4111111111111112, 4111 1111 1111 1112",
        "DE89370400440532013001, AB12345678901234567, XX00 1234 1234 1234",
        "0.4111111111111111 and 1790000000000000000",
        "000-12-3456, 666-12-3456, 123-45-67890, 1123-45-6789, 100 20 3000, ssn: none",
        "2024-05-06 12:00:01, 192.168.100.200, 1.2.3, 12,345,678.90",
        "1 02 12 24 48 99 and 02 12 24 48 99 10 and 411111111117",
        "max_tokens: 1234567, token: abcdefghijklmnop, secret: something",
        "call_0a1b2c3d4e5f, 4055bcc797471c9c, 1eb61c142841f866ec890bb3b5dc379d",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "sk-learn-is-no-key-but-a-library, the bearer responsibilities of a basic understanding",
        "https://example.com:8080/a@b, @property, user@localhost",
        "passwords are secret; a token is a word; key: value",
    ],
)
def test_what_stays(text: str) -> None:
    """Numbers whose check digits are wrong, times, identifiers, addresses of machines, and words."""
    assert Redactor().text(text) == text


def test_json_text_stays_json() -> None:
    """In JSON text an escape stands before an address: it is neither eaten nor does it hide the address."""
    told = {"to": "a\nada@example.com\té@example.com andré@example.com", "n": "\n4111111111111111\nñ@x.org"}
    assert json.loads(Redactor().text(json.dumps(told))) == {
        "to": "a\n[email]\t[email] [email]",
        "n": "\n[card]\n[email]",
    }


@pytest.mark.parametrize(
    ("value", "redacted"),
    [
        ({"to": ["ada@example.com", {"cc": "b@example.com"}]}, {"to": ["[email]", {"cc": "[email]"}]}),
        (
            {"password": "x", "db_password": "", "api_key": {"type": "string"}},
            {"password": "[secret]", "db_password": "", "api_key": {"type": "string"}},
        ),
        ({"a@x.com": 1, "b@x.com": 2, "c@x.com": 3}, {"[email]": 1, "[email] 2": 2, "[email] 3": 3}),
        ([4111111111111111, 4111111111111112, 1.5, True, None], ["[card]", 4111111111111112, 1.5, True, None]),
    ],
)
def test_structures(value: Any, redacted: Any) -> None:
    """Strings are redacted at every depth, keys and whole numbers too; nothing else changes."""
    assert Redactor().value(value) == redacted


def test_the_users_own_patterns() -> None:
    """They see the text as it came, and go before ours."""
    redactor = Redactor([r"EMP-\d+", r"[\w.]+@corp\.example", r"\b"])
    assert redactor.text("EMP-77 me@corp.example me@other.example") == "[redacted] [redacted] [email]"


HOSTILE = [
    *("a", "a.", "a@", "@", "a@a.", "1", "4", "4111 ", "4111 1111 ", "+1 ", "+1", "01 ", "0", "(415) ", "123-45-"),
    *("-----BEGIN PRIVATE KEY-----", "eyJ", "eyJaaaaaaaa.", "sk-", "sk-aaaaaaaaaaaaaaaaaa.", "bearer ", "password"),
    *(
        "bearer aaaaaaaaaaaaaaaaaaaaaa",
        "password=",
        "token=",
        "token=aaaaaaaaaaaaa",
        "ssn ",
        "://",
        "://a:",
        "AB12",
        "AB12 ",
        "\\n",
        "\\na",
        "\\u0041",
        "a-",
    ),
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_ends(piece: str) -> None:
    """A megabyte that makes every beginning look promising is done with: were it quadratic, this would take hours."""
    redactor = Redactor()
    once = redactor.text(piece * (10**6 // len(piece)))
    assert redactor.text(once) == once


def test_more_than_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts beyond the memory of what was redacted are redacted all the same, and the memory stays small."""
    monkeypatch.setattr(redaction, "_REMEMBERED", 100)
    redactor = Redactor()
    texts = [f"{number} ada@example.com {'x' * 30}" for number in range(9)]
    assert [redactor.text(text)[:9] for text in texts * 2] == [f"{number} [email]" for number in range(9)] * 2
    assert sum(map(len, redactor._known)) <= 100
