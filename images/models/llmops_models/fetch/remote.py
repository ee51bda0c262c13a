"""What a repository has: files with their sizes and checksums, or one archive."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llmops_models.auth import Credentials
from llmops_models.fetch.content import MODEL, Content

if TYPE_CHECKING:
    from llmops_models.fetch.transfer import Transfer


@dataclass(frozen=True)
class RemoteFile:
    """One object of a repository.

    `path` is where it goes below the version folder; for an archive its name. `checks` maps an
    algorithm of :mod:`digest` to the hexadecimal digest that the repository or the user states.
    """

    path: str
    url: str
    size: int
    checks: Mapping[str, str] = field(default_factory=dict)
    etag: str = ""
    ranges: bool = True

    def identity(self) -> list[Any]:
        """What tells this content from any other."""
        return [self.path, self.size, dict(self.checks) or self.etag]


@dataclass(frozen=True)
class Listing:
    """Either files or an archive."""

    files: tuple[RemoteFile, ...] = ()
    archive: RemoteFile | None = None

    def identity(self) -> list[Any]:
        wanted = [self.archive] if self.archive else sorted(self.files, key=lambda each: each.path)
        return [each.identity() for each in wanted]


@dataclass(frozen=True)
class Source:
    """Where a model, or data, comes from.

    `description` goes into the marker and holds no credentials. `pinned` says that it names one
    content for ever, so that a complete copy needs no request.
    """

    description: Mapping[str, Any]
    credentials: Credentials
    pinned: bool
    list: Callable[[Transfer], Listing]
    content: Content = MODEL

    def fingerprint(self, listing: Listing | None) -> str:
        """Name of the version folder: 16 hexadecimal digits."""
        content: list[Any] = [dict(self.description)]
        if not self.pinned and listing is not None:
            content.append(listing.identity())
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
