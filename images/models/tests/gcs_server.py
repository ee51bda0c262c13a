"""Cloud Storage's JSON API and token endpoint, as far as a download needs them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import google_crc32c
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from repository_server import Reply, RepositoryServer, Request

PAGE = 3


class Gcs:
    """A storage service with `endpoint` and `upload`, as the tests use it.

    `tokens` are the ones that its token endpoint gives out, one after the other; each is good for
    `uses` requests. None: everybody may read.
    """

    def __init__(self, server: RepositoryServer) -> None:
        self.server = server
        self.tokens: list[str] | None = None
        self.uses = 1_000
        self.issued = 0
        self._left = 0
        server.checksums = False
        server.routes.append(self.answer)

    @property
    def endpoint(self) -> str:
        return self.server.url

    def upload(self, bucket: str, name: str, content: bytes) -> None:
        self.server.files[f"/download/storage/v1/b/{bucket}/o/{name}"] = content

    def key_file(self, folder: Path) -> Path:
        """A service account's key that this server's token endpoint takes."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        content = {
            "type": "service_account",
            "project_id": "test",
            "private_key_id": "1",
            "private_key": pem.decode(),
            "client_email": "reader@test.iam.gserviceaccount.com",
            "token_uri": f"{self.server.url}/token",
        }
        file = folder / "key.json"
        file.write_text(json.dumps(content))
        return file

    def answer(self, request: Request) -> Reply | None:
        if request.path == "/token":
            return self._token()
        if self.tokens is not None and not self._authorized(request):
            return 401, {}, b'{"error": {"code": 401}}'
        if request.path.startswith("/storage/v1/b/") and request.path.endswith("/o"):
            return self._list(request)
        return None

    def _token(self) -> Reply:
        if not self.tokens or self.issued >= len(self.tokens):
            return 400, {}, b'{"error": "invalid_grant", "error_description": "key revoked"}'
        self.issued += 1
        self._left = self.uses
        token = {"access_token": self.tokens[self.issued - 1], "expires_in": 3600}
        return 200, {"Content-Type": "application/json"}, json.dumps(token).encode()

    def _authorized(self, request: Request) -> bool:
        if not self.tokens or self.issued == 0 or self._left <= 0:
            return False
        self._left -= 1
        return request.headers.get("authorization") == f"Bearer {self.tokens[self.issued - 1]}"

    def _list(self, request: Request) -> Reply:
        bucket = request.path.removeprefix("/storage/v1/b/").removesuffix("/o")
        query = parse_qs(request.query)
        root = f"/download/storage/v1/b/{bucket}/o/"
        names = sorted(
            path.removeprefix(root)
            for path in self.server.files
            if path.startswith(root + query["prefix"][0])
        )
        start = int(query.get("pageToken", ["0"])[0])
        body: dict[str, Any] = {
            "items": [
                self._item(name, self.server.files[root + name]) for name in names[start:][:PAGE]
            ]
        }
        if start + PAGE < len(names):
            body["nextPageToken"] = str(start + PAGE)
        return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()

    def _item(self, name: str, content: bytes) -> dict[str, str]:
        crc = google_crc32c.value(content).to_bytes(4, "big")
        return {
            "name": name,
            "size": str(len(content)),
            "crc32c": base64.b64encode(crc).decode(),
            "generation": "1",
        }
