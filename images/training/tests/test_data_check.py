"""Wrong data ends the run before anything is loaded, with an exit code that is not retried."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Container

GOOD = [{"instruction": "a", "input": "", "output": "b"}]


@pytest.fixture
def data(container: Container) -> Path:
    """The folder of a run that trains on the data set `facts`."""
    folder = container.root / "data"
    folder.mkdir()
    container.config |= {"dataset": "facts", "dataset_dir": str(folder)}
    return folder


def write(folder: Path, name: str, content: str, **entry: Any) -> None:
    (folder / name).write_text(content)
    info = {"facts": {"file_name": name} | entry}
    (folder / "dataset_info.json").write_text(json.dumps(info))


@pytest.mark.parametrize(
    ("name", "content", "entry"),
    [
        ("rows.json", json.dumps(GOOD), {}),
        ("rows.json", json.dumps(GOOD[0]) + "\n" + json.dumps(GOOD[0]), {}),
        ("rows.jsonl", json.dumps(GOOD[0]) + "\n\n", {}),
        ("rows.csv", "instruction,input,output\na,,b\n", {}),
        ("rows.csv", "q,a\nx,y\n", {"columns": {"prompt": "q", "response": "a"}}),
        ("rows.txt", "some text\n", {"columns": {"prompt": "text"}}),
        ("rows.json", '[{"conversations": []}]', {"formatting": "sharegpt"}),
        ("rows.parquet", "PAR1", {}),
    ],
)
def test_good_data_is_trained_on(
    container: Container, data: Path, name: str, content: str, entry: dict[str, Any]
) -> None:
    write(data, name, content, **entry)
    code, log = container.run()
    assert code == 0, log


@pytest.mark.parametrize(
    ("name", "content", "entry", "said"),
    [
        ("rows.json", "[]", {}, "has no rows"),
        ("rows.json", "[1]", {}, "row 1 of"),
        ("rows.json", '[{"instruction": ', {}, "cannot be read"),
        ("rows.jsonl", '{"instruction": "a"\n', {}, "cannot be read"),
        ("rows.json", '[{"q": "a"}]', {}, "has instruction, input, output; the columns are q"),
        ("rows.csv", "q,a\nx,y\n", {"columns": {"prompt": "question"}}, "has question;"),
        ("rows.csv", "instruction,input,output\n", {}, "has no rows"),
        ("rows.xlsx", "x", {}, "must be of one format among"),
        ("rows.parquet", "", {}, "is empty"),
    ],
)
def test_wrong_data_starts_no_trainer(
    container: Container, data: Path, name: str, content: str, entry: dict[str, Any], said: str
) -> None:
    write(data, name, content, **entry)
    code, log = container.run()
    assert code == 65
    assert said in log.splitlines()[-1]
    assert 'training data "facts"' in log.splitlines()[-1]
    assert container.calls() == []


@pytest.mark.parametrize(
    ("info", "said"),
    [
        (None, "it is not in"),
        ("{", "cannot be read"),
        ("[]", "is no map"),
        ('{"other": {}}', "has no such data set; it has other"),
        ('{"facts": {"hf_hub_url": "a/b"}}', "gives it no file_name"),
        ('{"facts": {"file_name": "none.json"}}', "is not there"),
    ],
)
def test_wrong_list_of_data_sets_is_named(
    container: Container, data: Path, info: str | None, said: str
) -> None:
    if info is not None:
        (data / "dataset_info.json").write_text(info)
    code, log = container.run()
    assert code == 65
    assert said in log.splitlines()[-1]


def test_trained_run_does_not_need_its_data_any_more(container: Container, data: Path) -> None:
    write(data, "rows.json", json.dumps(GOOD))
    container.env["EXPORT_FAILS"] = "1"
    assert container.run()[0] == 1
    (data / "dataset_info.json").unlink()
    container.env.clear()
    assert container.run()[0] == 0
