"""Cloud Storage by its JSON API: small objects in one request, others in resumable sessions."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

import google_crc32c

from llmops_models.auth import WRITE_SCOPE, Credentials, gcs_credentials
from llmops_models.errors import GiveUp, Retry, redact
from llmops_models.fetch.sources.gcs import list_items, split_uri
from llmops_models.fetch.transfer import Transfer
from llmops_models.http import Answer
from llmops_models.publish.manifest import FileBody, LocalFile
from llmops_models.publish.sessions import Sessions

SMALL = 256 << 10
RECEIVED = re.compile(r"bytes=0-(\d+)")
INCOMPLETE = 308
# An upload session is over; 400: what came in has not the checksum that was declared.
ENDED = (400, 404, 410)


def credentials(anonymous: bool) -> Credentials:
    """Those that may write."""
    return gcs_credentials(anonymous=anonymous, scope=WRITE_SCOPE)


class GcsTarget:
    """The objects below `gs://BUCKET/PREFIX`."""

    def __init__(self, transfer: Transfer, endpoint: str, uri: str, sessions: Sessions) -> None:
        self._bucket, self._prefix = split_uri(uri)
        self._transfer = transfer
        self._endpoint = endpoint.rstrip("/")
        self._sessions = sessions

    @property
    def uri(self) -> str:
        return f"gs://{self._bucket}/{self._prefix}"

    def missing(self, folder: str, files: Iterable[LocalFile]) -> list[LocalFile]:
        below = f"{self._prefix}/{folder}/"
        there = {
            str(item["name"]): (int(item["size"]), str(item.get("crc32c", "")))
            for item in list_items(self._transfer, self._endpoint, self._bucket, below)
        }
        missing = [
            file
            for file in files
            if there.get(below + file.path) != (file.size, file.crc32c_base64)
        ]
        self._sessions.retain((below + file.path, file) for file in missing)
        return missing

    def send(self, folder: str, file: LocalFile) -> bool:
        path = f"{folder}/{file.path}"
        if file.size <= SMALL:
            self._insert(path, file.file.read_bytes(), file.crc32c_base64)
            self._transfer.progress.add(file.size)
        else:
            self._send_in_session(path, file)
        return True

    def read_text(self, path: str) -> str | None:
        url = f"{self._objects('download')}/{quote(self._name(path), safe='')}?alt=media"
        answer = self._transfer.ask("GET", url, allowed=(404,))
        return answer.body.decode(errors="replace").strip() if answer.ok else None

    def write_text(self, path: str, text: str) -> None:
        content = text.encode()
        crc32c = base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()
        # Public buckets would otherwise show an old text for an hour.
        more = {"contentType": "text/plain", "cacheControl": "no-store"}
        self._insert(path, content, crc32c, more)

    def _name(self, path: str) -> str:
        return f"{self._prefix}/{path}"

    def _objects(self, service: str) -> str:
        return f"{self._endpoint}/{service}/storage/v1/b/{quote(self._bucket, safe='')}/o"

    def _insert(
        self, path: str, content: bytes, crc32c: str, more: dict[str, str] | None = None
    ) -> None:
        """Stores an object in one request; the server refuses bytes with another crc32c."""
        metadata = {"name": self._name(path), "crc32c": crc32c} | (more or {})
        mark = secrets.token_hex(16)
        head = (
            f"--{mark}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n"
            f"{json.dumps(metadata)}\r\n"
            f"--{mark}\r\nContent-Type: application/octet-stream\r\n\r\n"
        )
        answer = self._transfer.ask(
            "POST",
            f"{self._objects('upload')}?uploadType=multipart",
            headers={"Content-Type": f"multipart/related; boundary={mark}"},
            body=head.encode() + content + f"\r\n--{mark}--\r\n".encode(),
        )
        self._verify(path, answer, len(content), crc32c)

    def _send_in_session(self, path: str, file: LocalFile) -> None:
        """Goes on with the session of an earlier try, or begins one; after a cut, asks how far."""
        session = self._sessions.get(self._name(path), file)
        patience, reached = self._transfer.patience(), 0
        offset: int | None = None
        try:
            while True:
                try:
                    if not session:
                        session, offset = self._begin(path, file), 0
                    before = offset
                    with patience.paused():
                        answer = self._put(session, file, offset)
                    if answer.ok:
                        break
                    if answer.status != INCOMPLETE:
                        session = ""
                        raise Retry(
                            f"{self.uri}/{path}: HTTP {answer.status} has ended the upload session"
                        )
                    offset = received(answer)
                    if before is not None and offset <= before:
                        raise Retry(f"{self.uri}/{path}: the server keeps none of the bytes")
                    if offset > reached:
                        reached, patience = offset, self._transfer.patience()
                except Retry as error:
                    offset = None
                    patience.wait(error)
        except GiveUp:
            self._sessions.keep(self._name(path), file, "")
            raise
        self._sessions.keep(self._name(path), file, "")
        self._verify(path, answer, file.size, file.crc32c_base64)

    def _begin(self, path: str, file: LocalFile) -> str:
        """A new session's path and query, which are kept for the next start."""
        url = f"{self._objects('upload')}?{urlencode({'uploadType': 'resumable'})}"
        metadata = {"name": self._name(path), "crc32c": file.crc32c_base64}
        answer = self._transfer.send(
            "POST",
            url,
            {
                "Content-Type": "application/json; charset=UTF-8",
                "X-Upload-Content-Type": "application/octet-stream",
                "X-Upload-Content-Length": str(file.size),
            },
            body=json.dumps(metadata).encode(),
        )
        session = urlsplit(answer.headers.get("location", ""))
        if not session.query:
            raise GiveUp(f"{redact(url)}: the server gives no address of an upload session")
        # On the endpoint, whatever host the server thinks it has: that is who gets credentials.
        place = f"{session.path}?{session.query}"
        self._sessions.keep(self._name(path), file, place)
        return place

    def _put(self, session: str, file: LocalFile, offset: int | None) -> Answer:
        """Sends the bytes from `offset` on; where it is None, asks how many the server has."""
        allowed = (INCOMPLETE, *ENDED)
        url = urljoin(self._endpoint, session)
        if offset is None:
            headers = {"Content-Range": f"bytes */{file.size}"}
            return self._transfer.send("PUT", url, headers, allowed=allowed, body=b"")
        span = {
            "Content-Range": f"bytes {offset}-{file.size - 1}/{file.size}",
            "Content-Type": "application/octet-stream",
        }
        with FileBody(file, offset, self._transfer.progress) as body:
            return self._transfer.send("PUT", url, span, allowed=allowed, body=body)

    def _verify(self, path: str, answer: Answer, size: int, crc32c: str) -> None:
        """Compares what the server has stored."""
        try:
            stored: Any = json.loads(answer.body)
            told = (int(stored["size"]), str(stored["crc32c"]))
        except (ValueError, KeyError, TypeError) as error:
            raise GiveUp(f"{redact(answer.url)} does not tell what it has stored") from error
        if told != (size, crc32c):
            raise Retry(
                f"{self.uri}/{path} has {told[0]} bytes with crc32c {told[1]}, and the file "
                f"{size} bytes with {crc32c}: it is uploaded again at the next start"
            )


def received(answer: Answer) -> int:
    """How many bytes the server has kept so far."""
    match = RECEIVED.fullmatch(answer.headers.get("range", ""))
    return int(match[1]) + 1 if match else 0
