"""A private PostgreSQL server for tests: its own folder, a free port of loopback, a password, ended by its process id."""

from __future__ import annotations

import itertools
import os
import pathlib
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse
from typing import Any

import psycopg

USER = "searcher"
ACCOUNTS = ("postgres", "nobody")
"""Whose the server is where the tests run as root, which PostgreSQL refuses to."""
READY_S = 60.0
DEBIAN = pathlib.Path("/usr/lib/postgresql")


class Unavailable(Exception):
    """Why no server can be had."""


class Server:
    """Runs from its creation until `close`. password: with characters that a URL has to spell otherwise."""

    def __init__(self) -> None:
        self.password = f"p@ss:w/rd?%{{}}{secrets.token_hex(4)}"
        self._programs, self._account = _programs(), _account()
        self._numbers = itertools.count()
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="postgres-"))
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._create()
            self.port = _free_port()
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 40,
            "shared_buffers": "16MB",
            "fsync": "off",  # the machine does not crash, only processes do
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            command = [self._programs / "postgres", "-D", self._folder / "data", *options]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder, **self._account)
        until = time.monotonic() + READY_S
        while True:
            try:
                return self.connect("postgres").close()
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise Unavailable(f"PostgreSQL does not start: {self._log() or error}") from error
                time.sleep(0.05)

    def stop(self) -> None:
        """Connections are cut and what they had not committed is undone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(READY_S)
            self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def connect(self, database: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=self.password, dbname=database, autocommit=True
        )

    def new_database(self) -> str:
        """The URL of an empty database, with the password in it."""
        name = f"study_{next(self._numbers)}"
        self.execute("postgres", f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, database: str, statement: str) -> None:
        with self.connect(database) as connection:
            connection.execute(statement.encode())

    def disconnect_all(self) -> None:
        """Cut off whoever is connected: a study that its test dropped holds connections until it is collected."""
        others = "pid <> pg_backend_pid() AND backend_type = 'client backend'"
        self.execute("postgres", f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")

    def url(self, database: str, *, user: str = USER, password: str | None = None) -> str:
        secret = urllib.parse.quote(self.password if password is None else password, safe="")
        return f"postgresql+psycopg://{user}:{secret}@127.0.0.1:{self.port}/{database}"

    def _create(self) -> None:
        secret = self._folder / "password"
        secret.write_text(self.password)
        if self._account:
            for path in (self._folder, secret):
                shutil.chown(path, self._account["user"], self._account["group"])
        command = [self._programs / "initdb", "-D", self._folder / "data", "-U", USER, "--pwfile", secret]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync"]
        created = subprocess.run(
            command, capture_output=True, text=True, cwd=self._folder, check=False, timeout=READY_S, **self._account
        )
        if created.returncode != 0:
            raise Unavailable(f"initdb fails: {' '.join(created.stderr.split())}")

    def _log(self) -> str:
        return " ".join((self._folder / "log").read_text().split())


def _programs() -> pathlib.Path:
    """The folder of the newest server."""
    found = shutil.which("initdb")
    folders = [pathlib.Path(found).resolve().parent] if found is not None else []
    folders += sorted(DEBIAN.glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise Unavailable(f"there is no PostgreSQL server: no initdb on PATH or below {DEBIAN}")


def _account() -> dict[str, Any]:
    """What `subprocess` needs to run the server as somebody who is not root."""
    if os.geteuid() != 0:
        return {}
    for name in ACCOUNTS:
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    raise Unavailable(f"PostgreSQL does not run as root, and there is no account {' or '.join(ACCOUNTS)}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
