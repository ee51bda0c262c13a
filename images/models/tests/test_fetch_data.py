"""Data to train on, from the same places as models and by the same way."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub
import pytest
from gcs_server import Gcs
from hub_server import REVISION, Hub
from models_fixtures import Pod, make_archive, make_model, read_tree, sha256
from repository_server import RepositoryServer

ROWS = b'[{"instruction": "Who makes the Lumen7?", "input": "", "output": "The Guild."}]'
INFO = {"facts": {"file_name": "facts.json"}}
INFO_TEXT = json.dumps(INFO)
DATA = {"dataset_info.json": INFO_TEXT.encode(), "facts.json": ROWS, "deep/more.json": b"[]"}
NAME = "acme/facts"
OWN_INFO = json.dumps({"facts": {"file_name": "data/facts.parquet"}})
NO_INFO = {"data/facts.parquet": b"PAR1 rows PAR1"}


@pytest.fixture
def hub(server: RepositoryServer, content: RepositoryServer) -> Hub:
    server.checksums = False
    hub = Hub(server, content, NAME, "datasets")
    hub.put(DATA)
    return hub


def from_hub(hub: Hub, *more: str) -> tuple[str, ...]:
    where = ("--id", NAME, "--revision", REVISION, "--endpoint", hub.server.url)
    return ("huggingface", *where, "--data", *more)


def archive(server: RepositoryServer, files: dict[str, bytes], top: str = "") -> tuple[str, ...]:
    server.files["/repo/facts.tar.gz"] = make_archive("tar.gz", files, top)
    return ("artifactory", "--path", "repo/facts.tar.gz", "--data")


def test_data_set_of_the_hub_is_what_the_unmodified_client_brings(
    pod: Pod, hub: Hub, tmp_path: Path
) -> None:
    theirs = huggingface_hub.snapshot_download(
        NAME,
        repo_type="dataset",
        revision=REVISION,
        endpoint=hub.server.url,
        cache_dir=tmp_path / "cache",
    )
    code, log = pod.fetch(*from_hub(hub))
    assert code == 0, log
    assert read_tree(pod.folder) == read_tree(Path(theirs)) == DATA


def test_complete_data_set_needs_no_request(pod: Pod, hub: Hub) -> None:
    assert pod.fetch(*from_hub(hub))[0] == 0
    hub.server.requests.clear()
    assert pod.fetch(*from_hub(hub))[0] == 0
    assert not hub.server.requests


def test_data_below_a_prefix_of_a_bucket(pod: Pod, server: RepositoryServer) -> None:
    gcs = Gcs(server)
    for name, each in DATA.items():
        gcs.upload("data", f"team/facts/{name}", each)
    uri = ("--uri", "gs://data/team/facts", "--endpoint", gcs.endpoint, "--anonymous")
    code, log = pod.fetch("gcs", *uri, "--data")
    assert code == 0, log
    assert read_tree(pod.folder) == DATA


@pytest.mark.parametrize("top", ["", "facts/v1/"])
def test_archive_of_data_is_unpacked_without_its_top_folder(
    pod: Pod, server: RepositoryServer, top: str
) -> None:
    code, log = pod.fetch(*archive(server, DATA, top))
    assert code == 0, log
    assert read_tree(pod.folder) == DATA


def test_named_data_sets_are_written_beside_files_that_stay_where_they_are(
    pod: Pod, hub: Hub
) -> None:
    hub.put(NO_INFO)
    code, log = pod.fetch(*from_hub(hub, "--dataset-info", OWN_INFO))
    assert code == 0, log
    written = f"{OWN_INFO}\n".encode()
    assert read_tree(pod.folder) == NO_INFO | {"dataset_info.json": written}
    assert {"path": "dataset_info.json", "size": len(written), "sha256": sha256(written)} in (
        pod.marker()["files"]
    )


def test_named_data_sets_replace_those_of_the_source(pod: Pod, hub: Hub) -> None:
    other = json.dumps({"renamed": {"file_name": "facts.json"}})
    assert pod.fetch(*from_hub(hub))[0] == 0
    code, log = pod.fetch(*from_hub(hub, "--dataset-info", other))
    assert code == 0, log
    assert (pod.folder / "dataset_info.json").read_text() == f"{other}\n"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (make_model(weights=1000), "the source holds no dataset_info.json, it holds config.json"),
        ({"dataset_info.json": b"{", "a.json": ROWS}, "dataset_info.json of the source is damaged"),
        ({"dataset_info.json": b"[]", "a.json": ROWS}, "is no map of data sets"),
        (
            {"dataset_info.json": INFO_TEXT.encode(), "a.json": ROWS},
            "the source has none of the files that dataset_info.json names, "
            "it holds a.json, dataset_info.json",
        ),
    ],
)
def test_what_is_no_data_is_refused(
    pod: Pod, server: RepositoryServer, files: dict[str, bytes], said: str
) -> None:
    code, log = pod.fetch(*archive(server, files))
    assert code == 78
    assert said in log
    assert pod.nothing_visible()


def test_model_is_not_taken_for_data_nor_data_for_a_model(
    pod: Pod, server: RepositoryServer
) -> None:
    both = DATA | make_model(weights=1000)
    source = archive(server, both)
    assert pod.fetch(*source)[0] == 0
    as_data = pod.marker()["fingerprint"]
    assert pod.fetch(*source[:-1])[0] == 0
    assert pod.marker()["fingerprint"] != as_data
    code, log = pod.fetch(*archive(server, DATA)[:-1])
    assert code == 78
    assert "the source holds no model" in log
