"""A forward-only file over pieces of bytes, as the archive readers want it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from llmops_models.errors import Failure
from llmops_models.fetch.digest import Digest
from llmops_models.fetch.worker import Worker

PIECE = 1 << 20

Pieces = Callable[[int], Iterator[memoryview]]


class Broken(Failure):
    """An archive that cannot be read: cut short, damaged, or of another format."""


class ByteStream:
    """Reads from `pieces(start)`; every byte that goes by is taken into `digest` in order.

    Hashing is done by `hashing`. Pieces are reused: before the next one is asked for, all `users`
    (who may still read the last one) are settled.
    """

    def __init__(
        self,
        pieces: Pieces,
        digest: Digest | None = None,
        start: int = 0,
        hashing: Worker | None = None,
        users: tuple[Worker, ...] = (),
    ) -> None:
        self._open = pieces
        self._pieces = pieces(start)
        self._piece = memoryview(b"")
        self._position = start
        self._digest = digest
        self._hashing = hashing
        self._users = users if hashing is None else (*users, hashing)

    def settle(self) -> None:
        """Waits until nobody reads the last piece any more, and the digest is up to here."""
        for worker in self._users:
            worker.settle()

    def tell(self) -> int:
        return self._position

    def some(self, most: int = PIECE) -> memoryview:
        """At least one byte and at most `most`; none at the end. Valid until the next call."""
        while not self._piece:
            self.settle()
            following = next(self._pieces, None)
            if following is None:
                return memoryview(b"")
            self._piece = following
        result, self._piece = self._piece[:most], self._piece[most:]
        self._position += len(result)
        if self._digest is not None and self._hashing is not None:
            self._hashing.submit(self._digest.update, result)
        return result

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, fewer at the end."""
        parts: list[bytes] = []
        while size > 0 and (part := self.some(size)):
            parts.append(bytes(part))
            size -= len(part)
        return b"".join(parts)

    def seek(self, position: int, _whence: int = 0) -> int:
        """Goes forward. Raises Broken where that is behind the end."""
        if position < self._position:
            raise Broken("the archive's parts lie in an order that cannot be streamed")
        self.copy(position - self._position, lambda _data: None)
        return self._position

    def copy(self, size: int, take: Callable[[memoryview], object]) -> None:
        """Hands on exactly `size` bytes. Raises Broken where there are fewer."""
        while size > 0:
            data = self.some(min(size, PIECE))
            if not data:
                raise Broken("the archive is cut short")
            take(data)
            size -= len(data)

    def replay(self, path: Path, length: int) -> None:
        """Goes on by `length` bytes that are in a file already, without reading them again."""
        self.settle()
        if self._digest is not None:
            self._digest.update_from(path, length)
        self._position += length
        self._piece = memoryview(b"")
        self._pieces = self._open(self._position)

    def drain(self) -> None:
        """Reads to the end."""
        while self.some():
            pass


def isal_error() -> type[Exception]:
    """What the unpacker of gzip and deflate raises for damaged data."""
    from isal import isal_zlib

    return cast("type[Exception]", isal_zlib.error)
