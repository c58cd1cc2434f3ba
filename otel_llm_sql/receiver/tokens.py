"""Who may send: whoever shows one of the tokens. The comparison takes as long for a near miss as for any other."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable

from otel_llm_sql import notices


class Tokens:
    """The tokens that let a sender in; without any, everybody is let in.

    Args:
        tokens: ASCII texts.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        self._tokens = tuple(token.encode() for token in tokens)

    def __repr__(self) -> str:
        return f"Tokens({len(self._tokens)} of them)"

    def accept(self, authorization: str | None) -> bool:
        """Whether a sender is let in.

        Args:
            authorization: the header, or the gRPC metadata, of this name: `Bearer TOKEN`, or `Basic` with the token as
                password, for senders that know only that.
        """
        if not self._tokens:
            return True
        given = _given(authorization or "")
        # All are compared, whether or not one was right: time tells nobody which.
        known = any([hmac.compare_digest(given, token) for token in self._tokens])  # noqa: C419 - a generator would stop
        if not known:
            # Not every sender says so, and OTLP's clients give up what they were to send.
            notices.warn("a request was refused", "it shows no token that is known, and its sender drops it")
        return known


def _given(authorization: str) -> bytes:
    scheme, _, credentials = authorization.strip().partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "bearer":
        return credentials.encode()
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(credentials, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""
