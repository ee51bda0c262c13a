"""One HTTP client for everything: libcurl, with answers and faults said in this package's terms.

libcurl brings proxies and NO_PROXY, IPv6, redirects (credentials stay with the first host), TLS and
the low-speed limit. A client can be used by many threads; each keeps its own connections.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pycurl

from llmops_models.errors import Failure, GiveUp, Retry, redact, redact_text

# What it is given is libcurl's own memory, valid until the call returns.
Sink = Callable[[memoryview], None]


class StopSignal(Protocol):
    """For example a threading.Event."""

    def is_set(self) -> bool: ...


class Body(Protocol):
    """What a PUT sends piece by piece; `seek` counts from its own beginning."""

    size: int

    def read(self, count: int) -> bytes: ...

    def seek(self, place: int) -> None: ...


SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"
MAX_BODY = 64 << 20
# What libcurl reads at once from a connection: more is fewer calls of the kernel.
BUFFER = 4 << 20
HOPELESS = {
    pycurl.E_UNSUPPORTED_PROTOCOL: "the address is not http or https",
    pycurl.E_URL_MALFORMAT: "the address cannot be read",
    pycurl.E_TOO_MANY_REDIRECTS: "the server redirects in a circle",
    pycurl.E_SSL_CACERT: "the server's certificate is not trusted: give its CA (SSL_CERT_FILE)",
    pycurl.E_SSL_CACERT_BADFILE: "the CA file (SSL_CERT_FILE) cannot be read",
}


@dataclass
class Answer:
    """A server's last answer, after redirects. Header names are in small letters."""

    url: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


class Http:
    """Sends requests. `stop` ends running ones; a slow server is cut off and told as Retry."""

    def __init__(
        self,
        *,
        connect_seconds: float = 20,
        total_seconds: float = 0,
        low_speed_bytes: int = 1024,
        low_speed_seconds: float = 30,
        stop: StopSignal | None = None,
    ) -> None:
        """Speeds are in bytes a second; `total_seconds` 0 sets no bound on the whole transfer."""
        self._connect_seconds = connect_seconds
        self._total_seconds = total_seconds
        self._low_speed = (low_speed_bytes, max(1, round(low_speed_seconds)))
        self._stop = stop or threading.Event()
        self._local = threading.local()

    def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        sink: Callable[[Answer], Sink] | None = None,
    ) -> Answer:
        """Sends one request and gives the answer, whatever its status.

        A `body` that is not bytes is read while it is sent, from its beginning.
        `sink` is called once with the head of a 2xx answer and gives what takes its bytes, as they
        come; without it they are in `body`. Raises Retry or GiveUp where no whole answer came.
        """
        exchange = _Exchange(url, sink, self._stop)
        handle = self._handle(method, url, headers or {})
        exchange.give_body(handle, method, body)
        handle.setopt(pycurl.HEADERFUNCTION, exchange.take_header)
        handle.setopt(pycurl.WRITEFUNCTION, exchange.take_body, use_memoryview=True)
        handle.setopt(pycurl.NOPROGRESS, False)
        handle.setopt(pycurl.XFERINFOFUNCTION, exchange.watch)
        try:
            handle.perform()
        except pycurl.error as error:
            raise exchange.fault(error) from error
        finally:
            handle.reset()
        return exchange.finish()

    def _handle(self, method: str, url: str, headers: Mapping[str, str]) -> pycurl.Curl:
        if not hasattr(self._local, "handle"):
            self._local.handle = pycurl.Curl()
        handle: pycurl.Curl = self._local.handle
        handle.setopt(pycurl.URL, url)
        handle.setopt(pycurl.NOSIGNAL, True)
        handle.setopt(pycurl.BUFFERSIZE, BUFFER)
        handle.setopt(pycurl.TCP_KEEPALIVE, True)
        handle.setopt(pycurl.CONNECTTIMEOUT_MS, int(self._connect_seconds * 1000))
        handle.setopt(pycurl.TIMEOUT_MS, int(self._total_seconds * 1000))
        handle.setopt(pycurl.LOW_SPEED_LIMIT, self._low_speed[0])
        handle.setopt(pycurl.LOW_SPEED_TIME, self._low_speed[1])
        handle.setopt(pycurl.FOLLOWLOCATION, True)
        handle.setopt(pycurl.MAXREDIRS, 8)
        handle.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        secure = url.lower().startswith("https:")
        safe = pycurl.PROTO_HTTPS if secure else pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
        handle.setopt(pycurl.REDIR_PROTOCOLS, safe)
        # libcurl itself reads HTTPS_PROXY and NO_PROXY, but http_proxy in small letters only.
        if not secure and (proxy := os.environ.get("HTTP_PROXY")):
            handle.setopt(pycurl.PROXY, proxy)
        if ca := ca_file():
            handle.setopt(pycurl.CAINFO, ca)
        handle.setopt(pycurl.HTTPHEADER, [f"{key}: {value}" for key, value in headers.items()])
        handle.setopt(pycurl.USERAGENT, "llmops-models")
        if method == "HEAD":
            handle.setopt(pycurl.NOBODY, True)
        elif method != "GET":
            handle.setopt(pycurl.CUSTOMREQUEST, method)
        return handle


class _Exchange:
    """One request under way: gathers the answer and remembers what went wrong in a callback."""

    def __init__(
        self, url: str, open_sink: Callable[[Answer], Sink] | None, stop: StopSignal
    ) -> None:
        self._answer = Answer(url)
        self._open_sink = open_sink
        self._sink: Sink | None = None
        self._stop = stop
        self._parts: list[bytes] = []
        self._size = 0
        self._error: BaseException | None = None

    def give_body(self, handle: pycurl.Curl, method: str, body: bytes | Body | None) -> None:
        if body is None:
            return
        if isinstance(body, bytes):
            handle.setopt(pycurl.POSTFIELDS, body)
        else:
            body.seek(0)
            handle.setopt(pycurl.UPLOAD, True)
            handle.setopt(pycurl.INFILESIZE_LARGE, body.size)
            handle.setopt(pycurl.READFUNCTION, self._guarded(body.read, pycurl.READFUNC_ABORT))
            # Called where a redirect wants the bytes again.
            handle.setopt(
                pycurl.SEEKFUNCTION,
                self._guarded(lambda place, _from: body.seek(place), pycurl.SEEKFUNC_FAIL),
            )
        handle.setopt(pycurl.CUSTOMREQUEST, method)

    def _guarded(self, function: Callable[..., Any], failed: int) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            # An error must not cross libcurl's frames: it is raised again by `fault`.
            try:
                return function(*arguments)
            except BaseException as error:
                self._error = error
                return failed

        return call

    def take_header(self, line: bytes) -> None:
        text = line.decode("latin-1").strip()
        if text.startswith("HTTP/"):
            self._answer.status = int(text.split()[1])
            # What a repository says of a file before it redirects to where the bytes lie.
            self._answer.headers = {
                name: value
                for name, value in self._answer.headers.items()
                if name.startswith(("x-linked-", "x-repo-", "x-checksum-"))
            }
        elif ":" in text:
            name, value = text.split(":", 1)
            self._answer.headers[name.strip().lower()] = value.strip()

    def take_body(self, data: memoryview) -> int:
        # Called for every 16 KiB: what happens each time is kept short.
        try:
            if self._sink is not None:
                self._sink(data)
                return len(data)
            if self._open_sink is not None and self._answer.ok:
                self._sink = self._open_sink(self._answer)
                self._sink(data)
                return len(data)
            self._size += len(data)
            if self._size > MAX_BODY:
                raise GiveUp(f"{redact(self._answer.url)} answers with more than {MAX_BODY} bytes")
            self._parts.append(bytes(data))
        # An error must not cross libcurl's frames: it is raised again by `fault`.
        except BaseException as error:
            self._error = error
            return 0
        return len(data)

    def watch(self, *_sizes: float) -> int:
        return 1 if self._stop.is_set() else 0

    def finish(self) -> Answer:
        self._answer.body = b"".join(self._parts)
        return self._answer

    def fault(self, error: pycurl.error) -> BaseException:
        if self._error is not None:
            return self._error
        if self._stop.is_set():
            return Retry("stopped")
        return describe(self._answer.url, *error.args)


def describe(url: str, code: int, text: str = "") -> Failure:
    """A fault of libcurl's in this package's terms."""
    where = redact(url)
    if code in HOPELESS:
        return GiveUp(f"{where}: {HOPELESS[code]}")
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return Retry(f"{where}: too slow or silent ({redact_text(text)})")
    return Retry(f"{where}: {redact_text(text) or f'transfer fault {code}'}")


def ca_file() -> str | None:
    """The CA bundle: SSL_CERT_FILE, else the system's, else libcurl's own default."""
    if given := os.environ.get("SSL_CERT_FILE"):
        return given
    return SYSTEM_CA if Path(SYSTEM_CA).is_file() else None
