"""Serves Cloud Storage to who has the key of a service account: `gcs_main.py HOST PORT`.

LLMOPS_GCS_KEY in the environment is the key, as its file would be; its token endpoint is here too.
Every request is a line of standard output.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import serialization
from gcs_uploads import GcsUploads
from google.auth import exceptions, jwt
from hub_main import tell
from repository_server import Reply, RepositoryServer, Request


class SignedOnly:
    """Refuses a request for a token that the key has not signed. Its audience is always Google."""

    def __init__(self, key: dict[str, str]) -> None:
        private = serialization.load_pem_private_key(key["private_key"].encode(), None)
        self._public = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def answer(self, request: Request) -> Reply | None:
        if request.path != "/token":
            return None
        signed = parse_qs(request.body.decode())["assertion"][0]
        try:
            jwt.decode(signed, certs=self._public)  # type: ignore[no-untyped-call]
        except (ValueError, exceptions.GoogleAuthError):
            return 400, {}, b'{"error": "invalid_grant"}'
        return None


def main(host: str, port: str) -> None:
    """Serves until the process is ended."""
    server = RepositoryServer(host, port=int(port))
    server.routes += [tell, SignedOnly(json.loads(os.environ["LLMOPS_GCS_KEY"])).answer]
    storage = GcsUploads(server)
    storage.tokens = [f"token-{number}" for number in range(1_000)]
    with server:
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
