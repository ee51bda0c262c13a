"""Brings MLflow's database to the schema that the MLflow of this image wants."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llmops_mlflow.errors import Failed

log = logging.getLogger(__name__)

SQLITE = "sqlite:///"
DRIVER = "+psycopg2"
# Any number, the same in every pod: one of them migrates, the others wait for it.
LOCK = 5_430_617
CONNECT_SECONDS = 10


def migrate(uri: str, users: str | None, env: Mapping[str, str]) -> None:
    """Migrates the runs and, where users have to log in, sets the administrator's password."""
    with lock(uri):
        if uri.startswith(SQLITE) and not sqlite_file(uri).exists():
            log.info("there is no database yet: the server makes it")
        else:
            migrate_runs(uri)
        if users is not None:
            set_administrator(users, env)


def migrate_runs(uri: str) -> None:
    """Migrates the runs, unless their schema is the wanted one already."""
    wanted = latest_revision()
    found = revision(uri)
    if found == wanted:
        log.info("the database has schema %s already", wanted)
        return
    copy_file(uri, found)
    log.info("migrate the database from schema %s to %s", found or "none", wanted)
    upgrade(uri)


def latest_revision() -> str:
    """The schema of this image's MLflow."""
    from alembic.script import ScriptDirectory

    spec = importlib.util.find_spec("mlflow")
    if spec is None or spec.origin is None:
        raise Failed("MLflow is not installed here")
    head = ScriptDirectory(
        str(Path(spec.origin).parent / "store" / "db_migrations")
    ).get_current_head()
    if head is None:
        raise Failed("this MLflow has no migrations")
    return head


def upgrade(uri: str) -> None:
    """Runs MLflow's own migration; the URI holds no password."""
    command = [sys.executable, "-m", "mlflow", "db", "upgrade", uri]
    code = subprocess.run(command, check=False).returncode
    if code != 0:
        raise Failed(f"`mlflow db upgrade` ended with exit code {code}: see the lines above")


def revision(uri: str) -> str | None:
    """The schema that a database has, or None where it has none yet."""
    if uri.startswith(SQLITE):
        return file_revision(sqlite_file(uri))
    query = "SELECT version_num FROM alembic_version"
    with contextlib.closing(connect(uri)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('alembic_version') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return None
        cursor.execute(query)
        row = cursor.fetchone()
        return None if row is None else str(row[0])


def file_revision(file: Path) -> str | None:
    """The schema of an SQLite database."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        known = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
        if connection.execute(known).fetchone() is None:
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return None if row is None else str(row[0])


def copy_file(uri: str, found: str | None) -> None:
    """Copies an SQLite database beside itself before it is changed; one copy for each schema."""
    if not uri.startswith(SQLITE) or found is None:
        return
    file = sqlite_file(uri)
    copy = file.with_name(f"{file.stem}.before-{found}{file.suffix}")
    partial = copy.with_name(f"{copy.name}.partial")
    partial.unlink(missing_ok=True)
    with (
        contextlib.closing(sqlite3.connect(file)) as source,
        contextlib.closing(sqlite3.connect(partial)) as target,
    ):
        source.backup(target)
    with partial.open("rb") as handle:
        os.fsync(handle.fileno())
    partial.replace(copy)
    log.info("copied the database to %s", copy)


def sqlite_file(uri: str) -> Path:
    """The file of an SQLite URI."""
    return Path(uri.removeprefix(SQLITE))


@contextlib.contextmanager
def lock(uri: str) -> Iterator[None]:
    """Holds the database server's lock; a file on a volume has one pod anyway."""
    if uri.startswith(SQLITE):
        yield
        return
    with contextlib.closing(connect(uri)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
            yield


def connect(uri: str) -> Any:
    """A connection by libpq's own variables for the password and TLS."""
    import psycopg2

    try:
        return psycopg2.connect(uri.replace(DRIVER, "", 1), connect_timeout=CONNECT_SECONDS)
    except psycopg2.OperationalError as error:
        raise Failed(f"the database cannot be reached: {error}") from error


def set_administrator(users: str, env: Mapping[str, str]) -> None:
    """Gives MLflow's administrator the password of the Secret, which may have changed."""
    from mlflow.server.auth.config import read_auth_config
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    name = read_auth_config().admin_username
    password = env.get("MLFLOW_AUTH_ADMIN_PASSWORD", "")
    if name is None or password == "":
        raise Failed("MLFLOW_AUTH_ADMIN_PASSWORD or admin_username is not set")
    store = SqlAlchemyStore()
    store.init_db(users)  # type: ignore[no-untyped-call]
    if not store.has_user(name):
        store.create_user(name, password, is_admin=True)
    elif not store.authenticate_user(name, password):
        store.update_user(name, password=password)
        log.info("%s has the new password", name)
