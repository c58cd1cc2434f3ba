"""URLs fit for a message: what may be secret in them is not shown, and neither is what only might be.

People write URLs by hand, so a password may hold any character, also those that ought to be escaped; and drivers know
more query parameters with secrets than anybody can list.
"""

from __future__ import annotations

import re

_HIDDEN = "***"

_URL = re.compile(r"[\w+.-]+://(?:\S*[^\s.,:;'\"()\]])?")
"""A URL in a sentence, without what ends the sentence."""

_PARAMETER = re.compile(r"(?i)([?&]\w*(?:pass|pwd|secret|token|key)\w*=)[^&\s'\"]*")

_WITHOUT_CREDENTIALS = re.compile(r"[^:@/]*/[^@]*")
"""Host and path, to a `?` that no password can hold."""

_NO_PORT = re.compile(r"[^/:\[]*:(?!\d*(?:/|$))")
"""Where a port would stand is something else: user and password, whose host was forgotten."""


def mask(url: str) -> str:
    """A database URL with its kind, its host and its database; user, password and query string are hidden.

    Args:
        url: as somebody wrote it. Where nobody can tell what is a password and what is not, its kind alone is shown.

    Returns:
        `(no URL)` where it is none.
    """
    scheme, separator, rest = str(url).partition("://")
    if not separator or not re.fullmatch(r"[\w+.-]+", scheme):
        return "(no URL)"
    return f"{scheme}://{_shown(rest)}"


def mask_all(text: str) -> str:
    """A text in which every URL is masked, and the value of everything that looks like `?password=...`."""
    return _PARAMETER.sub(rf"\1{_HIDDEN}", _URL.sub(lambda found: mask(found[0]), text))


def _shown(rest: str) -> str:
    place, question, query = rest.partition("?")
    credentials, at, host = place.rpartition("@")
    if "@" in query and not _WITHOUT_CREDENTIALS.fullmatch(place):
        # Either the password holds the `?`, or a value of the query string holds the `@`.
        password, at, tail = query.rpartition("@")
        if "/" in place or "=" in password:
            return _HIDDEN
        credentials = place
        host, question, query = tail.partition("?")
    if not at and _NO_PORT.match(host):
        return _HIDDEN
    return f"{_HIDDEN if credentials else ''}{at}{host}{question}{_HIDDEN if query else ''}"
