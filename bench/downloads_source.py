"""What bench/downloads.py downloads: a made-up model with its archives, and a server for them."""

from __future__ import annotations

import hashlib
import http.server
import os
import re
import socketserver
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

SHARDS = 4
MIB = 1 << 20


def serve(root: str, port: Any) -> None:
    """Serves files with ranges, checksums as Artifactory does, and an index that rclone reads."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = root + self.path.rstrip("/")
            if os.path.isdir(path) and not self.path.endswith("/"):
                self.head(301, 0, {"Location": f"{self.path}/"})
                return
            if os.path.isdir(path):
                links = "".join(f'<a href="{name}">{name}</a>\n' for name in os.listdir(path))
                self.head(200, len(links), {"Content-Type": "text/html"})
                self.wfile.write(links.encode())
                return
            if not os.path.isfile(path):
                self.head(404, 0, {})
                return
            size = os.path.getsize(path)
            match = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            first, last = (int(match[1]), int(match[2] or size - 1)) if match else (0, size - 1)
            headers = {"Accept-Ranges": "bytes"}
            if os.path.exists(f"{path}.sum"):
                headers["X-Checksum-Sha256"] = Path(f"{path}.sum").read_text()
            if match:
                headers["Content-Range"] = f"bytes {first}-{last}/{size}"
            self.head(206 if match else 200, last - first + 1, headers)
            if self.command == "GET":
                self.wfile.flush()
                with open(path, "rb") as file:
                    while first <= last:
                        first += os.sendfile(
                            self.connection.fileno(), file.fileno(), first, last - first + 1
                        )

        do_HEAD = do_GET

        def head(self, status: int, length: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(length)} | headers).items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    port.value = server.server_address[1]
    server.serve_forever()


def make_source(root: Path, size: int) -> None:
    """Weights in shards, and archives of them. Like bf16, they deflate by about a quarter."""
    folder = root / "raw"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    table = bytes(60 + (i % 6) for i in range(256))
    for shard in range(SHARDS):
        with (folder / f"model-{shard}.safetensors").open("wb") as file:
            for _ in range(size // SHARDS // MIB):
                block = bytearray(os.urandom(MIB))
                block[1::2] = block[1::2].translate(table)
                file.write(block)
    with tarfile.open(root / "model.tar", "w") as archive:
        archive.add(folder, "model")
    subprocess.run(["gzip", "-1", "-k", root / "model.tar"], check=True)
    with zipfile.ZipFile(root / "model.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for path in sorted(folder.iterdir()):
            packed.write(path, f"model/{path.name}")
    sums = []
    for path in [*sorted(folder.iterdir()), *root.glob("model.*")]:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        Path(f"{path}.sum").write_text(digest)
        if path.parent == folder:
            sums.append(f"{digest}  {path.name}\n")
    (folder / "SHA256SUMS").write_text("".join(sums))
