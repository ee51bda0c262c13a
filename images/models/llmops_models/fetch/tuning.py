"""Numbers that a site may change, with the defaults that suit most."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass

from llmops_models.errors import GiveUp

VARIABLE = "LLMOPS_FETCH_TUNING"


@dataclass(frozen=True)
class Tuning:
    """Sizes are in bytes, times in seconds. LLMOPS_FETCH_TUNING is a JSON object of these names."""

    connections: int = 8
    files_at_once: int = 8
    # Memory is about (connections + 2) * chunk_bytes.
    chunk_bytes: int = 8 << 20
    # A file that is one stream is asked for in such ranges: for one answer without an end a server
    # reads its disk in ever larger steps, which cost it more.
    range_bytes: int = 64 << 20
    connect_seconds: float = 20
    # A transfer slower than this for that long is cut and tried again.
    low_speed_bytes: int = 10 << 10
    low_speed_seconds: float = 30
    # A server that has all bytes of an upload may think so long before it answers.
    upload_silence_seconds: float = 300
    # How long a request is tried again without getting anywhere.
    retry_seconds: float = 300
    backoff_seconds: float = 1
    backoff_limit_seconds: float = 30
    progress_seconds: float = 5
    checkpoint_seconds: float = 5
    heartbeat_seconds: float = 5
    stale_seconds: float = 60
    # An archive may unpack to `bomb_ratio` times its size, and to `bomb_floor_bytes` in any case.
    bomb_ratio: int = 100
    bomb_floor_bytes: int = 1 << 30
    max_files: int = 200_000


def load_tuning(env: Mapping[str, str]) -> Tuning:
    """The defaults, changed as LLMOPS_FETCH_TUNING says. Raises GiveUp on an unknown name."""
    text = env.get(VARIABLE, "").strip()
    if not text:
        return Tuning()
    try:
        given = json.loads(text)
        return dataclasses.replace(Tuning(), **given)
    except (ValueError, TypeError) as error:
        known = ", ".join(field.name for field in dataclasses.fields(Tuning))
        raise GiveUp(f"{VARIABLE} is not a JSON object of {known}: {error}") from error
