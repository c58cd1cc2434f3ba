"""One frozen ReceiverSettings, read once: from arguments, then `OTEL_LLM_SQL_RECEIVER_*`, then defaults.

Which database is written, and how, is told by `otel_llm_sql.settings`. No token is ever shown.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otel_llm_sql.environment_variables import warn_of_unknown
from otel_llm_sql.errors import SettingsError

PREFIX = "OTEL_LLM_SQL_RECEIVER_"
"""What the environment variables begin with; the rest is the name of the field. They stand here and not in
`environment_variables`, as `opentelemetry-instrument` would offer them as options of applications."""

_MEBIBYTE = 1024 * 1024
_WORKERS = 64
_PORT = 65535
_LONGEST = 20
_LEAST = 24 * 1024
"""Bytes that a call over gRPC takes beside its message."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """Everything that can be set about receiving.

    Attributes:
        http: address of OTLP/HTTP, None for no such door.
        grpc: address of OTLP/gRPC, None for no such door.
        workers: processes that serve.
        body_bytes: the largest request that is taken, as it comes over the wire.
        inflated_bytes: the largest request that is taken, after decompression.
        queue_bytes: how much may wait for the database, in bytes of requests; what is more is refused for now.
        group_seconds: how long a request waits for others to share its transaction.
        idle_seconds: how long a sender may send nothing in the midst of a request; what it has sent takes room from
            others.
        answer_seconds: when an answer is given at the latest; senders time out at 5 s and more (COL-03).
        grace: seconds that requests under way have to end when the receiver is shut down.
        tokens: any of these lets a sender in; without any, everybody is let in. Never shown.
        tls_cert: path of the certificate chain (PEM); with it the doors speak TLS.
        tls_key: path of the certificate's private key (PEM).
        tls_client_ca: path of the authorities (PEM) of which a client must show a certificate.
        cors_origins: origins whose pages may send; `*` in one stands for any characters. None: CORS is off.
        cors_headers: request headers that such pages may send beside the simple ones.
        cors_max_age: seconds for which a browser may remember that.
    """

    http: Address | None = Address("127.0.0.1", 4318)
    grpc: Address | None = Address("127.0.0.1", 4317)
    workers: int = 1
    body_bytes: int = 64 * _MEBIBYTE
    inflated_bytes: int = 64 * _MEBIBYTE
    queue_bytes: int = 128 * _MEBIBYTE
    group_seconds: float = 0.004
    idle_seconds: float = 30.0
    answer_seconds: float = 4.5
    grace: float = 10.0
    tokens: tuple[str, ...] = ()
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_client_ca: str | None = None
    cors_origins: tuple[str, ...] = ()
    cors_headers: tuple[str, ...] = ()
    cors_max_age: int = 7200

    @property
    def largest_body(self) -> int:
        """Bytes that a request may have on the wire: what never fits into the queue is not told to come again."""
        return min(self.body_bytes, self.queue_bytes)

    @property
    def largest_inflated(self) -> int:
        """Bytes that a request may have after decompression."""
        return min(self.inflated_bytes, self.queue_bytes)

    @property
    def least_counted(self) -> int:
        """Bytes that a request is accounted for at least: a hundred thousand small ones are many megabytes."""
        return min(_LEAST, self.queue_bytes // 1024)

    @property
    def sending_seconds(self) -> float:
        """Seconds in which a request must have arrived, however steadily it comes: senders give up far earlier."""
        return _LONGEST * self.idle_seconds

    def __repr__(self) -> str:
        shown = ((name, "***" if name == "tokens" and self.tokens else getattr(self, name)) for name in self.__slots__)
        return f"ReceiverSettings({', '.join(f'{name}={value!r}' for name, value in shown)})"


def load_receiver(**arguments: Any) -> ReceiverSettings:
    """Read the settings: arguments, then `OTEL_LLM_SQL_RECEIVER_*`, then defaults.

    Args:
        **arguments: any field of `ReceiverSettings`, as text or as it is; `token_file` is the path of a file with one
            token a line, where empty lines and lines that begin with `#` are skipped. Addresses are `HOST:PORT`, or
            `off`. None and empty text count as not given.

    Raises:
        SettingsError: a value is not allowed, or a name is not known.
    """
    unknown = sorted(arguments.keys() - _READERS.keys())
    if unknown:
        raise SettingsError(f"{unknown[0]} is no setting of the receiver; known are: {', '.join(_READERS)}")
    warn_of_unknown(PREFIX, [PREFIX + name.upper() for name in _READERS])
    places = (arguments.items(), ((name, os.environ.get(PREFIX + name.upper())) for name in _READERS))
    values: dict[str, Any] = {}
    for prefix, place in zip(("", PREFIX), places, strict=True):
        found = {
            name: _READERS[name](prefix + (name.upper() if prefix else name), value)
            for name, value in place
            if value is not None and value not in ("", ())
        }
        # Tokens and their file are one setting: who names either in an argument has named the tokens.
        if "token_file" in found:
            found["tokens"] = (*found.get("tokens", ()), *found.pop("token_file"))
        values = found | values
    return _consistent(ReceiverSettings(**values))


def _consistent(settings: ReceiverSettings) -> ReceiverSettings:
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise SettingsError("tls_cert and tls_key: one was given without the other; TLS needs both")
    if settings.tls_client_ca and not settings.tls_cert:
        raise SettingsError("tls_client_ca was given without tls_cert: client certificates need TLS")
    if settings.http is None and settings.grpc is None:
        raise SettingsError("http and grpc: both are off, so nothing could arrive; give one of them HOST:PORT")
    return settings


def _wrong(setting: str, value: object, allowed: str) -> SettingsError:
    return SettingsError(f"{setting}: {value!r} was given; allowed: {allowed}")


def _address(setting: str, value: Any) -> Address | None:
    if isinstance(value, Address):
        return value
    text = str(value).strip()
    if text.lower() == "off":
        return None
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not re.fullmatch(r"\d{1,5}", port) or int(port) > _PORT:
        raise _wrong(setting, value, "HOST:PORT such as 127.0.0.1:4318 or [::1]:4318, or off")
    return Address(host, int(port))


def _whole(least: int, most: int) -> Callable[[str, Any], int]:
    def read(setting: str, value: Any) -> int:
        text = str(value).strip()
        if isinstance(value, bool) or not re.fullmatch(r"\d{1,15}", text) or not least <= int(text) <= most:
            raise _wrong(setting, value, f"a whole number from {least} to {most}")
        return int(text)

    return read


def _seconds(setting: str, value: Any) -> float:
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise _wrong(setting, value, "seconds, a number of 0 or more")
    return seconds


def _tokens(setting: str, value: Any) -> tuple[str, ...]:
    items = tuple(value.split(",") if isinstance(value, str) else value)
    if not all(isinstance(item, str) for item in items):
        raise SettingsError(f"{setting}: what was given is not shown, it may be a secret; allowed: texts")
    return _clean_tokens(setting, items)


def _token_file(setting: str, value: Any) -> tuple[str, ...]:
    path = _file(setting, value)
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise SettingsError(f"{setting}: {path} is not UTF-8 text; expected one token a line") from None
    return _clean_tokens(setting, (line for line in lines if not line.lstrip().startswith("#")))


def _clean_tokens(setting: str, tokens: Iterable[str]) -> tuple[str, ...]:
    """Those that are not empty; no token at all would open the door to everybody who was to be kept out."""
    found = tuple(text for token in tokens if (text := token.strip()))
    if not found:
        raise SettingsError(f"{setting}: it holds no token; give at least one, or leave the setting out")
    if any(not token.isascii() or not token.isprintable() or " " in token for token in found):
        raise SettingsError(f"{setting}: a token holds what no header can; allowed: printable ASCII without spaces")
    return found


def _file(setting: str, value: Any) -> str:
    try:
        with Path(value).open("rb"):
            return str(value)
    except (OSError, TypeError, ValueError) as error:
        raise _wrong(setting, value, f"the path of a file that can be read ({type(error).__name__})") from None


def _list(setting: str, value: Any) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise _wrong(setting, value, "texts separated by commas")
    return tuple(item.strip() for item in items if item.strip())


_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "http": _address,
    "grpc": _address,
    "workers": _whole(1, _WORKERS),
    "body_bytes": _whole(1, 1024 * _MEBIBYTE),
    "inflated_bytes": _whole(1, 1024 * _MEBIBYTE),
    "queue_bytes": _whole(1, 1024 * 1024 * _MEBIBYTE),
    "group_seconds": _seconds,
    "idle_seconds": _seconds,
    "answer_seconds": _seconds,
    "grace": _seconds,
    "tokens": _tokens,
    "token_file": _token_file,
    "tls_cert": _file,
    "tls_key": _file,
    "tls_client_ca": _file,
    "cors_origins": _list,
    "cors_headers": _list,
    "cors_max_age": _whole(0, 31_536_000),
}
