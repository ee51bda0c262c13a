"""Unpacks tar as it streams by, plain or compressed."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from typing import IO, cast

from llmops_models.errors import GiveUp
from llmops_models.fetch.bytestream import PIECE, Broken, ByteStream, isal_error
from llmops_models.fetch.digest import Digest
from llmops_models.fetch.tree import Tree

BLOCK = tarfile.BLOCKSIZE
# A frame that needs more memory than this to unpack is refused.
ZSTD_WINDOW = 128 << 20

Decoder = Callable[[ByteStream], Iterator[bytes]]


def gunzip(packed: ByteStream) -> Iterator[bytes]:
    """All members of a gzip stream, one after the other."""
    from isal import isal_zlib

    rest = b""
    while True:
        if not rest:
            rest = bytes(packed.some())
            if not rest:
                return
        unpacker = isal_zlib.decompressobj(wbits=31)
        while not unpacker.eof:
            if not rest:
                rest = bytes(packed.some())
                if not rest:
                    raise Broken("the archive is cut short")
            try:
                data = unpacker.decompress(rest, PIECE)
            except isal_error() as error:
                raise Broken(f"the archive is damaged: {error}") from error
            rest = unpacker.unconsumed_tail
            if data:
                yield data
        rest = unpacker.unused_data
        # Some tools fill the last block with zeros.
        if not rest.strip(b"\0"):
            rest = b""


def unzstd(packed: ByteStream) -> Iterator[bytes]:
    """All frames of a Zstandard stream, one after the other."""
    import zstandard

    unpacker = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
    reader = unpacker.stream_reader(cast(IO[bytes], packed), read_across_frames=True)
    while True:
        try:
            data = reader.read(PIECE)
        except zstandard.ZstdError as error:
            raise Broken(f"the archive is damaged: {error}") from error
        if not data:
            return
        yield data


DECODERS: dict[str, Decoder | None] = {"tar": None, "gz": gunzip, "zst": unzstd}


def unpack_tar(packed: ByteStream, decoder: Decoder | None, tree: Tree, digest: Digest) -> None:
    """Writes all members into the tree. Raises Broken or GiveUp."""
    plain = packed
    if decoder is not None:
        unpacked = decoder(packed)

        def counted(_start: int) -> Iterator[memoryview]:
            for data in unpacked:
                tree.spend(len(data))
                yield memoryview(data)

        plain = ByteStream(counted)
    reader = _Blocks(plain)
    try:
        archive = tarfile.TarFile(fileobj=cast(IO[bytes], reader), errorlevel=1)
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]
            _unpack_member(plain, member, tree)
            plain.seek(member.offset_data + -(-_content(member) // BLOCK) * BLOCK)
            if decoder is None:
                tree.checkpoint(plain, digest)
    except tarfile.TarError as error:
        raise Broken(f"the archive is damaged: {error}") from error
    if reader.last != bytes(BLOCK):
        raise Broken("the archive is cut short or damaged: it has no end mark")
    plain.drain()


def _unpack_member(plain: ByteStream, member: tarfile.TarInfo, tree: Tree) -> None:
    if member.isdir():
        tree.add_folder(member.name)
    elif member.issym() or member.islnk():
        tree.add_link(member.name, member.linkname, hard=member.islnk())
    elif member.isreg() and not member.issparse():
        target = tree.open(member.name, member.size)
        if target.have >= tree.worth_replaying:
            plain.replay(target.path, target.have)
        else:
            target.restart()
        plain.copy(member.size - target.have, target.write)
        tree.close(target)
    else:
        raise GiveUp(
            f"the archive is refused: {member.name!r} is neither file, folder nor link "
            f"(type {member.type!r})"
        )


def _content(member: tarfile.TarInfo) -> int:
    """Bytes that follow the header."""
    return member.size if member.isreg() else 0


class _Blocks:
    """What tarfile reads headers from; keeps the last block, since tarfile takes a damaged
    header for the archive's end."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.last = b""
        self.tell = stream.tell
        self.seek = stream.seek

    def read(self, size: int) -> bytes:
        self.last = self._stream.read(size)
        return self.last
