"""Starts Postgres on a folder that it initialises itself when it is new."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from pathlib import Path

from llmops_mlflow.errors import Failed

log = logging.getLogger(__name__)

VERSION = "15"
ROLE = "mlflow"
DATABASE = "mlflow"
# The superuser has no password, so nobody can connect as it.
ACCESS = """\
local all all scram-sha-256
host all all all scram-sha-256
"""


def serve(home: Path, password_file: Path, addresses: str) -> None:
    """Becomes Postgres on these addresses; `home` is the mounted volume."""
    data = home / VERSION
    refuse_other_version(home)
    if not data.exists():
        initialise(data)
    # The kubelet may have widened the mode of the volume's folders; Postgres refuses that.
    data.chmod(0o700)
    (data / "pg_hba.conf").write_text(ACCESS)
    set_password(data, read_password(password_file))
    os.execvp("postgres", ["postgres", *server_options(data, addresses)])


def server_options(data: Path, addresses: str) -> list[str]:
    """The command line of the server."""
    settings = {
        "listen_addresses": addresses,
        "unix_socket_directories": "/tmp",
        "password_encryption": "scram-sha-256",
    }
    return [
        "-D",
        str(data),
        *(word for item in settings.items() for word in ("-c", "=".join(item))),
    ]


def refuse_other_version(home: Path) -> None:
    """Raises Failed where the volume holds the data of another major version only."""
    others = sorted(
        path.parent.name
        for path in home.glob("*/PG_VERSION")
        if path.parent.name not in (VERSION, f"{VERSION}.partial")
    )
    if others and not (home / VERSION).exists():
        raise Failed(
            f"the volume holds data of Postgres {', '.join(others)}, and this is {VERSION}: "
            "restore a dump onto an empty volume"
        )


def initialise(data: Path) -> None:
    """Makes the cluster, the role and the database; the folder appears when it is whole."""
    partial = data.with_name(f"{data.name}.partial")
    if partial.exists():
        log.info("remove %s, which an interrupted start left behind", partial)
        shutil.rmtree(partial)
    log.info("initialise %s", data)
    run(
        [
            "initdb",
            f"--pgdata={partial}",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--auth-host=scram-sha-256",
            "--auth-local=peer",
            "--data-checksums",
        ]
    )
    single_user(partial, "postgres", [f"CREATE ROLE {ROLE} LOGIN CREATEDB"])
    single_user(partial, "postgres", [f"CREATE DATABASE {DATABASE} OWNER {ROLE}"])
    partial.rename(data)
    sync(data.parent)


def set_password(data: Path, password: str) -> None:
    """Gives the role the password of the Secret, which may have changed since the last start."""
    quoted = password.replace("'", "''")
    single_user(data, "postgres", [f"ALTER ROLE {ROLE} PASSWORD '{quoted}'"])


def read_password(file: Path) -> str:
    """The password; raises Failed where it cannot be one."""
    password = file.read_text().removesuffix("\n")
    if password == "" or any(character in password for character in "\n\r\0"):
        raise Failed(f"{file} holds no password, or one of several lines")
    return password


def single_user(data: Path, database: str, statements: list[str]) -> None:
    """Runs statements, one a line, before the server takes connections."""
    text = "".join(f"{statement}\n" for statement in statements)
    command = [
        "postgres",
        "--single",
        "-D",
        str(data),
        "-c",
        "password_encryption=scram-sha-256",
        # A failed statement is not written to the log: it may hold the password.
        "-c",
        "log_min_error_statement=panic",
        "-c",
        "exit_on_error=on",
        database,
    ]
    run(command, text)


def run(command: list[str], text: str | None = None) -> None:
    """Runs a program of Postgres; raises Failed with what it printed."""
    done = subprocess.run(command, input=text or "", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{command[0]} ended with exit code {done.returncode}:\n{done.stderr.strip()}")


def sync(folder: Path) -> None:
    """Makes a renamed entry of a folder outlive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
