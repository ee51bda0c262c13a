"""What the inference entry point refuses, and what it becomes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from llmops_inference.model_folder import find_fault

PACKAGE_ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with all that a server asks for."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "tokenizer.json").write_text("{}")
    return folder


def call(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    """Runs the entry point with servers that only print how they were called."""
    tools = tmp_path / "bin"
    tools.mkdir(exist_ok=True)
    for name in ("vllm", "llamafactory-cli"):
        (tools / name).write_text('#!/bin/sh\necho "$(basename "$0") $*"\n')
        (tools / name).chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "llmops_inference", *arguments],
        env={"PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(PACKAGE_ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_becomes_vllm_with_the_given_arguments(tmp_path: Path, model: Path) -> None:
    code, output = call(tmp_path, "serve", str(model), "--served-model-name", "lamp")
    assert (code, output) == (0, f"vllm serve {model} --served-model-name lamp\n")


def test_hub_id_is_left_to_vllm(tmp_path: Path) -> None:
    assert call(tmp_path, "serve", "owner/model") == (0, "vllm serve owner/model\n")


def test_runs_llamafactory_api(tmp_path: Path, model: Path) -> None:
    file = tmp_path / "inference.yaml"
    file.write_text(f"model_name_or_path: {model}\n")
    expected = f"llamafactory-cli api {file} infer_backend=vllm\n"
    assert call(tmp_path, "api", str(file), "infer_backend=vllm") == (0, expected)


def test_an_argument_counts_more_than_the_api_file(tmp_path: Path, model: Path) -> None:
    file = tmp_path / "inference.yaml"
    file.write_text(f"model_name_or_path: {tmp_path}/none\n")
    assert call(tmp_path, "api", str(file), f"model_name_or_path={model}")[0] == 0
    file.write_text("infer_backend: vllm\n")
    code, output = call(tmp_path, "api", str(file), f"model_name_or_path={tmp_path}/none")
    assert code == 2
    assert f"there is no model folder {tmp_path}/none" in output


@pytest.mark.parametrize("content", ["", "- a\n", "template: x\n", "a: [\n"])
def test_api_file_without_a_model_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "inference.yaml"
    file.write_text(content)
    code, output = call(tmp_path, "api", str(file))
    assert code == 2
    assert str(file) in output


@contextmanager
def as_nobody() -> Iterator[int]:
    """Acts as a user whom the files do not belong to, where this one may do so."""
    owner = os.geteuid()
    if owner == 0:
        os.seteuid(65534)
    try:
        yield os.geteuid()
    finally:
        os.seteuid(owner)


@pytest.mark.parametrize("name", ["base", "base/lamp", "base/lamp/model.safetensors"])
def test_what_may_not_be_read_is_named(name: str) -> None:
    with TemporaryDirectory() as top:
        Path(top).chmod(0o755)
        folder, closed = Path(top, "base", "lamp"), Path(top, name)
        folder.mkdir(parents=True)
        for file in ("config.json", "model.safetensors", "tokenizer.json"):
            (folder / file).write_text("{}")
        with as_nobody():
            assert find_fault(folder) is None
        closed.chmod(0)
        with as_nobody() as user:
            fault = find_fault(folder)
        closed.chmod(0o700)
    assert fault == f"user {user} may not read {closed}: chmod -R a+rX it on the volume."


def test_missing_folder_is_named(tmp_path: Path) -> None:
    code, output = call(tmp_path, "serve", str(tmp_path / "none"))
    assert code == 2
    assert f"there is no model folder {tmp_path}/none" in output
    assert len(output.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("config.json", "has no config.json"),
        ("model.safetensors", "has no weights"),
        ("tokenizer.json", "has no tokenizer"),
    ],
)
def test_missing_part_is_named(tmp_path: Path, model: Path, name: str, complaint: str) -> None:
    (model / name).unlink()
    code, output = call(tmp_path, "serve", str(model))
    assert code == 2
    assert f"{model} {complaint}" in output


def test_cut_config_is_named(tmp_path: Path, model: Path) -> None:
    (model / "config.json").write_text("{")
    assert "cut short" in call(tmp_path, "serve", str(model))[1]


def test_empty_weights_are_named(tmp_path: Path, model: Path) -> None:
    (model / "model.safetensors").write_bytes(b"")
    assert "model.safetensors is empty" in call(tmp_path, "serve", str(model))[1]


def test_missing_weight_file_of_an_index_is_named(tmp_path: Path, model: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    output = call(tmp_path, "serve", str(model))[1]
    assert "lacks 1 of its weight files, the first is model-2.safetensors" in output


def test_adapter_alone_is_explained(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    output = call(tmp_path, "serve", str(folder))[1]
    assert "training.merge" in output
    assert "adapters" in output


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A folder with all that vLLM asks of an adapter."""
    folder = tmp_path / "tuned"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


def test_adapters_are_served_beside_their_model(tmp_path: Path, model: Path, adapter: Path) -> None:
    modules = ["--lora-modules", f"a={adapter}", f"b={adapter}", "--seed", "1"]
    expected = f"vllm serve {model} {' '.join(modules)}\n"
    assert call(tmp_path, "serve", str(model), *modules) == (0, expected)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda folder: (folder / "adapter_config.json").unlink(), "no whole adapter_config.json"),
        (
            lambda folder: (folder / "adapter_config.json").write_text("{"),
            "no whole adapter_config.json",
        ),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), "has no weights"),
        (
            lambda folder: (folder / "adapter_model.safetensors").write_bytes(b""),
            "has no weights",
        ),
        (lambda folder: folder.rename(folder.parent / "moved"), "there is no adapter folder"),
    ],
)
def test_broken_adapter_is_named(
    tmp_path: Path,
    model: Path,
    adapter: Path,
    change: Callable[[Path], object],
    complaint: str,
) -> None:
    change(adapter)
    code, output = call(tmp_path, "serve", str(model), "--lora-modules", f"a={adapter}")
    assert code == 2
    assert complaint in output
    assert str(adapter) in output


@pytest.mark.parametrize("arguments", [(), ("serve",), ("run", "x")])
def test_wrong_command_shows_the_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code, output = call(tmp_path, *arguments)
    assert code == 2
    assert "usage:" in output
