"""Dumps of the database: each is whole and readable, or not there."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from llmops_mlflow.errors import Failed
from llmops_mlflow.postgres import sync

log = logging.getLogger(__name__)

LATEST = "latest"
NAME = re.compile(r"^mlflow-\d{8}T\d{6}Z\.dump$")
PARTIAL = ".partial"


@dataclass(frozen=True)
class Settings:
    """Where dumps lie, how many are kept, and of which database they are."""

    folder: Path
    keep: int
    database: str


def settings(env: Mapping[str, str]) -> Settings:
    """Reads the settings; the address, the user and the password are libpq's own variables."""
    try:
        return Settings(
            folder=Path(env["LLMOPS_BACKUP_FOLDER"]),
            keep=int(env.get("LLMOPS_BACKUP_KEEP", "7")),
            database=env["LLMOPS_DATABASE"],
        )
    except KeyError as missing:
        raise Failed(f"{missing.args[0]} is not set") from missing


def dumps(folder: Path) -> list[Path]:
    """The whole dumps of a folder, oldest first."""
    return sorted(path for path in folder.iterdir() if NAME.match(path.name))


def dump(options: Settings) -> Path:
    """Dumps the database, checks the dump, and removes the oldest ones beyond `keep`."""
    for left in options.folder.glob(f"mlflow-*{PARTIAL}"):
        log.info("remove %s, which an interrupted backup left behind", left.name)
        left.unlink()
    target = options.folder / time.strftime("mlflow-%Y%m%dT%H%M%SZ.dump", time.gmtime())
    partial = target.with_name(target.name + PARTIAL)
    try:
        run(["pg_dump", "--format=custom", f"--file={partial}", f"--dbname={options.database}"])
        check(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    sync(options.folder)
    log.info("%s: %d bytes", target.name, target.stat().st_size)
    for old in dumps(options.folder)[: -options.keep]:
        log.info("remove %s", old.name)
        old.unlink()
    return target


def check(file: Path) -> None:
    """Raises Failed where a dump cannot be read, or has no table in it."""
    contents = run(["pg_restore", "--list", str(file)])
    if " TABLE DATA " not in contents:
        raise Failed(f"{file.name} has no table in it: has MLflow started on this database?")


def restore(options: Settings, name: str) -> None:
    """
    Restores a dump beside the database, then swaps the names. The database that was there stays,
    under a name with the time in it. Nobody may be connected to it: end MLflow first.
    """
    file = choose(options.folder, name)
    check(file)
    fresh = f"{options.database}_restoring"
    # To the microsecond: two restores may start in one second.
    kept = f"{options.database}_before_{datetime.now(UTC):%Y%m%dt%H%M%S%f}z"
    log.info("restore %s", file.name)
    run(["dropdb", "--if-exists", "--maintenance-db=postgres", fresh])
    run(["createdb", "--maintenance-db=postgres", "--template=template0", fresh])
    run(["pg_restore", "--no-owner", "--exit-on-error", f"--dbname={fresh}", str(file)])
    swap = [
        f'ALTER DATABASE "{options.database}" RENAME TO "{kept}"',
        f'ALTER DATABASE "{fresh}" RENAME TO "{options.database}"',
    ]
    psql = ["psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--dbname=postgres"]
    run([*psql, "--single-transaction", *(f"--command={statement}" for statement in swap)])
    log.info("the database is that of %s; the one before is now called %s", file.name, kept)


def choose(folder: Path, name: str) -> Path:
    """The dump of that name, or the newest one."""
    found = dumps(folder)
    names = [path.name for path in found]
    if name == LATEST and found:
        return found[-1]
    if name in names:
        return found[names.index(name)]
    raise Failed(f"no dump {name}; there are: {', '.join(names) or 'none'}")


def run(command: list[str]) -> str:
    """Runs a client program; gives what it printed, and raises Failed with its error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{command[0]} ended with exit code {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout
