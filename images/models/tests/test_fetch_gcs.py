"""Cloud Storage: folders, archives, tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from gcs_server import Gcs
from models_fixtures import Pod, make_archive, make_model, read_tree
from repository_server import Fault, RepositoryServer

MODEL = make_model()
SHARD = "/download/storage/v1/b/models/o/team/tiny/model-00001-of-00002.safetensors"


@pytest.fixture
def gcs(server: RepositoryServer) -> Gcs:
    gcs = Gcs(server)
    for name, content in MODEL.items():
        gcs.upload("models", f"team/tiny/{name}", content)
    gcs.upload("models", "team/tiny/extra/", b"")
    gcs.upload("models", "team/tiny-but-other/config.json", b"{}")
    return gcs


def source(gcs: Gcs, path: str = "team/tiny", *more: str) -> tuple[str, ...]:
    return ("gcs", "--uri", f"gs://models/{path}", "--endpoint", gcs.endpoint, *more)


def test_brings_all_objects_below_a_prefix(pod: Pod, gcs: Gcs) -> None:
    code, log = pod.fetch(*source(gcs, "team/tiny", "--anonymous"))
    assert code == 0, log
    assert read_tree(pod.folder) == MODEL
    assert pod.marker()["source"] == {"kind": "gcs", "uri": "gs://models/team/tiny"}
    assert all("authorization" not in each.headers for each in gcs.server.requests)


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_unpacks_an_archive(pod: Pod, gcs: Gcs, kind: str) -> None:
    gcs.upload("models", f"team/a.{kind}", make_archive(kind, MODEL, "tiny/"))
    code, log = pod.fetch(*source(gcs, f"team/a.{kind}", "--anonymous"))
    assert code == 0, log
    assert read_tree(pod.folder) == MODEL


def test_missing_prefix_is_told(pod: Pod, gcs: Gcs) -> None:
    code, log = pod.fetch(*source(gcs, "team/absent", "--anonymous"))
    assert code == 78
    assert "there is no object gs://models/team/absent/*" in log


@pytest.mark.parametrize("uri", ["s3://a/b", "gs://only-a-bucket", "models/tiny"])
def test_wrong_uri_is_told(pod: Pod, gcs: Gcs, uri: str) -> None:
    code, log = pod.fetch("gcs", "--uri", uri, "--anonymous")
    assert code == 78
    assert "is not of the form gs://BUCKET/PREFIX" in log


def test_key_file_gives_a_token(pod: Pod, gcs: Gcs, tmp_path: Path) -> None:
    gcs.tokens = ["token-1"]
    pod.env["GOOGLE_APPLICATION_CREDENTIALS"] = str(gcs.key_file(tmp_path))
    code, log = pod.fetch(*source(gcs))
    assert code == 0, log
    assert read_tree(pod.folder) == MODEL
    assert gcs.issued == 1
    assert "token-1" not in log


def test_expired_token_is_renewed(pod: Pod, gcs: Gcs, tmp_path: Path) -> None:
    gcs.tokens = [f"token-{i}" for i in range(200)]
    gcs.uses = 2
    pod.tuning["connections"] = 1
    pod.tuning["files_at_once"] = 1
    pod.env["GOOGLE_APPLICATION_CREDENTIALS"] = str(gcs.key_file(tmp_path))
    code, log = pod.fetch(*source(gcs))
    assert code == 0, log
    assert read_tree(pod.folder) == MODEL
    assert gcs.issued > 2


def test_revoked_key_is_told(pod: Pod, gcs: Gcs, tmp_path: Path) -> None:
    gcs.tokens = []
    pod.env["GOOGLE_APPLICATION_CREDENTIALS"] = str(gcs.key_file(tmp_path))
    code, log = pod.fetch(*source(gcs))
    assert code == 78
    assert "Google gave no token" in log
    assert "pulumi config set --secret GCS_KEY" in log
    assert "PRIVATE KEY" not in log


def test_missing_credentials_are_told(pod: Pod, gcs: Gcs, tmp_path: Path) -> None:
    pod.env["GOOGLE_APPLICATION_CREDENTIALS"] = str(tmp_path / "absent.json")
    code, log = pod.fetch(*source(gcs))
    assert code == 78
    assert "no Google credentials" in log


def test_wrong_crc32c_is_given_up(pod: Pod, gcs: Gcs) -> None:
    gcs.server.faults[SHARD] = [Fault("corrupt", 0.5, times=99)]
    code, log = pod.fetch(*source(gcs, "team/tiny", "--anonymous"))
    assert code == 78
    assert "crc32c is" in log.splitlines()[-1]
    assert pod.nothing_visible()


def test_refusal_names_workload_identity(pod: Pod, gcs: Gcs) -> None:
    gcs.server.faults["/storage/v1/b/models/o"] = [Fault("status", status=403, times=9)]
    code, log = pod.fetch(*source(gcs, "team/tiny", "--anonymous"))
    assert code == 78
    assert "HTTP 403, access refused" in log
