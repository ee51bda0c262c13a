"""How the entry code ends, and where it says why.

The Job's podFailurePolicy ends the Job at once on those codes that another try cannot mend.
"""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger(__name__)

USAGE = 2
DATA = 65
DISK = 74
RETRY = 75
GIVE_UP = 78
GATE = 79

TERMINATION_LOG = Path("/dev/termination-log")
TERMINATION_VARIABLE = "LLMOPS_TERMINATION_LOG"
# The kubelet keeps this much of it.
LONGEST_MESSAGE = 4096


class Ended(Exception):
    """Ends the command; the message is one sentence for people, `code` is for the Job."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def say_why(message: str, file: Path) -> None:
    """Leaves a message where the kubelet picks it up, so that `pulumi up` and kubectl show it."""
    if not file.exists():
        return
    try:
        file.write_text(message[:LONGEST_MESSAGE])
    except OSError as error:
        log.warning("no termination message: %s", error)
