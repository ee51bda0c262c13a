"""The Hugging Face hub, its mirrors, and the unmodified client beside ours."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest
from hub_server import REVISION, Hub
from models_fixtures import Pod, make_model, read_tree, sha256
from repository_server import Fault, RepositoryServer

MODEL = make_model()
NAME = "acme/tiny"
SHARD = "model-00001-of-00002.safetensors"


@pytest.fixture
def hub(server: RepositoryServer, content: RepositoryServer) -> Hub:
    server.checksums = False
    hub = Hub(server, content, NAME)
    hub.put(MODEL)
    return hub


def source(hub: Hub, *more: str, revision: str = REVISION) -> tuple[str, ...]:
    endpoint = hub.server.url
    return ("huggingface", "--id", NAME, "--revision", revision, "--endpoint", endpoint, *more)


def test_same_files_as_the_unmodified_client(pod: Pod, hub: Hub, tmp_path: Path) -> None:
    theirs = huggingface_hub.snapshot_download(
        NAME, revision=REVISION, endpoint=hub.server.url, cache_dir=tmp_path / "cache"
    )
    code, log = pod.fetch(*source(hub))
    assert code == 0, log
    assert read_tree(pod.folder) == read_tree(Path(theirs)) == MODEL
    assert pod.marker()["source"] == {
        "kind": "huggingface",
        "id": NAME,
        "revision": REVISION,
        "endpoint": hub.server.url,
        "allow": [],
    }


def test_complete_commit_needs_no_request(pod: Pod, hub: Hub, content: RepositoryServer) -> None:
    assert pod.fetch(*source(hub))[0] == 0
    hub.server.requests.clear()
    assert pod.fetch(*source(hub))[0] == 0
    assert not hub.server.requests


def test_name_of_a_revision_is_resolved_each_time(pod: Pod, hub: Hub) -> None:
    assert pod.fetch(*source(hub, revision="main"))[0] == 0
    assert all("/resolve/main/" not in each.path for each in hub.server.requests)
    hub.server.requests.clear()
    assert pod.fetch(*source(hub, revision="main"))[0] == 0
    assert [each.path for each in hub.server.requests] == [f"/api/models/{NAME}/revision/main"]


def test_only_allowed_files_are_brought(pod: Pod, hub: Hub) -> None:
    patterns = ("--allow", "*.safetensors", "--allow", "config.json", "--allow", "extra/")
    assert pod.fetch(*source(hub, *patterns))[0] == 0
    expected = {
        name: each
        for name, each in MODEL.items()
        if name.endswith(".safetensors") or name in ("config.json", "extra/notes.txt")
    }
    expected.pop("model.safetensors.index.json", None)
    assert read_tree(pod.folder) == expected


def test_pattern_that_allows_nothing_is_told(pod: Pod, hub: Hub) -> None:
    code, log = pod.fetch(*source(hub, "--allow", "*.gguf"))
    assert code == 78
    assert "has no file that is allowed by *.gguf" in log


def test_token_goes_to_the_hub_and_not_to_the_host_of_the_large_files(
    pod: Pod, hub: Hub, content: RepositoryServer
) -> None:
    hub.token = "hf_secret"
    pod.env["HF_TOKEN"] = "hf_secret"
    code, log = pod.fetch(*source(hub))
    assert code == 0, log
    assert content.asked("GET")
    assert all("authorization" not in each.headers for each in content.requests)
    assert "hf_secret" not in log and "hidden" not in log


def test_gated_model_names_the_secret_to_set(pod: Pod, hub: Hub) -> None:
    hub.token = "hf_secret"
    del pod.env["ARTIFACTORY_URL"]
    code, log = pod.fetch(*source(hub))
    assert code == 78
    assert "HTTP 401 (Access is restricted)" in log
    assert "pulumi config set --secret HF_TOKEN" in log


def test_unknown_revision_is_told(pod: Pod, hub: Hub) -> None:
    code, log = pod.fetch(*source(hub, revision="f" * 40))
    assert code == 78
    assert f"/api/models/{NAME}/revision/{'f' * 40}?…: HTTP 404" in log


def test_mirror_that_tells_no_sizes_is_asked_file_by_file(pod: Pod, hub: Hub) -> None:
    hub.tells = False
    code, log = pod.fetch(*source(hub))
    assert code == 0, log
    assert read_tree(pod.folder) == MODEL


def test_artifactory_proxy_takes_artifactory_credentials(pod: Pod, hub: Hub) -> None:
    hub.token = "artifactory-token"
    pod.env["ARTIFACTORY_PASSWORD"] = "artifactory-token"
    code, log = pod.fetch(*source(hub))
    assert code == 0, log


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("name", [SHARD, "config.json"])
def test_wrong_content_is_noticed(
    pod: Pod, hub: Hub, content: RepositoryServer, name: str, tells: bool
) -> None:
    hub.tells = tells
    blob = f"/blobs/{sha256(MODEL[SHARD])}"
    content.faults[blob] = [Fault("corrupt", 0.5, times=99)]
    if name == "config.json":
        content.faults.clear()
        hub.server.files[f"/{NAME}/resolve/{REVISION}/config.json"] = MODEL["config.json"]
        hub.server.faults[f"/{NAME}/resolve/{REVISION}/config.json"] = [
            Fault("corrupt", 0.5, times=99)
        ]
    code, log = pod.fetch(*source(hub))
    assert code == 78
    assert name in log.splitlines()[-1] and "twice" in log.splitlines()[-1]
    assert pod.nothing_visible()


def test_cut_of_a_large_file_is_survived(pod: Pod, hub: Hub, content: RepositoryServer) -> None:
    content.faults[f"/blobs/{sha256(MODEL[SHARD])}"] = [Fault("cut", 0.5)]
    code, log = pod.fetch(*source(hub))
    assert code == 0, log
    assert read_tree(pod.folder) == MODEL


def test_listed_path_outside_the_folder_is_refused(pod: Pod, hub: Hub) -> None:
    hub.put(MODEL | {"../escape": b"x"})
    code, log = pod.fetch(*source(hub))
    assert code == 78
    assert "outside its folder" in log
