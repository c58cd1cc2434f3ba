"""Fixtures: one empty database per test, on each kind of server.

`url` is parametrised over SQLite, PostgreSQL and MariaDB. Where a server is not installed its tests skip and say so;
with `LLM_SQL_REQUIRE_DATABASES=1` (as in CI) they fail instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from databases import KINDS, Missing, Server, SQLite

_running: dict[str, object] = {}


def server(kind: str) -> object:
    """The running server of a kind, started at the first call of this worker."""
    if kind not in _running:
        try:
            _running[kind] = KINDS[kind]()
        except Missing as missing:
            if os.environ.get("LLM_SQL_REQUIRE_DATABASES"):
                raise
            pytest.skip(f"{kind} is not installed here: {missing}")
    return _running[kind]


def pytest_sessionfinish() -> None:
    for running in _running.values():
        running.close()  # type: ignore[attr-defined]


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of database; use it to ask what differs."""
    return str(request.param)


@pytest.fixture
def url(kind: str) -> str:
    """URL of an empty database, without a driver name: `sqlite:///`, `postgresql://`, `mysql://`."""
    return server(kind).new_database()  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def new_database() -> Callable[[str], str]:
    """Make an empty database of a kind: `new_database("postgresql")`."""
    return lambda kind: server(kind).new_database()  # type: ignore[attr-defined, no-any-return]


@pytest.fixture(scope="session")
def servers() -> Callable[[str], object]:
    """The servers themselves, for tests that stop, start or freeze them: make your own with `databases.KINDS`."""
    return server


@pytest.fixture(params=["postgresql", "mariadb"])
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of the test's own, to be stopped, frozen and started."""
    server(request.param)  # skips where it is not installed
    made = KINDS[request.param]()
    assert isinstance(made, Server)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the developer's settings or writes to the developer's home."""
    for name in list(os.environ):
        if name.startswith(("OTEL_", "CONNECTION_STRING", "ASYNC_CONNECTION_STRING")):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))


__all__ = ["SQLite"]
