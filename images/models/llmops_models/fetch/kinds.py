"""Which names are archives."""

from __future__ import annotations

KINDS = {".tar": "tar", ".tar.gz": "gz", ".tgz": "gz", ".tar.zst": "zst", ".zip": "zip"}


def archive_kind(name: str) -> str | None:
    """The kind of archive that a name tells of, or None."""
    return next((kind for end, kind in KINDS.items() if name.lower().endswith(end)), None)
