"""Reads requests and sends answers for a RepositoryServer."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from repository_server import RepositoryServer

PIECE = 32 << 10

Reply = tuple[int, dict[str, str], bytes]
Route = Callable[["Request"], Reply | None]


@dataclass
class Request:
    """One request as it came; `whole` says that its body came to its end."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = b""
    whole: bool = True


def make_server(owner: RepositoryServer, host: str, port: int = 0) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            owner.count(1)
            try:
                self.answer_one()
            finally:
                owner.count(-1)

        def answer_one(self) -> None:
            parts = urlsplit(self.path)
            request = Request(
                self.command,
                unquote(parts.path),
                parts.query,
                {name.lower(): value for name, value in self.headers.items()},
            )
            request = self.receive(request)
            owner.requests.append(request)
            if not request.whole:
                owner.interrupted(request)
                self.close_connection = True
                return
            reply = owner.reply(request)
            status, headers, body = reply
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.send(request, reply)

        def receive(self, request: Request) -> Request:
            """The request with its body, as far as it comes."""
            length = int(self.headers.get("Content-Length") or 0)
            room, body = owner.room(request, length), bytearray()
            try:
                while len(body) < room and (data := self.rfile.read1(min(PIECE, room - len(body)))):
                    body += data
                    if not owner.take(len(data)):
                        break
            except OSError:  # The client has gone.
                self.close_connection = True
            return replace(request, body=bytes(body), whole=len(body) == length)

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
