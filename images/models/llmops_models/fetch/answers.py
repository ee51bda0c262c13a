"""What a server's answer means: an error with its remedy, or bytes from a place in a file."""

from __future__ import annotations

import re
import time

from llmops_models.errors import Failure, GiveUp, Retry, redact
from llmops_models.fetch.digest import Mismatch
from llmops_models.fetch.remote import RemoteFile
from llmops_models.http import Answer

CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
WORTH_A_RETRY = {408, 423, 425, 429, 500, 502, 503, 504}


def first_byte(file: RemoteFile, answer: Answer, wanted: int) -> int:
    """How many bytes of an answer come before byte `wanted` of the file.

    Raises Mismatch where the answer is of a file with another length, or of another range.
    """
    where = redact(file.url)
    if answer.status == 206:
        match = CONTENT_RANGE.match(answer.headers.get("content-range", ""))
        if match is None or int(match[1]) != wanted:
            raise Mismatch(f"{where}: the server answers with another range than asked for")
        if match[3] not in ("*", str(file.size)):
            raise Mismatch(f"{where}: the file has {match[3]} bytes, {file.size} were announced")
        return 0
    length = answer.headers.get("content-length")
    if length is not None and int(length) != file.size and "content-encoding" not in answer.headers:
        raise Mismatch(f"{where}: the file has {length} bytes, {file.size} were announced")
    return wanted


def status_error(url: str, answer: Answer, remedy: str) -> Failure:
    """What an HTTP status means and what to do about it."""
    where = f"{redact(url)}: HTTP {answer.status}"
    said = answer.headers.get("x-error-message", "")[:200]
    if said:
        where += f" ({said})"
    if answer.status in (401, 403, 407):
        return GiveUp(f"{where}, access refused: {remedy}")
    if answer.status in (404, 410):
        return GiveUp(f"{where}, there is no such path: check its spelling and the revision")
    if answer.status == 416:
        return Mismatch(f"{where}, the file is shorter than announced")
    if answer.status in WORTH_A_RETRY:
        return Retry(where, retry_after(answer.headers.get("retry-after", "")))
    return GiveUp(f"{where}, which this program does not know how to go on from")


def retry_after(text: str) -> float | None:
    """Seconds of a Retry-After header: a number or a date; None where there is none."""
    if text.isdigit():
        return float(text)
    # Seldom needed, and slow to load.
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
