"""A PostgreSQL server of the tests' own, in a temporary directory."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

PASSWORD = "s3cret: p@ss/word'%"
USER = "head race"


@dataclass(frozen=True)
class Server:
    """A server that is up.

    Attributes:
        directory: where its data is.
        port: where it listens, on 127.0.0.1.
    """

    directory: Path
    port: int

    def options(self, **more: object) -> dict[str, object]:
        """Return the options by which a connector reaches it; the password is in ``HEADRACE_TEST_PASSWORD``."""
        os.environ["HEADRACE_TEST_PASSWORD"] = PASSWORD
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "database": "postgres",
            "user": USER,
            "password": "${env:HEADRACE_TEST_PASSWORD}",
            **more,
        }


@contextmanager
def running(more: Mapping[str, str] = MappingProxyType({})) -> Iterator[Server]:
    """Start a server, as a user that is not root, and end it with all that it holds.

    Args:
        more: further settings of the server's.
    """
    directory = Path(tempfile.mkdtemp(prefix="headrace-postgres-"))
    try:
        (directory / "password").write_text(PASSWORD)
        if os.getuid() == 0:
            os.chown(directory, pwd.getpwnam("postgres").pw_uid, -1)
        data, login = directory / "data", f"--pwfile={directory / 'password'}"
        _run("initdb", "-D", str(data), "-A", "scram-sha-256", "-U", USER, login, "--no-sync", "--locale=C.UTF-8")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = f"-p {port} -k {directory} -c fsync=off -c listen_addresses=127.0.0.1"
        settings += "".join(f" -c {name}={value}" for name, value in more.items())
        _run("pg_ctl", "-D", str(data), "-w", "-t", "60", "-l", str(directory / "log"), "-o", settings, "start")
        try:
            yield Server(directory, port)
        finally:
            _run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def execute(server: Server, *statements: str) -> None:
    """Run statements on a server, each in a transaction of its own."""
    from adbc_driver_postgresql import dbapi

    from connectors import Postgres

    uri = Postgres(**server.options(table="x"))._uri()
    with closing(dbapi.connect(uri, autocommit=True)) as connection, closing(connection.cursor()) as cursor:
        for statement in statements:
            cursor.execute(statement)


def _run(program: str, *arguments: str) -> None:
    found = [shutil.which(program), *sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), reverse=True)]
    path = next((str(one) for one in found if one), program)
    as_another: Sequence[str] = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    prefix = as_another if os.getuid() == 0 else []
    ended = subprocess.run([*prefix, path, *arguments], capture_output=True, text=True, timeout=120, cwd="/")
    if ended.returncode:
        raise RuntimeError(f"{program}: {ended.stdout}{ended.stderr}")
