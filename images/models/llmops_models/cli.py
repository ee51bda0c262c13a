"""The commands: `fetch` brings a model to a volume, `publish` takes one to a repository, and `run`
looks whether a training run is complete."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from llmops_models import run_check
from llmops_models.errors import EX_CONFIG, EX_TEMPFAIL, Failure, redact_text
from llmops_models.fetch import cli as fetch_cli
from llmops_models.publish import cli as publish_cli

log = logging.getLogger(__name__)

TERMINATION_LOG = Path("/dev/termination-log")
TERMINATION_LOG_LIMIT = 2000


class Stopped(BaseException):
    """SIGTERM or SIGINT came."""


def main(arguments: Sequence[str]) -> int:
    """Runs a command and gives its exit code: 0, 2 wrong use, 75 retry, 78 give up."""
    logging.basicConfig(level=logging.INFO, format="llmops: %(message)s", stream=sys.stderr)
    options = parse(arguments)
    signal.signal(signal.SIGTERM, _raise_stopped)
    signal.signal(signal.SIGINT, _raise_stopped)
    try:
        return run(options)
    except Failure as failure:
        return end(str(failure), failure.code)
    except OSError as error:
        return end(f"the volume does not work: {error}", EX_CONFIG)
    except Stopped:
        return end("stopped by a signal; the next start goes on from here", EX_TEMPFAIL)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the command; wrong use ends the process with exit code 2."""
    parser = argparse.ArgumentParser(prog="llmops_models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    fetch_cli.add_arguments(commands)
    publish_cli.add_arguments(commands)
    run_check.add_arguments(commands)
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> int:
    """Hands over to the command."""
    commands = {"fetch": fetch_cli.run, "publish": publish_cli.run, "run": run_check.run}
    return commands[options.command](options)


def end(sentence: str, code: int) -> int:
    """Says why on the last line of the log and in the termination message; gives the code."""
    sentence = redact_text(sentence)
    log.error("%s", sentence)
    if TERMINATION_LOG.is_file():
        try:
            TERMINATION_LOG.write_text(sentence[:TERMINATION_LOG_LIMIT] + "\n")
        except OSError as error:
            log.warning("no termination message: %s", error)
    return code


def _raise_stopped(_number: int, _frame: FrameType | None) -> None:
    raise Stopped
