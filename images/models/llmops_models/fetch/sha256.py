"""SHA-256 whose state can be written down, so that an archive's digest survives a restart.

hashlib's objects cannot be saved. OpenSSL's own SHA256_CTX is a plain structure of 112 bytes; where
it cannot be had (or does not give the known digest of a known text), hashlib is used and an
interrupted archive starts from its beginning.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
from functools import cache
from typing import Any

CONTEXT_BYTES = 112


@cache
def _openssl() -> Any:
    """The library that Python's own hashlib is linked to, or None."""
    spec = importlib.util.find_spec("_hashlib")
    if spec is None or not spec.origin or not spec.origin.endswith(".so"):
        return None
    try:
        library = ctypes.CDLL(spec.origin)
        library.SHA256_Init.argtypes = [ctypes.c_void_p]
        library.SHA256_Update.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        library.SHA256_Final.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    except (OSError, AttributeError):
        return None
    sample = b"a model" * 100
    trial = _Native(library, "")
    trial.update(sample)
    again = _Native(library, trial.state)
    again.update(sample)
    return library if again.hexdigest() == hashlib.sha256(sample * 2).hexdigest() else None


class _Native:
    def __init__(self, library: Any, state: str) -> None:
        self._library = library
        self._context = ctypes.create_string_buffer(CONTEXT_BYTES)
        if state:
            self._context.raw = bytes.fromhex(state)
        else:
            library.SHA256_Init(self._context)

    def update(self, data: bytes | memoryview) -> None:
        if isinstance(data, memoryview) and not data.readonly:
            view = (ctypes.c_char * data.nbytes).from_buffer(data)
            self._library.SHA256_Update(self._context, view, data.nbytes)
        else:
            content = bytes(data)
            self._library.SHA256_Update(self._context, content, len(content))

    def hexdigest(self) -> str:
        copy = ctypes.create_string_buffer(self._context.raw, CONTEXT_BYTES)
        result = ctypes.create_string_buffer(32)
        self._library.SHA256_Final(result, copy)
        return result.raw.hex()

    @property
    def state(self) -> str:
        return self._context.raw.hex()


class _Plain:
    state = ""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, data: bytes | memoryview) -> None:
        self._hash.update(data)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


class Sha256:
    """Like hashlib's, with `state`: hexadecimal, or empty where it cannot be saved."""

    def __init__(self, state: str = "") -> None:
        """Raises ValueError for a state that is of no use here."""
        library = _openssl()
        if state and (library is None or len(state) != 2 * CONTEXT_BYTES):
            raise ValueError("this state cannot be continued here")
        self._hash = _Plain() if library is None else _Native(library, state)

    def update(self, data: bytes | memoryview) -> None:
        self._hash.update(data)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    @property
    def state(self) -> str:
        return self._hash.state
