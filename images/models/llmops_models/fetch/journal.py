"""How far a download has come: JSON lines beside the partial files, which survive a kill.

The first line says what is downloaded; each other line is added after what it tells of is on disk.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Names this kernel since it was started; empty where it does not say."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


class Journal:
    """Records of one download. `same_boot`: unwritten pages of the last try are not lost."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        """Goes on with the file where it is of the same download, and begins anew otherwise."""
        self._lock = threading.Lock()
        head, *records = read_records(path) or [{}]
        self.resumed = head.get("fingerprint") == fingerprint
        self.same_boot = head.get("boot") == boot_id() != ""
        self.records: list[dict[str, Any]] = records if self.resumed else []
        first = {"fingerprint": fingerprint, "boot": boot_id()}
        rewritten = path.with_name(f"{path.name}.new")
        with rewritten.open("w") as file:
            file.writelines(json.dumps(each) + "\n" for each in [first, *self.records])
            file.flush()
            os.fsync(file.fileno())
        rewritten.replace(path)
        self._file = path.open("a")

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Adds records. Their files must be on disk before."""
        with self._lock:
            self._file.write("".join(json.dumps(each) + "\n" for each in records))
            self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_records(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal: the last one may have been cut by a kill."""
    try:
        lines = path.read_text().splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return []
    records: list[dict[str, Any]] = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            break
        if not isinstance(record, dict):
            break
        records.append(record)
    return records
