"""Parts that are easier to hold to their word alone."""

from __future__ import annotations

import hashlib
import random
import time
from email.utils import formatdate
from pathlib import Path

import google_crc32c
import pytest
from llmops_models.errors import GiveUp, redact, redact_text
from llmops_models.fetch.answers import retry_after
from llmops_models.fetch.digest import Digest, Mismatch
from llmops_models.fetch.journal import Journal
from llmops_models.fetch.progress import Progress
from llmops_models.fetch.sha256 import Sha256
from llmops_models.fetch.tree import leaves


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@host:8443/a/b?X-Sig=1#f", "https://host:8443/a/b?…"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("https://token@host/x", "https://host/x"),
        ("gs://BUCKET/Prefix", "gs://BUCKET/Prefix"),
        ("https://host:port/x", "(a URL that cannot be read)"),
    ],
)
def test_redacted_urls_hold_no_secret(url: str, shown: str) -> None:
    assert redact(url) == shown
    assert redact_text(f"see {url} there, {url}: HTTP") == f"see {shown} there, {shown}: HTTP"


def test_sha256_goes_on_from_a_written_state() -> None:
    source = random.Random(7)
    for _ in range(50):
        content = source.randbytes(source.randrange(1, 5000))
        cut = source.randrange(len(content) + 1)
        first = Sha256()
        first.update(content[:cut])
        assert len(first.state) == 224
        second = Sha256(first.state)
        second.update(memoryview(bytearray(content[cut:])))
        assert second.hexdigest() == hashlib.sha256(content).hexdigest()


def test_sha256_refuses_a_state_of_something_else() -> None:
    with pytest.raises(ValueError, match="cannot be continued"):
        Sha256("00" * 7)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sha256", hashlib.sha256(b"abc").hexdigest()),
        ("sha1", hashlib.sha1(b"abc").hexdigest()),
        ("md5", hashlib.md5(b"abc").hexdigest()),
        ("crc32c", f"{google_crc32c.value(b'abc'):08x}"),
        ("git-sha1", hashlib.sha1(b"blob 3\0abc").hexdigest()),
    ],
)
def test_digests_are_compared(name: str, expected: str) -> None:
    digest = Digest({name: expected.upper()}, 3)
    digest.update(b"abc")
    digest.verify("a file")
    wrong = Digest({name: expected[::-1]}, 3)
    wrong.update(b"abc")
    with pytest.raises(Mismatch, match=f"a file: {name} is {expected} and should be"):
        wrong.verify("a file")


def test_retry_after_is_a_number_or_a_date() -> None:
    assert retry_after("7") == 7
    assert retry_after("") is None
    assert retry_after("soon") is None
    later = retry_after(formatdate(time.time() + 60, usegmt=True))
    assert later is not None and 57 < later <= 60


def test_journal_drops_a_line_that_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path, "a")
    journal.append([{"path": "x", "size": 1}, {"path": "y", "size": 2}])
    journal.close()
    path.write_text(path.read_text()[:-5])
    again = Journal(path, "a")
    assert again.resumed and again.same_boot
    assert again.records == [{"path": "x", "size": 1}]
    again.close()
    other = Journal(path, "b")
    assert not other.resumed and other.records == []
    other.close()


def test_progress_line() -> None:
    progress = Progress(5)
    progress.expect(4 << 30, 1 << 30)
    progress.add(1 << 30)
    assert progress.line().startswith("2.00 of 4.00 GiB, ")
    assert progress.line().endswith(" s left")


@pytest.mark.parametrize(
    ("base", "target", "expected"),
    [("a/b", "../../x", False), ("a/b", "../../../x", True), ("", "x/../../y", True)],
)
def test_link_targets(base: str, target: str, expected: bool) -> None:
    from pathlib import PurePosixPath

    assert leaves(PurePosixPath(base), target) is expected


def test_give_up_is_the_exit_code_for_configuration() -> None:
    assert GiveUp("x").code == 78
