"""Cloud Storage's uploads: multipart ones, and resumable sessions that keep what has come."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import google_crc32c
from gcs_server import Gcs
from repository_server import Reply, RepositoryServer, Request

QUANTUM = 256 << 10


@dataclass
class Session:
    """One resumable upload."""

    metadata: dict[str, str]
    size: int
    content: bytearray = field(default_factory=bytearray)
    ended: bool = False


class GcsUploads(Gcs):
    """Takes uploads. `layouts` holds what was there each time `latest` moved.

    location: the address that sessions are said to have; the server's own by default.
    """

    def __init__(self, server: RepositoryServer) -> None:
        super().__init__(server)
        self.sessions: list[Session] = []
        self.layouts: list[dict[str, bytes]] = []
        self.metadata: dict[str, dict[str, str]] = {}
        self.location = server.url
        server.routes.append(self.take)

    def take(self, request: Request) -> Reply | None:
        if not request.path.startswith("/upload/storage/v1/b/"):
            return None
        bucket = request.path.split("/")[5]
        query = parse_qs(request.query)
        if request.method == "PUT":
            return self._continue(bucket, request, self.sessions[int(query["upload_id"][0])])
        if query["uploadType"] == ["multipart"]:
            return self._multipart(bucket, request)
        self.sessions.append(
            Session(json.loads(request.body), int(request.headers["x-upload-content-length"]))
        )
        number = len(self.sessions) - 1
        where = f"{self.location}{request.path}?uploadType=resumable&upload_id={number}"
        return 200, {"Location": where}, b""

    def _multipart(self, bucket: str, request: Request) -> Reply:
        mark = request.headers["content-type"].partition("boundary=")[2].encode()
        _, first, second, _ = request.body.split(b"--" + mark)
        metadata = json.loads(first.partition(b"\r\n\r\n")[2])
        return self._store(bucket, metadata, second.partition(b"\r\n\r\n")[2][:-2])

    def _continue(self, bucket: str, request: Request, session: Session) -> Reply:
        if session.ended:
            return 410, {}, b"gone"
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", request.headers["content-range"])
        if match is not None:
            assert int(match[1]) == len(session.content), "bytes from another place"
            session.content += request.body
            if not request.whole:
                del session.content[len(session.content) // QUANTUM * QUANTUM :]
        if len(session.content) == session.size:
            return self._store(bucket, session.metadata, bytes(session.content))
        kept = len(session.content)
        return 308, {"Range": f"bytes=0-{kept - 1}"} if kept else {}, b""

    def _store(self, bucket: str, metadata: dict[str, str], content: bytes) -> Reply:
        crc32c = base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()
        if metadata.get("crc32c", crc32c) != crc32c:
            return 400, {}, b"the crc32c differs"
        self.upload(bucket, metadata["name"], content)
        self.metadata[metadata["name"]] = metadata
        if metadata["name"].endswith("/latest"):
            self.layouts.append(dict(self.server.files))
        return 200, {}, json.dumps(self._item(metadata["name"], content)).encode()
