"""What Artifactory does with uploads: checksum deploys, checks, reported checksums."""

from __future__ import annotations

import hashlib
import json

from repository_server import Reply, RepositoryServer, Request


class Artifactory:
    """Takes PUT requests for a server. `layouts` holds what was there each time `latest` moved.

    knows_deploys: False stores an empty file where a checksum deploy is asked for.
    damaged: the ending of a path whose content is stored wrong.
    """

    def __init__(self, server: RepositoryServer) -> None:
        self.server = server
        self.knows_deploys = True
        self.layouts: list[dict[str, bytes]] = []
        self.damaged = ""
        server.routes.append(self.answer)

    def answer(self, request: Request) -> Reply | None:
        if request.method != "PUT":
            return None
        if not request.whole:
            return 400, {}, b""
        content = request.body
        if self.knows_deploys and request.headers.get("x-checksum-deploy") == "true":
            known = self._known(request.headers["x-checksum-sha256"])
            if known is None:
                return 404, {}, b""
            content = known
        elif self._refused(request):
            return 409, {}, b"checksums differ"
        if self.damaged and request.path.endswith(self.damaged):
            content = b"damaged"
        self.server.files[request.path] = content
        if request.path.endswith("/latest"):
            self.layouts.append(dict(self.server.files))
        return 201, {}, json.dumps(self._stored(content)).encode()

    def _known(self, sha256: str) -> bytes | None:
        for content in self.server.files.values():
            if hashlib.sha256(content).hexdigest() == sha256:
                return content
        return None

    def _refused(self, request: Request) -> bool:
        wanted = request.headers.get("x-checksum-sha256")
        got = hashlib.sha256(request.body).hexdigest()
        return self.knows_deploys and wanted is not None and wanted != got

    def _stored(self, content: bytes) -> dict[str, object]:
        sums = {
            "sha1": hashlib.sha1(content).hexdigest(),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        told: dict[str, object] = {"checksums": sums} if self.server.checksums else {}
        return {"size": str(len(content))} | told
