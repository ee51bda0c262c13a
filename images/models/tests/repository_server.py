"""A file server with ranges, ETags, checksum headers and basic auth, and faults on demand."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from repository_handler import Reply, Request, Route, make_server

__all__ = ["Fault", "Reply", "RepositoryServer", "Request", "Route"]


@dataclass
class Fault:
    """What goes wrong with one path, `times` times; `at` is a share of the file's length.

    cut: the connection ends there, for a PUT in the middle of its body. corrupt: the byte there is
    another one. status: that answer.
    silent: the bytes stop there, and the connection stays. longer: the file seems longer.
    """

    kind: str
    at: float = 0.0
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    method: str = "GET"


@functools.lru_cache(maxsize=64)
def hex_digest(algorithm: str, content: bytes) -> str:
    """A digest; large files are asked for in many parts, and hashed once."""
    return hashlib.new(algorithm, content).hexdigest()


class RepositoryServer:
    """Serves `files`. `authorization` is the header that it wants, `routes` answer first."""

    def __init__(
        self, host: str = "127.0.0.1", certificate: Path | None = None, port: int = 0
    ) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Fault]] = {}
        self.redirects: dict[str, str] = {}
        self.routes: list[Route] = []
        self.requests: list[Request] = []
        self.authorization = ""
        self.checksums = True
        self.ranges = True
        self.sent = 0
        self.received = 0
        # With so many bytes received it takes no more, and `held` is set; see `drop_held`.
        self.hold_at: int | None = None
        self.held = threading.Event()
        self.answering = 0
        self._host = host
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._server = make_server(self, host, port)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "http" if certificate is None else "https"

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{self._scheme}://{host}:{self.port}"

    def __enter__(self) -> RepositoryServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def release(self) -> None:
        """Ends all silence, from now on."""
        self._released.set()

    def drop_held(self) -> None:
        """Ends the connections that are held; others are served again."""
        self.hold_at = None
        self._released.set()

    def count(self, change: int) -> None:
        """Counts the requests that are being answered."""
        with self._lock:
            self.answering += change

    def put_folder(self, path: str, files: dict[str, bytes]) -> None:
        """Stores files below a path; Artifactory's folder information tells of them."""
        for name, content in files.items():
            self.files[f"/{path}/{name}"] = content

    def asked(self, method: str = "GET", ending: str = "") -> list[Request]:
        """Requests so far."""
        return [
            each for each in self.requests if each.method == method and each.path.endswith(ending)
        ]

    def fault(self, path: str, method: str, *kinds: str) -> Fault | None:
        """The fault that the next answer for a path has, not yet counted."""
        for fault in self.faults.get(path, []):
            if fault.times > 0 and fault.method == method and fault.kind in kinds:
                return fault
        return None

    def use(self, fault: Fault) -> None:
        with self._lock:
            fault.times -= 1

    def room(self, request: Request, length: int) -> int:
        """How many bytes of a request's body are taken before its connection is cut."""
        fault = self.fault(request.path, request.method, "cut") if length else None
        if fault is None or request.method != "PUT":
            return length
        self.use(fault)
        return int(fault.at * length)

    def take(self, count: int) -> bool:
        """Counts bytes of a body; whether more are taken, and not held until they are dropped."""
        with self._lock:
            self.received += count
            hold = self.hold_at is not None and self.received >= self.hold_at
        if hold:
            self.held.set()
            self._released.wait(30)
        return not hold

    def interrupted(self, request: Request) -> None:
        """A PUT whose body has not come to its end; routes may keep what came."""
        for route in self.routes:
            route(request)

    def reply(self, request: Request) -> Reply:
        """Status, headers and body of an answer, faults of the connection apart."""
        if fault := self.fault(request.path, request.method, "status"):
            self.use(fault)
            return fault.status, fault.headers, b"no"
        if self.authorization and request.headers.get("authorization") != self.authorization:
            return 401, {"WWW-Authenticate": "Basic"}, b"who are you"
        if target := self.redirects.get(request.path):
            return 302, {"Location": target}, b""
        for route in self.routes:
            if reply := route(request):
                return reply
        if request.path.startswith("/api/storage/"):
            return self._folder(request.path.removeprefix("/api/storage"))
        content = self.files.get(request.path)
        if content is None:
            return 404, {}, b"not here"
        return self.ranged(request, content)

    def ranged(self, request: Request, content: bytes) -> Reply:
        """A file, or the range of it that is asked for."""
        etag = hex_digest("md5", content)
        headers = {"ETag": f'"{etag}"'}
        if self.checksums:
            headers["X-Checksum-Sha256"] = hex_digest("sha256", content)
        size = len(content)
        if fault := self.fault(request.path, request.method, "longer"):
            self.use(fault)
            size += 10
        if not self.ranges:
            return 200, headers, content
        headers["Accept-Ranges"] = "bytes"
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if match is None:
            return 200, headers | {"Content-Length": str(size)}, content
        first, last = int(match[1]), min(int(match[2] or size - 1), len(content) - 1)
        if first >= len(content):
            return 416, {"Content-Range": f"bytes */{size}"}, b""
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        return 206, headers, content[first : last + 1]

    def _folder(self, path: str) -> Reply:
        inside = {
            name.removeprefix(path + "/") for name in self.files if name.startswith(path + "/")
        }
        if not inside:
            return 404, {}, b"{}"
        children = [
            {"uri": f"/{name}", "folder": name not in inside}
            for name in sorted({each.split("/")[0] for each in inside})
        ]
        return 200, {}, json.dumps({"children": children}).encode()

    def pieces(self, request: Request, reply: Reply) -> Iterator[bytes | None]:
        """The body as it goes out; None ends the connection."""
        _, headers, body = reply
        match = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
        start = int(match[1]) if match else 0
        fault = self.fault(request.path, request.method, "cut", "corrupt", "silent")
        place = int((fault.at if fault else 0) * len(self.files.get(request.path, b""))) - start
        if fault is None or not 0 <= place < len(body):
            yield body
            return
        self.use(fault)
        yield body[:place]
        if fault.kind == "corrupt":
            yield bytes([body[place] ^ 1]) + body[place + 1 :]
        else:
            if fault.kind == "silent":
                self._released.wait(30)
            yield None
