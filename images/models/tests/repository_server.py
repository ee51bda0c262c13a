"""A file server with ranges, ETags, checksum headers and basic auth, and faults on demand."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

Reply = tuple[int, dict[str, str], bytes]
Route = Callable[["Request"], Reply | None]


@dataclass
class Request:
    """One request as it came."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Fault:
    """What goes wrong with one path, `times` times; `at` is a share of the file's length.

    cut: the connection ends there. corrupt: the byte there is another one. status: that answer.
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
        self._host = host
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._server = _server(self, host, port)
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


def _server(owner: RepositoryServer, host: str, port: int) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            parts = urlsplit(self.path)
            request = Request(
                self.command,
                unquote(parts.path),
                parts.query,
                {name.lower(): value for name, value in self.headers.items()},
                self.rfile.read(int(self.headers.get("Content-Length") or 0)),
            )
            owner.requests.append(request)
            reply = owner.reply(request)
            status, headers, body = reply
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.send(request, reply)

        def send(self, request: Request, reply: Reply) -> None:
            try:
                for piece in owner.pieces(request, reply):
                    if piece is None:
                        self.close_connection = True
                        self.connection.shutdown(socket.SHUT_RDWR)
                        return
                    self.wfile.write(piece)
                    owner.sent += len(piece)
            except OSError:  # The client has gone.
                self.close_connection = True

        do_GET = do_HEAD = do_POST = do_PUT = answer

        def log_message(self, format: str, *args: Any) -> None:
            """Keeps the test's output clean."""

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True
        request_queue_size = 64

    return Server((host, port), Handler)
