"""One frozen Settings, read once: from arguments, then the environment, then defaults.

Nothing here opens, creates or imports a database. No message shows a password.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from otel_llm_sql import environment_variables as variables
from otel_llm_sql.errors import SettingsError
from otel_llm_sql.masking import mask

_LONGEST_IDENTIFIER = 63
_LONGEST_WORKSPACE = 255

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set.

    Attributes:
        url: database URL for writing and for sync queries, as given; it may hold pool settings in its query string.
        async_url: database URL for async queries, as given; None for the database of `url`.
        schema: PostgreSQL schema that holds the tables, None for the connection's default.
        capture_content: True stores what messages say; False does not; `hash` stores hashes in its place; `redacted`
            stores it without personal data and secrets.
        hash_key: with it, hashes are HMACs: short texts can be guessed from hashes without a key. Never shown.
        capture_media: True keeps the bytes of inline images, audio and files beside their size and SHA-256.
        redact_patterns: regular expressions for what is redacted beside what we know.
        workspace: workspace for sessions whose telemetry names none.
        prices: path of a file with the user's own prices, None for the catalogue alone.
        timeout: seconds one export may take, retries included.
        backlog_bytes: how much telemetry is kept in memory while the database does not take it.
        query_timeout: seconds a query may take.
        spool: directory for what a process could not store; `off` for none; None for one in the user's data directory.
        attributes: pairs of field and attribute: which attributes of the application's say what `session()` would.
    """

    url: str
    async_url: str | None = None
    schema: str | None = None
    capture_content: bool | Literal["hash", "redacted"] = True
    workspace: str | None = None
    prices: str | None = None
    timeout: float = 10.0
    backlog_bytes: int = 64 * 1024 * 1024
    query_timeout: float = 60.0
    spool: str | None = None
    hash_key: str | None = None
    redact_patterns: tuple[str, ...] = ()
    capture_media: bool = False
    attributes: tuple[tuple[str, str], ...] = ()

    @property
    def session_names(self) -> frozenset[str]:
        """The application's own attributes that name a session: a span with one is of interest."""
        return frozenset(name for field, name in self.attributes if field == "session_key")

    def __repr__(self) -> str:
        shown = ((name, getattr(self, name)) for name in self.__slots__)
        texts = (f"{name}={_SHOWN.get(name, repr)(value) if value else repr(value)}" for name, value in shown)
        return f"Settings({', '.join(texts)})"


def load(**arguments: Any) -> Settings:
    """Read the settings: arguments, then `OTEL_EXPORTER_LLM_SQL_*`, then `CONNECTION_STRING`, then defaults.

    The first of these places that names a database names both of its URLs, so that an argument is never joined with
    an async URL of another database from the environment.

    Args:
        **arguments: any field of `Settings`; `db_uri` and `async_db_uri` are other names of `url` and `async_url`.
            Values may be text (declarative configuration). None and empty text count as not given; unknown names are
            logged and ignored.

    Raises:
        SettingsError: a value is not allowed, or no default database can be found.
    """
    known = {_ALIASES.get(name, name): value for name, value in arguments.items() if _given(value)}
    for name in sorted(known.keys() - _SETTINGS.keys()):
        _logger.warning("unknown setting %r is ignored; known are: %s", name, ", ".join(_SETTINGS))
    variables.warn_of_unknown(_PREFIX, _OURS)
    places = (_from_arguments(known), _from_environment(_OURS), _from_environment(_SEED))
    values: dict[str, Any] = {}
    for place in places:
        missing = {name: value for name, value in place.items() if name not in values}
        if values.keys() & _URLS:
            missing = {name: value for name, value in missing.items() if name not in _URLS}
        values |= missing
    values.setdefault("url", values.get("async_url") or default_url())
    return Settings(**values)


def default_url() -> str:
    """URL of the embedded database: a SQLite file in the user's data directory, which is not created here."""
    return f"sqlite:///{_data_directory() / 'otel-llm-sql' / 'llm.db'}"


def spool_directory(settings: Settings) -> Path | None:
    """Where is kept what could not be stored; None where nothing is to be, or can be, kept."""
    if settings.spool is not None:
        return None if settings.spool.lower() == "off" else Path(settings.spool)
    try:
        return _data_directory() / "otel-llm-sql" / "spool"
    except SettingsError:
        return None


def _data_directory() -> Path:
    try:
        home = Path.home()
    except RuntimeError as error:
        raise SettingsError(
            f"no home directory for the default database: set {variables.OTEL_EXPORTER_LLM_SQL_URL}"
        ) from error
    if sys.platform == "darwin":
        return home / "Library" / "Application Support"
    name, default = (
        ("LOCALAPPDATA", ("AppData", "Local")) if sys.platform == "win32" else ("XDG_DATA_HOME", (".local", "share"))
    )
    given = Path(os.environ.get(name, ""))
    # The XDG specification: a relative path is invalid and is to be ignored.
    return given if given.is_absolute() else home.joinpath(*default)


def _given(value: object) -> bool:
    return value is not None and value != ""


def _from_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _SETTINGS[name](f"{name}", value) for name, value in arguments.items() if name in _SETTINGS}


def _from_environment(names: Mapping[str, str]) -> dict[str, Any]:
    given = ((variable, name, os.environ.get(variable, "")) for variable, name in names.items())
    return {name: _SETTINGS[name](variable, value) for variable, name, value in given if value}


def _wrong(setting: str, value: object, allowed: str) -> SettingsError:
    return SettingsError(f"{setting}: {value!r} was given; allowed: {allowed}")


def _url(setting: str, value: Any) -> str:
    # str() of a SQLAlchemy URL object hides the password: ask it for the whole text.
    text = value.render_as_string(hide_password=False) if hasattr(value, "render_as_string") else value
    if isinstance(text, str) and re.match(r"[\w+.-]+://", text.strip()):
        return text.strip()
    allowed = "a database URL such as sqlite:///llm.db, postgresql://user:password@host/name or mysql://..."
    raise SettingsError(
        f"{setting}: what was given is no URL (it is not shown, it may hold a password); allowed: {allowed}"
    )


def _text(setting: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | os.PathLike):
        raise _wrong(setting, value, "text")
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


def _bounded(setting: str, value: Any) -> str:
    text = _text(setting, value)
    if len(text) > _LONGEST_WORKSPACE or not text.isprintable():
        raise _wrong(setting, text[:80], f"text of at most {_LONGEST_WORKSPACE} printable characters")
    return text


def _schema(setting: str, value: Any) -> str:
    text = _text(setting, value)
    if "\0" in text or len(text.encode()) > _LONGEST_IDENTIFIER:
        raise _wrong(setting, value, "the name of a PostgreSQL schema, at most 63 bytes")
    return text


def _switch(setting: str, value: Any) -> bool:
    spelled = _SWITCH.get(str(value).strip().lower())
    if spelled is None:
        raise _wrong(setting, value, "true or false")
    return spelled


def _capture(setting: str, value: Any) -> bool | str:
    spelled = _CAPTURE.get(str(value).strip().lower())
    if spelled is None:
        raise _wrong(setting, value, "true, false, hash or redacted")
    return spelled


def _secret(setting: str, value: Any) -> str:
    if not isinstance(value, str):
        raise SettingsError(f"{setting}: what was given is not shown, it may be a secret; allowed: text")
    return value


def _expressions(setting: str, value: Any) -> tuple[str, ...]:
    given = _listed(value) if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(item, str) for item in given):
        raise _wrong(setting, value, "a regular expression, or a (JSON) list of them")
    for expression in given:
        try:
            re.compile(expression)
        except (re.error, RecursionError, OverflowError) as error:
            raise _wrong(setting, expression, f"a regular expression ({error})") from None
    return tuple(given)


def _listed(text: str) -> list[Any]:
    """The items of a JSON list; `[A-Z]{3}` begins like one and is an expression."""
    try:
        items = json.loads(text)
    except ValueError:
        return [text]
    return items if isinstance(items, list) else [text]


def _pairs(setting: str, value: Any) -> tuple[tuple[str, str], ...]:
    """Field and attribute; a mapping may name several attributes for a field."""
    if isinstance(value, str):
        items = (item.partition("=") for item in value.split(",") if item.strip())
        given = [(field.strip(), name.strip()) for field, _, name in items]
    elif isinstance(value, Mapping):
        given = [(field, name) for field, names in value.items() for name in _several(names)]
    elif isinstance(value, tuple) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value):  # noqa: PLR2004
        given = list(value)  # what was read before
    else:
        raise _wrong(setting, value, _MAPPING)
    for field, name in given:
        key = field.removeprefix("metadata.") if isinstance(field, str) else ""
        if not isinstance(name, str) or not name or not (field in _MAPPED or 0 < len(key) < len(field)):
            raise _wrong(setting, value, _MAPPING)
    return tuple(given)


def _several(names: Any) -> Sequence[Any]:
    return names if isinstance(names, list | tuple) else (names,)


def _seconds(setting: str, value: Any) -> float:
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise _wrong(setting, value, "seconds, a number greater than 0")
    return seconds


def _bytes(setting: str, value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,18}", str(value).strip()):
        raise _wrong(setting, value, "a whole number of bytes, 0 or more")
    return int(value)


_MAPPED = ("session_key", "workspace", "agent_id", "action_id", "user_id", "metadata")
_MAPPING = f"field=attribute,... or a mapping of fields to attributes; fields: {', '.join(_MAPPED)}, metadata.KEY"
_SWITCH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_CAPTURE: Mapping[str, bool | str] = {**_SWITCH, "hash": "hash", "redacted": "redacted"}
_SHOWN: Mapping[str, Callable[[str], str]] = {"url": mask, "async_url": mask, "hash_key": lambda _: "***"}

_SETTINGS: Mapping[str, Callable[[str, Any], Any]] = {
    "url": _url,
    "async_url": _url,
    "schema": _schema,
    "capture_content": _capture,
    "workspace": _bounded,
    "prices": _text,
    "timeout": _seconds,
    "backlog_bytes": _bytes,
    "query_timeout": _seconds,
    "spool": _text,
    "hash_key": _secret,
    "redact_patterns": _expressions,
    "capture_media": _switch,
    "attributes": _pairs,
}
_URLS = {"url", "async_url"}
_ALIASES = {"db_uri": "url", "async_db_uri": "async_url"}
# Later names win: an alias stands before the name it stands for.
_PREFIX = "OTEL_EXPORTER_LLM_SQL_"
_OURS = {_PREFIX + name.upper(): _ALIASES.get(name, name) for name in (*_ALIASES, *_SETTINGS)}
_SEED = {"CONNECTION_STRING": "url", "ASYNC_CONNECTION_STRING": "async_url"}
