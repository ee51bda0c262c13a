"""Unpacks zip as it streams by: its central directory first, then all bytes in order."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Callable
from typing import IO, cast

from llmops_models.errors import GiveUp
from llmops_models.fetch.bytestream import PIECE, Broken, ByteStream, isal_error
from llmops_models.fetch.digest import Digest
from llmops_models.fetch.remote import RemoteFile
from llmops_models.fetch.transfer import Transfer
from llmops_models.fetch.tree import Member, Tree

LOCAL_HEADER = struct.Struct("<4s22xHH")
LOCAL_MARK = b"PK\x03\x04"
ENCRYPTED = 1
MAX_DIRECTORY = 64 << 20

Entry = zipfile.ZipInfo


class RangeFile:
    """A remote file that zipfile can seek in."""

    def __init__(self, transfer: Transfer, file: RemoteFile) -> None:
        self._transfer = transfer
        self._file = file
        self._position = 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.size}[whence]
        if base + offset < 0:
            raise OSError("before the beginning")
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        end = self._file.size if size < 0 else min(self._position + size, self._file.size)
        if end - self._position > MAX_DIRECTORY:
            raise GiveUp("the archive is refused: its directory is too large")
        if end <= self._position:
            return b""
        data = self._transfer.read(self._file, self._position, end)
        self._position = end
        return data


def read_directory(file: RangeFile | IO[bytes]) -> list[Entry]:
    """The entries in the order in which they lie in the file. Raises GiveUp or Broken."""
    try:
        with zipfile.ZipFile(cast(IO[bytes], file)) as archive:
            entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError) as error:
        raise Broken(f"the archive is damaged: {error}") from error
    for entry in entries:
        if entry.flag_bits & ENCRYPTED:
            raise GiveUp(f"the archive is refused: {entry.filename!r} is encrypted")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise GiveUp(
                f"the archive is refused: {entry.filename!r} is packed with method "
                f"{entry.compress_type}; pack with deflate, or as tar.zst"
            )
    return entries


def unpack_zip(stream: ByteStream, entries: list[Entry], tree: Tree, digest: Digest) -> None:
    """Writes all members into the tree. Raises Broken or GiveUp."""
    for entry in entries:
        if entry.header_offset < tree.offset:
            continue
        # Members that share bytes are a known kind of bomb; `seek` refuses to go back.
        stream.seek(entry.header_offset)
        header = stream.read(LOCAL_HEADER.size)
        if len(header) < LOCAL_HEADER.size or not header.startswith(LOCAL_MARK):
            raise Broken(f"the archive is damaged at {entry.filename!r}")
        _, name_length, extra_length = LOCAL_HEADER.unpack(header)
        stream.seek(stream.tell() + name_length + extra_length)
        _unpack_entry(stream, entry, tree)
        tree.checkpoint(stream, digest)


def _unpack_entry(stream: ByteStream, entry: Entry, tree: Tree) -> None:
    mode = entry.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if entry.is_dir():
        tree.add_folder(entry.filename)
        stream.seek(stream.tell() + entry.compress_size)
    elif kind == stat.S_IFLNK:
        target = bytearray()
        if entry.file_size > PIECE:
            raise GiveUp(f"the archive is refused: the link {entry.filename!r} is too long")
        _read_entry(stream, entry, tree, target.extend)
        tree.add_link(entry.filename, target.decode(errors="replace"), hard=False)
    elif kind in (0, stat.S_IFREG):
        member = tree.open(entry.filename, entry.file_size)
        _write_entry(stream, entry, tree, member)
        tree.close(member)
    else:
        raise GiveUp(f"the archive is refused: {entry.filename!r} is a device or a pipe")


def _write_entry(stream: ByteStream, entry: Entry, tree: Tree, member: Member) -> None:
    """A stored member goes on where it was left; a deflated one starts anew."""
    if member.have >= tree.worth_replaying and entry.compress_type == zipfile.ZIP_STORED:
        stream.replay(member.path, member.have)
        stream.copy(entry.file_size - member.have, member.write)
        return
    member.restart()
    _read_entry(stream, entry, tree, member.write)


def _read_entry(
    stream: ByteStream, entry: Entry, tree: Tree, take: Callable[[bytes | memoryview], object]
) -> None:
    """Unpacks one member and checks its length and CRC."""
    from isal import isal_zlib

    crc = size = 0

    def checked(data: bytes | memoryview) -> None:
        nonlocal crc, size
        tree.spend(len(data))
        size += len(data)
        if size > entry.file_size:
            raise Broken(f"{entry.filename!r} is longer than the archive's directory says")
        crc = isal_zlib.crc32(data, crc)
        take(data)

    if entry.compress_type == zipfile.ZIP_STORED:
        stream.copy(entry.compress_size, checked)
    else:
        unpacker = isal_zlib.decompressobj(wbits=-15)

        def inflate(packed: memoryview) -> None:
            rest = bytes(packed)
            while rest and not unpacker.eof:
                try:
                    data = unpacker.decompress(rest, PIECE)
                except isal_error() as error:
                    raise Broken(f"the archive is damaged: {error}") from error
                rest = unpacker.unconsumed_tail
                checked(data)

        stream.copy(entry.compress_size, inflate)
        while not unpacker.eof and (data := unpacker.decompress(b"", PIECE)):
            checked(data)
    if size != entry.file_size or crc != entry.CRC:
        raise Broken(f"{entry.filename!r} does not have the length and CRC that the archive states")
