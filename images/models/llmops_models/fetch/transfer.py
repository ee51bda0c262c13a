"""Requests with retries, and files as ordered streams that are received in parallel ranges."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from llmops_models.auth import Credentials
from llmops_models.errors import GiveUp, Retry, redact
from llmops_models.fetch.answers import first_byte, status_error
from llmops_models.fetch.digest import Mismatch
from llmops_models.fetch.patience import Patience
from llmops_models.fetch.progress import Progress
from llmops_models.fetch.remote import RemoteFile
from llmops_models.fetch.single import SingleStream, Take
from llmops_models.fetch.stopping import Stop
from llmops_models.fetch.tuning import Tuning
from llmops_models.http import Answer, Body, Http, Sink

# Progress is counted in steps of this size.
TELL_BYTES = 128 << 10


class Transfer:
    """Requests of one fetch, all with the same credentials. Safe for many threads."""

    def __init__(
        self, credentials: Credentials, tuning: Tuning, progress: Progress, stop: Stop
    ) -> None:
        self.tuning = tuning
        self.progress = progress
        self.stop = stop
        self._credentials = credentials
        self._pool = ThreadPoolExecutor(tuning.connections, thread_name_prefix="range")
        self._http = Http(
            connect_seconds=tuning.connect_seconds,
            low_speed_bytes=tuning.low_speed_bytes,
            low_speed_seconds=tuning.low_speed_seconds,
            stop=stop,
        )

    def close(self) -> None:
        """Ends all transfers."""
        self.stop.set()
        self._pool.shutdown(cancel_futures=True)

    def patience(self) -> Patience:
        """For a request that is about to be tried, or that has got somewhere."""
        return Patience(self.tuning, self.stop)

    def ask(
        self,
        method: str,
        url: str,
        allowed: tuple[int, ...] = (),
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """A small request, tried again; a status that is neither 2xx nor `allowed` is raised."""
        patience = self.patience()
        while True:
            try:
                return self.send(method, url, headers, allowed=allowed, body=body)
            except Retry as error:
                patience.wait(error)

    def json(self, url: str, allowed: tuple[int, ...] = ()) -> Any:
        """A JSON document, or None where the status is one of `allowed`."""
        answer = self.ask("GET", url, allowed)
        if not answer.ok:
            return None
        try:
            return json.loads(answer.body)
        except ValueError as error:
            raise GiveUp(f"{redact(url)} does not answer with JSON: {error}") from error

    def read(self, file: RemoteFile, start: int, end: int) -> bytes:
        """Bytes `start` to before `end`."""
        return bytes(self._fill(file, start, bytearray(end - start)))

    def push(self, file: RemoteFile, start: int, take: Take) -> None:
        """Hands on the file from `start` on, in order, as one stream.

        `take` is called in this thread; its argument is valid until it returns. For each byte it
        costs less than `stream`, which brings a file sooner where there are few.
        """
        self._single().push(file, start, take)

    def _single(self) -> SingleStream:
        return SingleStream(self.send, self.tuning, self.progress, self.stop)

    def stream(self, file: RemoteFile, start: int, ahead: int) -> Iterator[memoryview]:
        """The file from `start` on, in order. Each piece is valid until the next is asked for.

        `ahead` is the number of ranges that are asked for before they are needed. Without ranges
        `start` must be 0.
        """
        if not file.ranges:
            yield from self._single().read(file)
            return
        chunk = self.tuning.chunk_bytes
        free: list[bytearray] = []
        waiting: deque[Future[memoryview]] = deque()
        position = start
        try:
            while position < file.size or waiting:
                while position < file.size and len(waiting) < ahead:
                    length = min(chunk, file.size - position)
                    buffer = free.pop() if free else bytearray(chunk)
                    view = memoryview(buffer)[:length]
                    waiting.append(self._pool.submit(self._fill, file, position, view))
                    position += length
                piece = waiting.popleft().result()
                yield piece
                free.append(piece.obj)  # type: ignore[arg-type]
        finally:
            for each in waiting:
                each.cancel()

    def _fill(self, file: RemoteFile, start: int, into: bytearray | memoryview) -> memoryview:
        """Receives a range into a buffer; what came before a cut is kept."""
        view = memoryview(into)
        length = len(view)
        patience = self.patience()
        done = 0

        def open_sink(answer: Answer) -> Sink:
            skip = first_byte(file, answer, start + done)
            told = done

            def take(data: memoryview) -> None:
                nonlocal done, skip, told
                if skip:
                    cut = min(skip, len(data))
                    skip -= cut
                    data = data[cut:]
                end = done + len(data)
                if end > length:
                    view[done:] = data[: length - done]
                    done = length
                    raise _Enough
                view[done:end] = data
                done = end
                if done - told >= TELL_BYTES or done == length:
                    self.progress.add(done - told)
                    told = done

            return take

        while done < length:
            before = done
            try:
                span = f"bytes={start + done}-{start + length - 1}"
                with suppress(_Enough):
                    self.send("GET", file.url, {"Range": span}, open_sink)
                if done < length:
                    raise Retry(f"{redact(file.url)}: the answer ended too early")
            except Mismatch:
                raise
            except Retry as error:
                if done - before > self.tuning.low_speed_bytes * self.tuning.low_speed_seconds:
                    patience = self.patience()
                patience.wait(error)
        return view

    def send(
        self,
        method: str,
        url: str,
        headers: dict[str, str] | None = None,
        sink: Callable[[Answer], Sink] | None = None,
        allowed: tuple[int, ...] = (),
        body: bytes | Body | None = None,
    ) -> Answer:
        """One request; after a 401 a second one where the credentials could be renewed."""
        for first in (True, False):
            own = self._credentials.headers() | (headers or {})
            answer = self._http.call(method, url, headers=own, body=body, sink=sink)
            if answer.ok or answer.status in allowed:
                return answer
            if answer.status != 401 or not first or not self._credentials.renew():
                break
        raise status_error(url, answer, self._credentials.remedy)


class _Enough(Exception):
    """The server sends more than was asked for: a whole file instead of a range."""
