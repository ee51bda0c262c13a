"""The part of the hub that a download needs: revisions, files, and large ones on another host."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from typing import Any

from repository_server import Reply, RepositoryServer, Request, hex_digest

REVISION = "0123456789abcdef0123456789abcdef01234567"
LARGE = ".safetensors"


@functools.lru_cache(maxsize=64)
def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub:
    """Serves `files` as the model or data set `name`; `content` is the host with the large files.

    `token` is the one that it wants; `tells` is False for a mirror without sizes and hashes.
    """

    def __init__(
        self,
        server: RepositoryServer,
        content: RepositoryServer,
        name: str,
        kind: str = "models",
    ) -> None:
        self.server, self.content, self.name = server, content, name
        self.api = f"/api/{kind}/{name}/"
        self.page = f"/{name}" if kind == "models" else f"/{kind}/{name}"
        self.files: dict[str, bytes] = {}
        self.token = ""
        self.tells = True
        server.routes.append(self.answer)

    def put(self, files: dict[str, bytes]) -> None:
        self.files = files
        for content in files.values():
            self.content.files["/blobs/" + hex_digest("sha256", content)] = content

    def answer(self, request: Request) -> Reply | None:
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return (
                401,
                {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"},
                b"",
            )
        if request.path.startswith(self.api):
            return self._api(request)
        match = re.fullmatch(rf"{self.page}/resolve/({REVISION}|main)/(.+)", request.path)
        return self._resolve(request, match[2]) if match else None

    def _api(self, request: Request) -> Reply:
        _, _, rest = request.path.partition(self.api)
        kind, _, revision = rest.partition("/")
        if revision.split("/")[0] not in (REVISION, "main"):
            return (
                404,
                {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "no revision"},
                b"{}",
            )
        body: Any = {
            "id": self.name,
            "sha": REVISION,
            "siblings": self._siblings("blobs=true" in request.query),
        }
        if kind == "tree":
            body = [
                {"type": "file", "path": name, "size": len(content), "oid": git_sha1(content)}
                for name, content in self.files.items()
            ]
        return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()

    def _siblings(self, blobs: bool) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = []
        for name, content in self.files.items():
            entry: dict[str, Any] = {"rfilename": name}
            if blobs and self.tells:
                entry |= {"size": len(content), "blobId": git_sha1(content)}
                if name.endswith(LARGE):
                    digest = hex_digest("sha256", content)
                    entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
            listed.append(entry)
        return listed

    def _resolve(self, request: Request, name: str) -> Reply:
        content = self.files.get(name)
        if content is None:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        headers = {"X-Repo-Commit": REVISION}
        if not name.endswith(LARGE):
            status, ranged, body = self.server.ranged(request, content)
            return status, ranged | headers | {"ETag": f'"{git_sha1(content)}"'}, body
        digest = hex_digest("sha256", content)
        headers |= {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{digest}"'}
        place = self.content.url.replace("127.0.0.1", "localhost")
        return 302, headers | {"Location": f"{place}/blobs/{digest}?signature=hidden"}, b""
