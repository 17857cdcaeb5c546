"""Deletion vectors: which rows of a data file are deleted, by their positions, as the Delta protocol stores them."""

import base64
import struct
import uuid
import zlib
from collections.abc import Mapping
from typing import Any

from pyroaring import BitMap64

from lakehouse.delta.log import UnreadableLogError
from lakehouse.delta.store import TableStore

_MAGIC = struct.pack("<i", 1681511377)
_FILE_VERSION = b"\x01"
# Larger ones get a file of their own: a vector in the log is written again with each commit that adds to it, and read
# by everyone who reads the log.
MOST_INLINE_BYTES = 16 * 1024
_UUID_CHARACTERS = 20


def write_vector(store: TableStore, positions: BitMap64) -> dict[str, Any]:
    """The `deletionVector` of an `add` that says these rows are deleted; a large one is written to a file."""
    data = _MAGIC + positions.serialize()
    told = {"sizeInBytes": len(data), "cardinality": len(positions)}
    if len(data) <= MOST_INLINE_BYTES:
        padded = data + b"\0" * (-len(data) % 4)
        return {"storageType": "i", "pathOrInlineDv": base64.z85encode(padded).decode(), **told}
    name = uuid.uuid4()
    content = _FILE_VERSION + struct.pack(">i", len(data)) + data + struct.pack(">I", zlib.crc32(data))
    store.put(f"deletion_vector_{name}.bin", content)
    encoded = base64.z85encode(name.bytes).decode()
    return {"storageType": "u", "pathOrInlineDv": encoded, "offset": len(_FILE_VERSION), **told}


def read_vector(store: TableStore, told: Mapping[str, Any] | None) -> BitMap64:
    """The positions of the deleted rows, whoever wrote the vector; none where there is no vector."""
    if told is None:
        return BitMap64()
    kind, text = told["storageType"], told["pathOrInlineDv"]
    if kind == "i":
        data = base64.z85decode(text)[: told["sizeInBytes"]]
    elif kind == "u":
        data = _from_file(store, text, int(told.get("offset") or 0), told["sizeInBytes"])
    else:
        raise UnreadableLogError(f"{store.uri}: a deletion vector lies outside of the table, at {text}")
    if data[:4] != _MAGIC:
        raise UnreadableLogError(f"{store.uri}: a deletion vector is of a form that is not known here")
    return BitMap64.deserialize(data[4:])


def _from_file(store: TableStore, text: str, offset: int, size: int) -> bytes:
    prefix, name = text[:-_UUID_CHARACTERS], uuid.UUID(bytes=base64.z85decode(text[-_UUID_CHARACTERS:]))
    key = f"{prefix}/deletion_vector_{name}.bin" if prefix else f"deletion_vector_{name}.bin"
    content = store.read(key)
    if content is None:
        raise UnreadableLogError(f"{store.uri}/{key}, a deletion vector that the log names, is not there")
    (written,) = struct.unpack_from(">i", content, offset)
    data = content[offset + 4 : offset + 4 + size]
    (checksum,) = struct.unpack_from(">I", content, offset + 4 + size)
    if written != size or checksum != zlib.crc32(data):
        raise UnreadableLogError(f"{store.uri}/{key}, a deletion vector, is not as it was written")
    return data
