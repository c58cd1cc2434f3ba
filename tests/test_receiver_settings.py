"""Settings of the receiver: arguments, the environment, defaults; what is wrong is said, and tokens are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from otel_llm_sql import environment_variables
from otel_llm_sql.errors import SettingsError
from otel_llm_sql.receiver.settings import PREFIX, Address, ReceiverSettings, load_receiver
from otel_llm_sql.receiver.tokens import Tokens

SECRET = "token-marker-7"


def test_otlp_15_the_defaults_listen_on_loopback() -> None:
    """OTLP-15, OTLP-04: nothing given: loopback, the ports of OTLP, 64 MiB, no CORS."""
    settings = load_receiver()
    assert (str(settings.http), str(settings.grpc)) == ("127.0.0.1:4318", "127.0.0.1:4317")
    assert settings.body_bytes == settings.inflated_bytes == 64 * 2**20
    assert settings == ReceiverSettings()


def test_an_unknown_variable_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Who writes TOKEN for TOKENS believes that a door is locked; the value is not shown."""
    monkeypatch.setattr(environment_variables, "_told", set())
    monkeypatch.setenv(f"{PREFIX}TOKEN", SECRET)
    monkeypatch.setenv(f"{PREFIX}SERVICE_HOST", "10.0.0.1")  # Kubernetes: a service of that name
    monkeypatch.setenv(f"{PREFIX}PORT_4318_TCP", "tcp://10.0.0.1:4318")
    load_receiver()
    (said,) = caplog.messages
    assert f"unknown environment variable {PREFIX}TOKEN is ignored; known are: {PREFIX}HTTP" in said
    assert SECRET not in caplog.text


def test_the_environment_and_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting has its variable; an argument wins; empty counts as not given."""
    for name, value in {
        "HTTP": "[::1]:0",
        "GRPC": "off",
        "WORKERS": "3",
        "QUEUE_BYTES": "1000",
        "GRACE": "2.5",
        "TOKENS": f"one,{SECRET}",
        "CORS_ORIGINS": "https://*.example.com, http://localhost",
        "CORS_MAX_AGE": "",
    }.items():
        monkeypatch.setenv(PREFIX + name, value)
    settings = load_receiver(workers=2, grace=None, tokens="")
    assert settings == ReceiverSettings(
        http=Address("::1", 0),
        grpc=None,
        workers=2,
        queue_bytes=1000,
        grace=2.5,
        tokens=("one", SECRET),
        cors_origins=("https://*.example.com", "http://localhost"),
    )
    assert str(settings.http) == "[::1]:0"
    assert (settings.largest_body, settings.largest_inflated) == (1000, 1000)


def test_otlp_15_tokens_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One token a line, comments and empty lines skipped; an argument takes the place of the environment's tokens."""
    file = tmp_path / "tokens"
    file.write_text(f"# the gateway\n{SECRET}\n\n  # old\n second \n")
    monkeypatch.setenv(f"{PREFIX}TOKENS", "outdated")
    settings = load_receiver(token_file=file)
    assert settings.tokens == (SECRET, "second")
    assert SECRET not in repr(settings) + repr(Tokens(settings.tokens))
    assert load_receiver(token_file=file, tokens="third").tokens == ("third", SECRET, "second")


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("http", "4318", "HOST:PORT"),
        ("http", "localhost:70000", "HOST:PORT"),
        ("grpc", ":4317", "HOST:PORT"),
        ("workers", "0", "from 1"),
        ("workers", True, "whole number"),
        ("body_bytes", "64MiB", "whole number"),
        ("queue_bytes", "-1", "whole number"),
        ("grace", "soon", "seconds"),
        ("answer_seconds", "nan", "seconds"),
        ("tls_cert", "/no/such/file", "can be read"),
        ("cors_origins", 7, "commas"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: Any, allowed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which setting, what was given and what is allowed; for a variable, the variable."""
    with pytest.raises(SettingsError, match=allowed) as wrong:
        load_receiver(**{name: value})
    assert str(wrong.value).startswith(f"{name}: {value!r} was given")
    monkeypatch.setenv(PREFIX + name.upper(), str(value))
    if isinstance(value, str):
        with pytest.raises(SettingsError, match=PREFIX + name.upper()):
            load_receiver()


@pytest.mark.parametrize("tokens", [",", f"{SECRET} with spaces", f"{SECRET}ü", [7, SECRET]])
def test_wrong_tokens_are_not_shown(tokens: Any) -> None:
    """A list without a token would let everybody in; what is wrong is said without the token."""
    with pytest.raises(SettingsError, match="tokens") as wrong:
        load_receiver(tokens=tokens)
    assert SECRET not in str(wrong.value)


def test_an_empty_token_file_opens_no_door(tmp_path: Path) -> None:
    """Only comments in the file: refused, as no token at all would mean that everybody may send."""
    (tmp_path / "tokens").write_text("# none yet\n")
    with pytest.raises(SettingsError, match="no token"):
        load_receiver(token_file=tmp_path / "tokens")


def test_settings_that_do_not_go_together(tmp_path: Path) -> None:
    """A certificate without its key, client certificates without TLS, no door at all, a name that is not known."""
    file = tmp_path / "pem"
    file.write_text("x")
    for given, said in (
        ({"tls_cert": file}, "without the other"),
        ({"tls_client_ca": file}, "need TLS"),
        ({"http": "off", "grpc": "off"}, "both are off"),
        ({"htp": "127.0.0.1:1"}, "no setting of the receiver"),
    ):
        with pytest.raises(SettingsError, match=said):
            load_receiver(**given)  # type: ignore[arg-type]
