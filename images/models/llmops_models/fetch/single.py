"""A file as one stream: one range after the other, each asked for when the one before is here."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

from llmops_models.errors import Retry, redact
from llmops_models.fetch.answers import first_byte
from llmops_models.fetch.digest import Mismatch
from llmops_models.fetch.patience import Patience
from llmops_models.fetch.progress import Progress
from llmops_models.fetch.remote import RemoteFile
from llmops_models.fetch.stopping import Stop
from llmops_models.fetch.tuning import Tuning
from llmops_models.http import Answer, Sink

# Large enough for hashing and writing, small enough to stay in the CPU's cache between them.
PIECE = 1 << 20
# libcurl hands on no more than this at once.
PART = 16 << 10
PIECES_AHEAD = 16
POLL_SECONDS = 0.2

Take = Callable[[memoryview], object]


class SingleStream:
    """`send` is the request function of a Transfer."""

    def __init__(
        self, send: Callable[..., Answer], tuning: Tuning, progress: Progress, stop: Stop
    ) -> None:
        self._send = send
        self._tuning = tuning
        self._progress = progress
        self._stop = stop
        self._left = threading.Event()
        self._pieces: queue.Queue[bytes | BaseException | None] = queue.Queue(PIECES_AHEAD)

    def push(self, file: RemoteFile, start: int, take: Take) -> None:
        """Hands on the file from `start` on, in the thread and at the moment in which it comes.

        A piece is valid until `take` returns. A server without ranges sends after a cut what is
        here already; it is left out.
        """
        patience = Patience(self._tuning, self._stop)
        size = max(PART, min(PIECE, self._tuning.chunk_bytes))
        pieces = _Pieces(file, start, size, take, self._progress)
        while pieces.position < file.size:
            before = pieces.position
            end = min(before + self._tuning.range_bytes, file.size) if file.ranges else file.size
            try:
                span = {"Range": f"bytes={before}-{end - 1}"} if file.ranges else None
                self._send("GET", file.url, span, pieces.open)
                if pieces.position < end:
                    raise Retry(f"{redact(file.url)}: the answer ended too early")
                patience = Patience(self._tuning, self._stop)
            except Mismatch:
                raise
            except Retry as error:
                got = pieces.position - before
                if got > self._tuning.low_speed_bytes * self._tuning.low_speed_seconds:
                    patience = Patience(self._tuning, self._stop)
                patience.wait(error)
        pieces.flush()

    def read(self, file: RemoteFile) -> Iterator[memoryview]:
        """The file's bytes in order. Raises what the receiving thread met."""
        thread = threading.Thread(target=self._receive, args=(file,), daemon=True)
        thread.start()
        try:
            while (piece := self._pieces.get()) is not None:
                if isinstance(piece, BaseException):
                    raise piece
                yield memoryview(piece)
        finally:
            self._left.set()
            thread.join()

    def _receive(self, file: RemoteFile) -> None:
        try:
            self.push(file, 0, lambda piece: self._put(bytes(piece)))
            self._put(None)
        # Whatever it is, it is raised again in the reading thread.
        except BaseException as error:
            self._put(error)

    def _put(self, piece: bytes | BaseException | None) -> None:
        while not self._left.is_set():
            try:
                self._pieces.put(piece, timeout=POLL_SECONDS)
                return
            except queue.Full:
                if self._stop.is_set():
                    raise Retry("stopped") from None


class _Pieces:
    """Makes pieces of the small parts in which libcurl hands bytes on."""

    def __init__(
        self, file: RemoteFile, start: int, size: int, take: Take, progress: Progress
    ) -> None:
        self._file = file
        self._take = take
        self._progress = progress
        self._buffer = memoryview(bytearray(size))
        self._filled = 0
        self.position = start

    def open(self, answer: Answer) -> Sink:
        """What takes an answer's bytes."""
        skip = first_byte(self._file, answer, self.position)
        if not skip:
            return self._add

        def leave_out(data: memoryview) -> None:
            nonlocal skip
            cut = min(skip, len(data))
            skip -= cut
            self._add(data[cut:])

        return leave_out

    def _add(self, data: memoryview) -> None:
        # Called for every 16 KiB: what happens each time is kept short.
        size = len(data)
        end = self._filled + size
        if end > len(self._buffer):
            self.flush()
            end = size
        self._buffer[self._filled : end] = data
        self._filled = end
        self.position += size
        if self.position > self._file.size:
            raise Mismatch(f"{redact(self._file.url)}: more than {self._file.size} bytes came")

    def flush(self) -> None:
        """Hands on what has come since the last time."""
        piece = self._buffer[: self._filled]
        self._filled = 0
        if piece:
            self._take(piece)
            self._progress.add(len(piece))
