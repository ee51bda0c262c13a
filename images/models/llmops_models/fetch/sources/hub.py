"""The Hugging Face hub, a mirror of it, or Artifactory's proxy of it."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from llmops_models.auth import Fixed, artifactory, hub_credentials
from llmops_models.errors import GiveUp, redact
from llmops_models.fetch.digest import SHA256
from llmops_models.fetch.remote import Listing, RemoteFile, Source
from llmops_models.fetch.transfer import Transfer

COMMIT = re.compile(r"[0-9a-f]{40}")


def hub_source(
    name: str,
    revision: str,
    endpoint: str,
    allow: tuple[str, ...],
    env: Mapping[str, str],
    kind: str = "models",
) -> Source:
    """A repository of the hub's at a revision: one of its `models` or of its `datasets`.

    `allow` are file patterns as huggingface_hub takes them.
    """
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise GiveUp(f"{name!r} is not an id of the hub: it looks like OWNER/NAME")
    endpoint = endpoint.rstrip("/")
    description = {
        "kind": "huggingface",
        "id": name,
        "revision": revision,
        "endpoint": redact(endpoint),
        "allow": list(allow),
    }

    def list_files(transfer: Transfer) -> Listing:
        return _list(transfer, endpoint, kind, name, revision, allow)

    pinned = COMMIT.fullmatch(revision) is not None
    return Source(description, credentials_for(endpoint, env), pinned, list_files)


def credentials_for(endpoint: str, env: Mapping[str, str]) -> Fixed:
    """HF_TOKEN; for Artifactory's proxy of the hub its own credentials where there is no token."""
    base = env.get("ARTIFACTORY_URL", "").strip().rstrip("/")
    if not env.get("HF_TOKEN") and base and f"{endpoint}/".startswith(f"{base}/"):
        return artifactory(env).credentials
    return hub_credentials(env)


def _list(
    transfer: Transfer,
    endpoint: str,
    kind: str,
    name: str,
    revision: str,
    allow: tuple[str, ...],
) -> Listing:
    where = f"{endpoint}/api/{kind}/{name}/revision/{quote(revision, safe='')}"
    answer = transfer.json(f"{where}?blobs=true")
    commit = str(answer.get("sha") or revision)
    siblings = [each for each in answer.get("siblings", []) if allowed(each["rfilename"], allow)]
    if not siblings:
        raise GiveUp(f"{redact(where)} has no file that is allowed by {', '.join(allow) or '*'}")
    # The pages of models lie at the top of the hub, those of data sets in a folder of their own.
    folder = "" if kind == "models" else f"{kind}/"
    base = f"{endpoint}/{folder}{name}/resolve/{commit}"
    return Listing(tuple(_file(transfer, base, each) for each in siblings))


def _file(transfer: Transfer, base: str, sibling: Mapping[str, Any]) -> RemoteFile:
    """One file; mirrors may leave sizes and hashes out, then the file itself is asked."""
    path = str(sibling["rfilename"])
    url = f"{base}/{quote(path)}"
    large = sibling.get("lfs") or {}
    if large.get("sha256"):
        return RemoteFile(path, url, int(large["size"]), {"sha256": large["sha256"]})
    if sibling.get("size") is not None and sibling.get("blobId"):
        return RemoteFile(path, url, int(sibling["size"]), {"git-sha1": sibling["blobId"]})
    headers = transfer.ask("HEAD", url).headers
    etag = headers.get("x-linked-etag", headers.get("etag", "")).removeprefix("W/").strip('"')
    size = int(headers.get("x-linked-size", headers.get("content-length", "-1")))
    if size < 0:
        raise GiveUp(f"{redact(url)}: the mirror tells no size")
    checks = {"sha256": etag} if SHA256.fullmatch(etag) else {}
    if COMMIT.fullmatch(etag):
        checks = {"git-sha1": etag}
    return RemoteFile(path, url, size, checks, etag)


def allowed(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a path matches one of the patterns; a folder's name stands for all below it."""
    if ".." in path.split("/") or path.startswith("/"):
        raise GiveUp(f"the hub lists a file outside its folder: {path!r}")
    wanted = [f"{each}*" if each.endswith("/") else each for each in patterns]
    return not wanted or any(fnmatch.fnmatch(path, pattern) for pattern in wanted)
