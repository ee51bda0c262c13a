"""How a command fails: worth another try, or not before something is changed."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

EX_TEMPFAIL = 75
EX_CONFIG = 78

# A mark at the end belongs to the sentence.
_URL_IN_TEXT = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s'\"<>]*[^\s'\"<>.,:;!)]")


class Failure(Exception):
    """Ends a command; the message is one sentence for the reader of the log, without secrets."""

    code = 1


class Retry(Failure):
    """May go well next time: cuts, timeouts, 429, 5xx.

    `after` is the number of seconds that the server asks to wait, or None.
    """

    code = EX_TEMPFAIL

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class GiveUp(Failure):
    """Fails the same way until a setting, a secret, the volume or the source is changed."""

    code = EX_CONFIG


def redact(url: str) -> str:
    """A URL as it may be printed: no user, password, query (signatures live there) or fragment."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "(a URL that cannot be read)"
    host = parts.netloc.rpartition("@")[2]
    query = "?…" if parts.query else ""
    return f"{parts.scheme}://{host}{parts.path}{query}"


def redact_text(text: str) -> str:
    """A text in which every URL is as :func:`redact` gives it."""
    return _URL_IN_TEXT.sub(lambda match: redact(match.group()), text)
