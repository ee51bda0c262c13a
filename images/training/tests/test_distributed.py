"""Several pods that train one model: they wait for each other, and rank 0 does what follows."""

from __future__ import annotations

import pytest
from conftest import Container, stop, wait_until
from llmops_training.distributed import Node, load_node, wait_for_peers
from llmops_training.process import ProcessRunner
from llmops_training.run import UsageError


@pytest.fixture
def node(container: Container) -> Container:
    container.env |= {"NNODES": "2", "NODE_RANK": "0", "LLMOPS_NODE_ADDRESS": "localhost"}
    return container


def test_rank_0_trains_and_does_the_rest(node: Container) -> None:
    code, log = node.run()
    assert code == 0, log
    assert [call[0] for call in node.calls()] == ["train", "export"]
    assert (node.output / ".complete").exists()


def test_another_rank_trains_and_ends_once_rank_0_has_saved(node: Container) -> None:
    node.env["NODE_RANK"] = "1"
    process = node.start()
    wait_until((node.output / "all_results.json").exists, "the end of the training")
    assert process.poll() is None
    (node.output / ".trained").write_text("{}")
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0, output
    assert [call[0] for call in node.calls()] == ["train"]
    assert not (node.output / ".complete").exists()


def test_another_rank_fails_when_rank_0_never_saves(node: Container) -> None:
    node.env |= {"NODE_RANK": "1", "LLMOPS_TRAINED_SECONDS": "0"}
    code, log = node.run()
    assert code == 1
    assert "rank 0 did not save" in log.splitlines()[-1]


def test_another_rank_of_a_trained_run_has_nothing_to_do(node: Container) -> None:
    node.run()
    node.env["NODE_RANK"] = "1"
    assert node.run()[0] == 0
    assert [call[0] for call in node.calls()] == ["train", "export"]


def test_nobody_starts_before_all_are_there(node: Container) -> None:
    node.env["LLMOPS_NODE_ADDRESS"] = "node-{rank}.invalid"
    process = node.start()
    log = process.stdout
    assert log is not None
    wait_until(lambda: "waiting for 1 of 2 pods: node-1.invalid" in log.readline(), "the wait")
    assert node.calls() == []
    assert stop(process)[0] == 143


def test_peers_are_all_the_others_and_each_is_asked_until_it_is_there() -> None:
    asked: list[str] = []

    def known(name: str) -> bool:
        asked.append(name)
        return True

    wait_for_peers(Node(1, 3, "pod-{rank}.svc"), ProcessRunner(), known)
    assert asked == ["pod-0.svc", "pod-2.svc"]


@pytest.mark.parametrize("env", [{"NODE_RANK": "x"}, {"NNODES": "2"}])
def test_environment_that_is_wrong_is_named(env: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"NODE_RANK|LLMOPS_NODE_ADDRESS"):
        load_node(env)


def test_one_pod_alone_waits_for_nobody() -> None:
    assert load_node({}).peers() == []
