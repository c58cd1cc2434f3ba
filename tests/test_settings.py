"""Settings: where they come from, and what is said about a wrong one."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from otel_llm_sql import environment_variables
from otel_llm_sql.errors import SettingsError
from otel_llm_sql.masking import mask, mask_all
from otel_llm_sql.settings import Settings, load
from otel_llm_sql.store.urls import database_url

pytestmark = pytest.mark.quick

SECRET = "s3cret"


def test_arguments_go_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument wins over our variable, ours over the seed's, that over the default."""
    monkeypatch.setenv("CONNECTION_STRING", "sqlite:///seed.db")
    assert load().url == "sqlite:///seed.db"
    monkeypatch.setenv("OTEL_EXPORTER_LLM_SQL_URL", "sqlite:///ours.db")
    assert load().url == "sqlite:///ours.db"
    assert load(url="sqlite:///argument.db").url == "sqlite:///argument.db"


def test_every_setting_has_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """All fields can be set from the environment, where values are text."""
    given = {"URL": "sqlite:///a.db", "ASYNC_URL": "sqlite+aiosqlite:///a.db", "SCHEMA": "telemetry", "TIMEOUT": "2.5"}
    given |= {"CAPTURE_CONTENT": "False", "WORKSPACE": "shop", "PRICES": "p.json", "BACKLOG_BYTES": "0"}
    given |= {
        "QUERY_TIMEOUT": "7",
        "HASH_KEY": SECRET,
        "REDACT_PATTERNS": "[A-Z]{3}-\\d+",
        "SPOOL": "off",
        "CAPTURE_MEDIA": "on",
        "ATTRIBUTES": "session_key=app.chat, metadata.tenant = app.tenant,",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_LLM_SQL_{name}", value)
    expected = Settings(*("sqlite:///a.db", "sqlite+aiosqlite:///a.db", "telemetry"), capture_content=False)
    rest = {"workspace": "shop", "prices": "p.json", "timeout": 2.5, "backlog_bytes": 0, "query_timeout": 7.0}
    rest |= {"hash_key": SECRET, "redact_patterns": ("[A-Z]{3}-\\d+",), "spool": "off", "capture_media": True}
    rest |= {"attributes": (("session_key", "app.chat"), ("metadata.tenant", "app.tenant"))}
    assert load() == Settings(**({name: getattr(expected, name) for name in Settings.__slots__} | rest))


def test_environment_variables_are_those_of_the_settings() -> None:
    """The module that opentelemetry-instrument reads names exactly the fields, each variable by its own name."""
    names = {name: value for name, value in vars(environment_variables).items() if name.startswith("OTEL_")}
    assert names == {f"OTEL_EXPORTER_LLM_SQL_{field.upper()}": names[name] for field, name in _variables().items()}
    assert all(name == value for name, value in names.items())


def _variables() -> dict[str, str]:
    return {field: f"OTEL_EXPORTER_LLM_SQL_{field.upper()}" for field in Settings.__slots__}


def test_opentelemetry_instrument_offers_our_settings() -> None:
    """`opentelemetry-instrument --help` lists an option for every setting."""
    pytest.importorskip("opentelemetry.instrumentation")
    command = Path(sys.executable).with_name("opentelemetry-instrument")
    text = subprocess.run([command, "--help"], capture_output=True, text=True, check=True).stdout
    assert {field for field in Settings.__slots__ if f"--exporter_llm_sql_{field} " not in text} == set()


@pytest.mark.parametrize("prefix", ["", "OTEL_EXPORTER_LLM_SQL_"])
def test_db_uri_is_another_name_of_url(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`db_uri` and `async_db_uri` are understood as arguments and as variables."""
    given = {"db_uri": "sqlite:///a.db", "async_db_uri": "sqlite:///b.db"}
    if prefix:
        for name, value in given.items():
            monkeypatch.setenv(prefix + name.upper(), value)
    settings = load() if prefix else load(**given)
    assert (settings.url, settings.async_url) == ("sqlite:///a.db", "sqlite:///b.db")


def test_both_urls_come_from_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL given as an argument is never joined with the async URL of another database from the environment."""
    monkeypatch.setenv("ASYNC_CONNECTION_STRING", "postgresql+asyncpg://elsewhere/db")
    assert load(url="sqlite:///here.db").async_url is None
    assert load().url == load().async_url == "postgresql+asyncpg://elsewhere/db"


@pytest.mark.parametrize("empty", [None, ""])
def test_empty_is_not_given(empty: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty variables, and the empty values of a YAML file whose substitution found nothing, count as unset."""
    monkeypatch.setenv("OTEL_EXPORTER_LLM_SQL_URL", "")
    monkeypatch.setenv("OTEL_EXPORTER_LLM_SQL_TIMEOUT", "")
    monkeypatch.setenv("CONNECTION_STRING", "sqlite:///seed.db")
    assert load(url=empty, timeout=empty) == Settings("sqlite:///seed.db")


def test_values_of_a_yaml_file_have_types_of_their_own() -> None:
    """Declarative configuration gives numbers and booleans, or text for them."""
    typed = load(url="sqlite://", capture_content=False, timeout=3, backlog_bytes=10, workspace=7, prices=Path("p"))
    text = load(url="sqlite://", capture_content="no", timeout="3", backlog_bytes="10", workspace="7", prices="p")
    assert typed == text == Settings("sqlite://", None, None, False, "7", "p", 3.0, 10)


def test_attributes_are_text_or_a_mapping() -> None:
    """In Python a mapping says which attributes are whose, several for a field where there are; order is kept."""
    mapping = load(url="sqlite://", attributes={"user_id": ["app.user", "app.login"], "metadata": "app.more"})
    assert mapping == load(url="sqlite://", attributes="user_id=app.user,user_id=app.login,metadata=app.more")
    assert mapping.attributes == (("user_id", "app.user"), ("user_id", "app.login"), ("metadata", "app.more"))


def test_the_default_is_a_file_in_the_users_data_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without settings the database is embedded; nothing is created by asking."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert load().url == f"sqlite:///{tmp_path}/data/otel-llm-sql/llm.db"
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/invalid")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load().url == f"sqlite:///{tmp_path}/.local/share/otel-llm-sql/llm.db"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("platform", "directory"), [("darwin", "Library/Application Support"), ("win32", "AppData/Local")]
)
def test_the_default_follows_the_platform(
    platform: str, directory: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On macOS and Windows the data directory is where these keep such files."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    assert load().url == f"sqlite:///{tmp_path / directory}/otel-llm-sql/llm.db"


@pytest.mark.skipif(os.name != "posix", reason="asks the user database")
def test_without_a_home_the_message_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no home directory can be found, the variable to set is named."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 9)
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_LLM_SQL_URL"):
        load()


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("timeout", "soon", "seconds"),
        ("timeout", 0, "greater than 0"),
        ("timeout", "nan", "seconds"),
        ("timeout", "inf", "seconds"),
        ("timeout", True, "seconds"),
        ("timeout", [], "seconds"),
        ("query_timeout", -1, "greater than 0"),
        ("backlog_bytes", "64MB", "whole number of bytes"),
        ("backlog_bytes", -1, "0 or more"),
        ("backlog_bytes", True, "whole number"),
        ("capture_content", "perhaps", "true, false, hash or redacted"),
        ("capture_media", "hash", "true or false"),
        ("redact_patterns", 7, "a regular expression, or a (JSON) list of them"),
        ("redact_patterns", ["a", 7], "(JSON) list"),
        ("redact_patterns", "(?P<a", "a regular expression (missing >"),
        ("workspace", {"name": "x"}, "text"),
        (
            "attributes",
            "chat=app.chat",
            "fields: session_key, workspace, agent_id, action_id, user_id, metadata, metadata.KEY",
        ),
        ("attributes", "session_key", "field=attribute,..."),
        ("attributes", "session_key=", "field=attribute,..."),
        ("attributes", "metadata.=app.tenant", "metadata.KEY"),
        ("attributes", {"user_id": 7}, "a mapping of fields to attributes"),
        ("attributes", {7: "app.user"}, "field=attribute,..."),
        ("attributes", ["user_id"], "a mapping of fields to attributes"),
        ("schema", "x" * 64, "63 bytes"),
    ],
)
def test_a_wrong_setting_says_which_what_and_what_is_allowed(field: str, value: Any, allowed: str) -> None:
    """The message names the setting, the value and the allowed ones."""
    with pytest.raises(SettingsError) as raised:
        load(**{"url": "sqlite://", field: value})
    assert str(raised.value).startswith(f"{field}: {value!r} was given; allowed: ")
    assert allowed in str(raised.value)


def test_a_wrong_variable_is_named_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value from the environment is reported under the variable's name."""
    monkeypatch.setenv("OTEL_EXPORTER_LLM_SQL_TIMEOUT", "x")
    with pytest.raises(SettingsError, match=r"^OTEL_EXPORTER_LLM_SQL_TIMEOUT: 'x' was given; allowed: seconds"):
        load()


@pytest.mark.parametrize("url", [f"user:{SECRET}@host/db", f"{SECRET}", 5, f"postgres ql://u:{SECRET}@h/d"])
def test_what_is_no_url_is_never_shown(url: Any) -> None:
    """A mistyped URL may hold a password: the message says what is allowed and shows nothing of it."""
    with pytest.raises(SettingsError, match="url: what was given is no URL") as raised:
        load(url=url)
    assert SECRET not in str(raised.value)


def test_settings_show_no_password() -> None:
    """repr() of the settings, which ends up in logs, hides what is secret."""
    settings = load(
        url=f"postgresql://u:{SECRET}@h/d", async_url=f"postgresql+asyncpg://h/d?password={SECRET}&ssl=require"
    )
    assert SECRET not in repr(settings)
    assert "@h/d" in repr(settings)
    assert "postgresql+asyncpg://h/d?***" in repr(settings)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////data/llm.db", "sqlite:////data/llm.db"),
        ("postgresql://h:5432/d", "postgresql://h:5432/d"),
        (f"postgresql://u:{SECRET}@[::1]:5432/d", "postgresql://***@[::1]:5432/d"),
        (f"mysql://u:{SECRET}@h/d?charset=x", "mysql://***@h/d?***"),
        (f"mysql://u:a@{SECRET}?x@h/d", "mysql://***@h/d"),
        (f"mysql://u:{SECRET}/{SECRET}@h/d", "mysql://***@h/d"),
        (f"mysql://u:{SECRET}?x=1@h/d", "mysql://***"),
        (f"mysql://u:{SECRET}@{SECRET}/{SECRET}?{SECRET}@h/d", "mysql://***"),
        (f"postgresql://u:{SECRET}/d", "postgresql://***"),
        (f"postgresql://h/d?user=u&sslpassword={SECRET}&a=b", "postgresql://h/d?***"),
        (f"postgresql://h/d?user=u&password=a@{SECRET}", "postgresql://h/d?***"),
        (f"postgresql://h:5432/d?user=u&password=a@{SECRET}", "postgresql://***"),
        (f"postgresql://h?user=u&password=a@{SECRET}", "postgresql://***"),
        (f"postgresql://h/d?options=-c%20x@y&password={SECRET}", "postgresql://h/d?***"),
        (f"postgresql://h/d?pass%77ord={SECRET}", "postgresql://h/d?***"),
        (f"snowflake://h/d?oauth={SECRET}", "snowflake://h/d?***"),
        (f"sqlite:///x.db?{SECRET}", "sqlite:///x.db?***"),
        (f"mssql+pyodbc:///?odbc_connect=UID%3Du%3BPWD%3D{SECRET}", "mssql+pyodbc:///?***"),
        (f"mssql+pyodbc:///?odbc_connect=UID=u;PWD=a@{SECRET}", "mssql+pyodbc:///?***"),
        (f"u:{SECRET}@h", "(no URL)"),
    ],
)
def test_mask(url: str, shown: str) -> None:
    """Credentials and the query string are hidden, whatever characters they hold; so is what only may be one of them.

    In a sentence it is the same, and what was masked once stays as it is.
    """
    assert mask(url) == shown
    if shown != "(no URL)":
        assert mask_all(f"say '{url}', ({url}): no.") == f"say '{shown}', ({shown}): no."
        assert mask(shown) == shown


def test_a_wrong_pool_setting_is_not_shown() -> None:
    """Where a password holds a `&`, a part of it may be read as a setting."""
    for setting in ("pool_size", "pool_timeout", "echo"):
        with pytest.raises(SettingsError, match=f"{setting} in the database URL: .*; allowed: ") as raised:
            database_url(f"postgresql://h/d?{setting}={SECRET}")
        assert SECRET not in str(raised.value)


@pytest.mark.parametrize("mode", ["hash", "Redacted", " FALSE "])
def test_content_has_four_modes(mode: str) -> None:
    """Beside true and false there are two words, in any case."""
    assert load(url="sqlite://", capture_content=mode).capture_content in ("hash", "redacted", False)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (r"\bEMP-\d+", (r"\bEMP-\d+",)),
        ("[A-Z]{3}", ("[A-Z]{3}",)),
        ("7", ("7",)),
        (r'["a\\d", "b"]', (r"a\d", "b")),
        (["a", "b"], ("a", "b")),
    ],
)
def test_patterns_are_one_or_a_list(given: Any, read: tuple[str, ...]) -> None:
    """One expression, a JSON list of them, or the list of a YAML file."""
    assert load(url="sqlite://", redact_patterns=given).redact_patterns == read


def test_the_wrong_expression_among_several_is_named() -> None:
    """Of a list, the message shows the one that is wrong."""
    with pytest.raises(SettingsError, match=r"^redact_patterns: '\(\[' was given; .*unterminated"):
        load(url="sqlite://", redact_patterns='["fine", "(["]')


def test_the_hash_key_is_never_shown() -> None:
    """Neither by the settings nor by the message about a wrong one."""
    settings = load(url="sqlite://", hash_key=SECRET)
    assert (settings.hash_key, SECRET in repr(settings)) == (SECRET, False)
    with pytest.raises(SettingsError, match=r"^hash_key: .* is not shown") as raised:
        load(url="sqlite://", hash_key=[SECRET])
    assert SECRET not in str(raised.value)


def test_a_url_object_keeps_its_password() -> None:
    """SQLAlchemy's URL objects are taken whole, though their str() hides the password."""
    url = f"postgresql://u:{SECRET}@h/d"
    assert load(url=sa.make_url(url)).url == url


def test_an_unknown_argument_is_logged_and_ignored(caplog: pytest.LogCaptureFixture) -> None:
    """Unknown keys of a configuration file are worth a warning, not the application's telemetry."""
    with caplog.at_level(logging.WARNING):
        assert load(url="sqlite://", databse="x") == Settings("sqlite://")
    assert "unknown setting 'databse' is ignored" in caplog.text


def test_an_unknown_variable_is_logged_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Who misspells CAPTURE_CONTENT=false believes that no text is stored."""
    monkeypatch.setattr(environment_variables, "_told", set())
    monkeypatch.setenv("OTEL_EXPORTER_LLM_SQL_CAPTURE_CONTNT", "false")
    for _ in range(2):
        load(url="sqlite://")
    (said,) = caplog.messages
    assert "unknown environment variable OTEL_EXPORTER_LLM_SQL_CAPTURE_CONTNT is ignored; known are: " in said
    assert "OTEL_EXPORTER_LLM_SQL_CAPTURE_CONTENT," in said


def test_settings_import_no_sqlalchemy() -> None:
    """Reading settings costs nothing of what only a database needs."""
    program = "import sys, otel_llm_sql.settings as s; s.load(); sys.exit('sqlalchemy' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
