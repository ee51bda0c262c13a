"""The commands of the MLflow and the Postgres image.

serve         initialise the data folder where it is empty, set the password, become Postgres
backup        dump the database beside the dumps there are, and keep the newest of them
restore NAME  put a dump in the place of the database; `latest` is the newest one
migrate URI   bring MLflow's database to the schema of the MLflow in this image
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from llmops_mlflow import backup, migrate, postgres
from llmops_mlflow.errors import Failed

log = logging.getLogger("llmops_mlflow")


def main(arguments: Sequence[str]) -> int:
    """Runs a command and gives the exit code."""
    logging.basicConfig(format="llmops: %(message)s")
    logging.getLogger("llmops_mlflow").setLevel(logging.INFO)
    options = parse(arguments)
    try:
        if options.command == "serve":
            postgres.serve(options.data, options.password_file, options.listen)
        elif options.command == "backup":
            backup.dump(backup.settings(os.environ))
        elif options.command == "restore":
            backup.restore(backup.settings(os.environ), options.name)
        else:
            migrate.migrate(options.uri, options.users, os.environ)
    except Failed as failure:
        log.error("%s", failure)
        return 1
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command and its options; wrong ones end the process with exit code 2."""
    parser = argparse.ArgumentParser(prog="llmops_mlflow")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve")
    serve.add_argument("--data", type=Path, default=Path("/var/lib/postgresql"))
    serve.add_argument("--password-file", type=Path, required=True)
    serve.add_argument("--listen", default="*", help="addresses, as Postgres takes them")
    commands.add_parser("backup")
    restore = commands.add_parser("restore")
    restore.add_argument("name", help="name of a dump, or latest")
    upgrade = commands.add_parser("migrate")
    upgrade.add_argument("uri", help="MLflow's backend store")
    upgrade.add_argument("--users", help="database of MLflow's users")
    return parser.parse_args(arguments)
