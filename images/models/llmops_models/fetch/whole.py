"""A file from a server that cannot give ranges: one request, in order, started anew after a cut."""

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

PIECE = 1 << 20
PIECES_AHEAD = 16
POLL_SECONDS = 0.2


class WholeStream:
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
            self._receive_all(file)
            self._put(None)
        # Whatever it is, it is raised again in the reading thread.
        except BaseException as error:
            self._put(error)

    def _receive_all(self, file: RemoteFile) -> None:
        patience = Patience(self._tuning, self._stop)
        gathered = bytearray()
        done = 0

        def open_sink(answer: Answer) -> Sink:
            skip = first_byte(file, answer, done)

            def take(data: bytes) -> None:
                nonlocal done, skip
                cut = min(skip, len(data))
                skip -= cut
                gathered.extend(data[cut:])
                done += len(data) - cut
                self._progress.add(len(data) - cut)
                if done > file.size:
                    raise Mismatch(f"{redact(file.url)}: more than {file.size} bytes came")
                if len(gathered) >= PIECE:
                    self._put(bytes(gathered))
                    gathered.clear()

            return take

        while done < file.size:
            try:
                self._send("GET", file.url, None, open_sink)
                if done < file.size:
                    raise Retry(f"{redact(file.url)}: the answer ended too early")
            except Mismatch:
                raise
            except Retry as error:
                patience.wait(error)
        if gathered:
            self._put(bytes(gathered))

    def _put(self, piece: bytes | BaseException | None) -> None:
        while not self._left.is_set():
            try:
                self._pieces.put(piece, timeout=POLL_SECONDS)
                return
            except queue.Full:
                if self._stop.is_set():
                    raise Retry("stopped") from None
