"""Records that the Kinesis Producer Library packed together: taken apart here, by hand, from the wire format.

An aggregate is four magic bytes, a protobuf message and the message's MD5 digest:

    AggregatedRecord: 1 repeated string partition_key_table, 2 repeated string explicit_hash_key_table,
                      3 repeated Record records
    Record:           1 uint64 partition_key_index, 2 uint64 explicit_hash_key_index, 3 bytes data, 4 repeated Tag

What looks like an aggregate and is not one, to the last byte, is no aggregate: the caller keeps it as it came.
"""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

MAGIC = b"\xf3\x89\x9a\xc2"
DIGEST_BYTES = 16

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class UserRecord(NamedTuple):
    """One record of an aggregate; its place in the list is its sub-sequence number."""

    partition_key: str
    data: bytes


class _Malformed(Exception):
    """The bytes break the wire format."""


def user_records(data: bytes) -> list[UserRecord] | None:
    """The records inside an aggregate, in order; None when the bytes are no (intact, non-empty) aggregate."""
    if not data.startswith(MAGIC) or len(data) < len(MAGIC) + DIGEST_BYTES:
        return None
    message, digest = data[len(MAGIC) : -DIGEST_BYTES], data[-DIGEST_BYTES:]
    if hashlib.md5(message, usedforsecurity=False).digest() != digest:
        return None
    try:
        return _records(message) or None
    except (_Malformed, UnicodeDecodeError):
        return None


def _records(message: bytes) -> list[UserRecord]:
    keys: list[str] = []
    packed: list[bytes] = []
    for number, value in _fields(message):
        if number == 1 and isinstance(value, bytes):
            keys.append(value.decode())
        elif number == 3 and isinstance(value, bytes):
            packed.append(value)
    return [_record(each, keys) for each in packed]


def _record(message: bytes, keys: list[str]) -> UserRecord:
    key_index: int | None = None
    data: bytes | None = None
    for number, value in _fields(message):
        if number == 1 and isinstance(value, int):
            key_index = value
        elif number == 3 and isinstance(value, bytes):
            data = value
    if key_index is None or data is None or key_index >= len(keys):
        raise _Malformed
    return UserRecord(keys[key_index], data)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field number and value (an int, or the bytes of a length-delimited field) of each field, in order."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire_type == BYTES:
            size, at = _varint(message, at)
        elif wire_type in (FIXED64, FIXED32):
            size = 8 if wire_type == FIXED64 else 4
        else:
            raise _Malformed
        if number == 0 or at + size > len(message):
            raise _Malformed
        yield number, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number that starts at `at`, and where the next thing starts."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise _Malformed
