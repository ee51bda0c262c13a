"""Cloud Storage by its JSON API: a prefix as a folder, or one archive."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from llmops_models.auth import gcs_credentials
from llmops_models.errors import GiveUp
from llmops_models.fetch.kinds import archive_kind
from llmops_models.fetch.remote import Listing, RemoteFile, Source
from llmops_models.fetch.transfer import Transfer
from llmops_models.fetch.tree import clean_parts

FIELDS = "items(name,size,crc32c,md5Hash,generation),nextPageToken"


def gcs_source(uri: str, endpoint: str, anonymous: bool) -> Source:
    """`gs://BUCKET/PREFIX`: every object below PREFIX, or PREFIX itself where it is an archive."""
    bucket, prefix = split_uri(uri)
    endpoint = endpoint.rstrip("/")

    def list_objects(transfer: Transfer) -> Listing:
        return _list(transfer, endpoint, bucket, prefix)

    return Source(
        {"kind": "gcs", "uri": f"gs://{bucket}/{prefix}"},
        gcs_credentials(anonymous=anonymous),
        False,
        list_objects,
    )


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and prefix, without slashes around it. Raises GiveUp for any other text."""
    bucket, _, prefix = uri.removeprefix("gs://").partition("/")
    prefix = prefix.strip("/")
    if not uri.startswith("gs://") or not bucket or not prefix:
        raise GiveUp(f"{uri!r} is not of the form gs://BUCKET/PREFIX")
    return bucket, prefix


def _list(transfer: Transfer, endpoint: str, bucket: str, prefix: str) -> Listing:
    packed = archive_kind(prefix) is not None
    below = prefix if packed else f"{prefix}/"
    files: list[RemoteFile] = []
    for item in list_items(transfer, endpoint, bucket, below):
        name = str(item["name"])
        if packed and name == prefix:
            return Listing(archive=_object(endpoint, bucket, item, name.rsplit("/", 1)[-1]))
        # Folders made by hand in the console are empty objects with a slash at the end.
        if not packed and not name.endswith("/"):
            path = "/".join(clean_parts(name.removeprefix(below)))
            files.append(_object(endpoint, bucket, item, path))
    if not files:
        raise GiveUp(
            f"there is no object gs://{bucket}/{below}{'' if packed else '*'}: "
            f"check the bucket and the path"
        )
    return Listing(tuple(files))


def list_items(
    transfer: Transfer, endpoint: str, bucket: str, prefix: str
) -> Iterator[Mapping[str, Any]]:
    """What the bucket says of every object whose name begins with `prefix`."""
    page = ""
    while True:
        query = {"prefix": prefix, "fields": FIELDS} | ({"pageToken": page} if page else {})
        url = f"{endpoint}/storage/v1/b/{quote(bucket, safe='')}/o?{urlencode(query)}"
        answer = transfer.json(url)
        yield from answer.get("items", [])
        page = answer.get("nextPageToken", "")
        if not page:
            return


def _object(endpoint: str, bucket: str, item: Mapping[str, Any], path: str) -> RemoteFile:
    name = quote(str(item["name"]), safe="")
    query = {"alt": "media"}
    if item.get("generation"):
        query["generation"] = str(item["generation"])
    url = f"{endpoint}/download/storage/v1/b/{quote(bucket, safe='')}/o/{name}?{urlencode(query)}"
    checks = {
        algorithm: base64.b64decode(str(item[key])).hex()
        for algorithm, key in (("crc32c", "crc32c"), ("md5", "md5Hash"))
        if item.get(key)
    }
    return RemoteFile(path, url, int(item["size"]), checks, str(item.get("generation", "")))
