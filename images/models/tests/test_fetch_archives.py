"""What an archive may hold, and what is refused."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile

import pytest
from models_fixtures import Pod, make_archive, make_model, make_tar, make_zip, read_tree
from repository_server import RepositoryServer

MODEL = make_model(weights=1000)
KINDS = ["tar", "tar.gz", "tar.zst", "zip", "stored.zip"]


def put(server: RepositoryServer, kind: str, content: bytes) -> tuple[str, ...]:
    server.files[f"/repo/a.{kind}"] = content
    return ("artifactory", "--path", f"repo/a.{kind}")


def tar_with(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A model's tar with more members."""
    buffer = io.BytesIO(make_tar(MODEL))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zip_with(name: str, content: bytes, mode: int = 0) -> bytes:
    buffer = io.BytesIO(make_zip(MODEL))
    with zipfile.ZipFile(buffer, "a") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, content)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("top", ["", "tiny/", "./", "./tiny/v1/"])
def test_single_top_folder_is_taken_off(
    pod: Pod, server: RepositoryServer, kind: str, top: str
) -> None:
    code, log = pod.fetch(*put(server, kind, make_archive(kind, MODEL, top)))
    assert code == 0, log
    assert read_tree(pod.folder) == MODEL
    assert {each["path"] for each in pod.marker()["files"]} == set(MODEL)


ATTACKS = {
    "traversal": (member("../../escape"), "could lie outside"),
    "traversal inside": (member("a/../../escape"), "could lie outside"),
    "absolute name": (member("/tmp/llmops-escape"), "could lie outside"),
    "backslash": (member("..\\escape"), "could lie outside"),
    "link out": (member("out", tarfile.SYMTYPE, "../../../etc"), "leads out of its folder"),
    "absolute link": (member("out", tarfile.SYMTYPE, "/etc/passwd"), "leads out of its folder"),
    "hard link out": (member("out", tarfile.LNKTYPE, "../x"), "leads out of its folder"),
    "dangling link": (member("out", tarfile.SYMTYPE, "absent"), "leads to nothing"),
    "dangling hard link": (member("out", tarfile.LNKTYPE, "absent"), "leads to no file"),
    "character device": (member("null", tarfile.CHRTYPE), "neither file, folder nor link"),
    "block device": (member("disk", tarfile.BLKTYPE), "neither file, folder nor link"),
    "pipe": (member("pipe", tarfile.FIFOTYPE), "neither file, folder nor link"),
    "twice": (member("config.json"), "'config.json' twice"),
    "twice by another name": (member("./config.json"), "'config.json' twice"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_tar_attacks_are_refused(pod: Pod, server: RepositoryServer, attack: str) -> None:
    info, words = ATTACKS[attack]
    code, log = pod.fetch(*put(server, "tar", tar_with((info, b""))))
    assert code == 78
    assert words in log.splitlines()[-1]
    assert pod.nothing_visible()
    assert not list(pod.volume.parent.rglob("*escape*"))
    assert not os.path.lexists("/tmp/llmops-escape")


def test_nothing_is_written_through_a_link(pod: Pod, server: RepositoryServer) -> None:
    outside = pod.volume.parent / "outside"
    outside.mkdir()
    depth = "../" * 12
    content = tar_with(
        (member("sub", tarfile.SYMTYPE, f"{depth}{outside}".replace("//", "/")), b""),
        (member("sub/planted"), b"x"),
    )
    code, _ = pod.fetch(*put(server, "tar", content))
    assert code == 78
    assert not list(outside.iterdir())


def test_file_below_a_link_inside_is_refused(pod: Pod, server: RepositoryServer) -> None:
    content = tar_with((member("sub", tarfile.SYMTYPE, "extra"), b""), (member("sub/new"), b"x"))
    code, log = pod.fetch(*put(server, "tar", content))
    assert code == 78
    assert "'sub' twice" in log.splitlines()[-1]
    assert pod.nothing_visible()


@pytest.mark.parametrize(
    ("name", "content", "mode", "words"),
    [
        ("../../escape", b"x", 0, "could lie outside"),
        ("/tmp/llmops-escape", b"x", 0, "could lie outside"),
        ("out", b"/etc/passwd", stat.S_IFLNK | 0o777, "leads out of its folder"),
        ("out", b"../../x", stat.S_IFLNK | 0o777, "leads out of its folder"),
        ("pipe", b"", stat.S_IFIFO | 0o644, "a device or a pipe"),
        ("null", b"", stat.S_IFCHR | 0o644, "a device or a pipe"),
        ("config.json", b"x", 0, "'config.json' twice"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_attacks_are_refused(
    pod: Pod, server: RepositoryServer, name: str, content: bytes, mode: int, words: str
) -> None:
    code, log = pod.fetch(*put(server, "zip", zip_with(name, content, mode)))
    assert code == 78
    assert words in log.splitlines()[-1]
    assert pod.nothing_visible()


def test_encrypted_zip_is_refused(pod: Pod, server: RepositoryServer) -> None:
    content = bytearray(make_zip({"config.json": b"{}"}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    code, log = pod.fetch(*put(server, "zip", bytes(content)))
    assert code == 78
    assert "is encrypted" in log


def test_zip_members_that_share_bytes_are_refused(pod: Pod, server: RepositoryServer) -> None:
    content = bytearray(make_zip({"a": b"0" * 100, "b": b"1" * 100}, method=zipfile.ZIP_STORED))
    second = content.rindex(b"PK\x01\x02")
    content[second + 42 : second + 46] = (40).to_bytes(4, "little")
    code, log = pod.fetch(*put(server, "zip", bytes(content)))
    assert code == 78, log
    assert pod.nothing_visible()


def test_links_inside_are_kept(pod: Pod, server: RepositoryServer) -> None:
    content = tar_with(
        (member("extra/again.json", tarfile.SYMTYPE, "../config.json"), b""),
        (member("hard.json", tarfile.LNKTYPE, "config.json"), b""),
    )
    code, log = pod.fetch(*put(server, "tar", content))
    assert code == 0, log
    assert os.readlink(pod.folder / "extra/again.json") == "../config.json"
    assert (pod.folder / "extra/again.json").read_bytes() == MODEL["config.json"]
    assert (pod.folder / "hard.json").read_bytes() == MODEL["config.json"]
    assert "hard.json" in {each["path"] for each in pod.marker()["files"]}


@pytest.mark.parametrize("kind", ["tar.gz", "tar.zst", "zip"])
def test_bombs_are_refused_early(pod: Pod, server: RepositoryServer, kind: str) -> None:
    pod.tuning |= {"bomb_floor_bytes": 4 << 20, "bomb_ratio": 10}
    bomb = MODEL | {"model.safetensors": bytes(64 << 20)}
    code, log = pod.fetch(*put(server, kind, make_archive(kind, bomb)))
    assert code == 78
    assert "decompression bomb" in log.splitlines()[-1]
    held = sum(path.stat().st_size for path in pod.volume.rglob("*") if path.is_file())
    assert held < 16 << 20
    assert pod.nothing_visible()


def test_too_many_files_are_refused(pod: Pod, server: RepositoryServer) -> None:
    pod.tuning["max_files"] = 5
    code, log = pod.fetch(*put(server, "tar", make_tar(MODEL)))
    assert code == 78
    assert "more than 5 files" in log


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_archive_of_10_000_files(pod: Pod, server: RepositoryServer, kind: str) -> None:
    pod.tuning["checkpoint_seconds"] = 5
    pod.tuning["chunk_bytes"] = 1 << 20
    many = MODEL | {f"data/{i % 100}/{i}.txt": b"%d" % i for i in range(10_000)}
    code, log = pod.fetch(*put(server, kind, make_archive(kind, many)))
    assert code == 0, log
    assert read_tree(pod.folder) == many


def test_gzip_of_several_members(pod: Pod, server: RepositoryServer) -> None:
    plain = make_tar(MODEL)
    content = gzip.compress(plain[:3000]) + gzip.compress(plain[3000:])
    assert pod.fetch(*put(server, "tar.gz", content))[0] == 0
    assert read_tree(pod.folder) == MODEL


def test_zip_from_a_server_without_ranges(pod: Pod, server: RepositoryServer) -> None:
    server.ranges = False
    code, log = pod.fetch(*put(server, "zip", make_zip(MODEL, "tiny/")))
    assert code == 0, log
    assert read_tree(pod.folder) == MODEL
    assert not list(pod.versions.rglob("archive"))


def without(*names: str) -> dict[str, bytes]:
    return {name: content for name, content in MODEL.items() if name not in names}


SHARDS = [name for name in MODEL if name.endswith(".safetensors")]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (without("config.json"), "there is no config.json"),
        (without(*SHARDS), "holds no weights"),
        (without(SHARDS[1]), "lacks 1 weight files"),
        (MODEL | {"model.safetensors.index.json": b"{"}, "is damaged"),
    ],
)
def test_what_is_no_model_is_refused(
    pod: Pod, server: RepositoryServer, files: dict[str, bytes], words: str
) -> None:
    code, log = pod.fetch(*put(server, "tar", make_tar(files, "top/")))
    assert code == 78
    assert words in log.splitlines()[-1]
    assert pod.nothing_visible()


def test_not_an_archive_at_all(pod: Pod, server: RepositoryServer) -> None:
    for kind in ("tar", "tar.gz", "tar.zst", "zip"):
        code, log = pod.fetch(*put(server, kind, b"<html>not found</html>" * 100))
        assert code == 78, log
        assert "damaged" in log.splitlines()[-1]
