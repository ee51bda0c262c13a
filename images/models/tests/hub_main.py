"""Serves a folder as a model of the hub: `hub_main.py HOST PORT CONTENT_PORT OWNER/NAME FOLDER`.

Large files are on CONTENT_PORT. Every request is a line of standard output. With LLMOPS_HUB_TOKEN
in the environment, the model is for who has that token.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from hub_server import Hub
from repository_server import Reply, RepositoryServer, Request


def tell(request: Request) -> Reply | None:
    """Prints a request, and leaves the answer to others."""
    print(request.method, request.path, flush=True)
    return None


def main(host: str, port: str, content_port: str, name: str, folder: str) -> None:
    """Serves until the process is ended."""
    server = RepositoryServer(host, port=int(port))
    content = RepositoryServer(host, port=int(content_port))
    for each in (server, content):
        each.routes.append(tell)
    root = Path(folder)
    with server, content:
        hub = Hub(server, content, name)
        hub.token = os.environ.get("LLMOPS_HUB_TOKEN", "")
        hub.put(
            {
                str(file.relative_to(root)): file.read_bytes()
                for file in sorted(root.rglob("*"))
                if file.is_file()
            }
        )
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
