"""What every text reader of landing files shares: rows, limits, faults, unpacking and physical lines.

Pure: bytes come in as an iterator, and only a fault that the bytes themselves have is an UnreadableFileError.
"""

import base64
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from lakehouse.rereading import LINE as LINE
from lakehouse.rereading import UNREADABLE as UNREADABLE
from lakehouse.rereading import UTF8 as UTF8

BASE64 = "base64"

MEBIBYTE = 1024 * 1024
GZIP = 31  # zlib's name for a window of 32 KiB inside a gz header and trailer
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What DOS ends a file with, and what some tools fill it up with, beside white space.
PADDING = b"\0\x1a \t\r\n"


class Row(NamedTuple):
    """One record of a file.

    `line` is the 1-based physical line where it starts (Parquet: the 1-based row), `payload` and `encoding` are the
    envelope's: the record as text (`utf8`), its bytes where they are no UTF-8 (`base64`), `{"file", "error"}` for
    what of a file cannot be read (`unreadable`), or a line with the header above it (`line`), which waits for its
    source's dialect (`lakehouse.rereading`). `member` names the file of an archive that holds several.
    """

    line: int
    payload: str
    encoding: str
    member: str = ""


@dataclass(frozen=True)
class Limits:
    """How far a file may go before its rest counts as unreadable; they keep a task's memory and output bounded."""

    line_bytes: int = 16 * MEBIBYTE
    """Longest physical line, and longest CSV record with line breaks in its quotes."""
    record_lines: int = 1000
    """Most physical lines of one CSV record; beyond, its opening quote is taken for a fault of that one line."""
    header_bytes: int = 64 * 1024
    """Longest CSV header: it is repeated in every payload."""
    free_bytes: int = 256 * MEBIBYTE
    """What a file may always expand to, however small it is."""
    expansion: int = 200
    """Beyond `free_bytes`: the most that a file may expand to, as a multiple of its stored size."""
    expanded_bytes: int = 16 * 1024 * MEBIBYTE
    """The most that any file may expand to."""

    def allowed(self, size: int) -> int:
        """The bytes that a file of `size` stored bytes may expand to, unpacked or as payloads."""
        return min(max(self.free_bytes, size * self.expansion), self.expanded_bytes)


DEFAULT_LIMITS = Limits()


class UnreadableFileError(Exception):
    """The rest of a file cannot be read: `reason` says why, `line` is the first line that is lost by it."""

    def __init__(self, reason: str, line: int = 1) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


def unpacked(chunks: Iterator[bytes], allowed: int) -> Iterator[bytes]:
    """The content of a gz file (one or several members), in pieces of at most a megabyte.

    Raises UnreadableFileError for bytes that are no gz, a wrong checksum, an early end, or more than `allowed` bytes.
    """
    total = 0
    member = zlib.decompressobj(wbits=GZIP)
    for chunk in chunks:
        rest = chunk
        while rest:
            if member.eof:
                rest = rest.lstrip(b"\0")  # some tools pad with zeros after the last member
                if not rest:
                    break
                member = zlib.decompressobj(wbits=GZIP)
            try:
                piece = member.decompress(rest, MEBIBYTE)
            except zlib.error as error:
                raise UnreadableFileError(f"broken gz: {error}") from error
            total += len(piece)
            if total > allowed:
                raise UnreadableFileError(f"it unpacks to more than {allowed} bytes")
            if piece:
                yield piece
            rest = member.unconsumed_tail or member.unused_data
    if not member.eof:
        raise UnreadableFileError("broken gz: cut short")


def opened(chunks: Iterator[bytes], enough: Callable[[bytes], bool]) -> tuple[bytes, Iterator[bytes]]:
    """How the bytes begin, as much of them as is `enough`, and all of them again.

    A fault of the bytes behind the beginning is raised behind it, so that what came before is read.
    """
    head = b""
    fault: UnreadableFileError | None = None
    try:
        for chunk in chunks:
            head += chunk
            if enough(head):
                break
    except UnreadableFileError as error:
        fault = error
    return head, _continued(head, chunks, fault)


def _continued(head: bytes, chunks: Iterator[bytes], fault: UnreadableFileError | None) -> Iterator[bytes]:
    if head:
        yield head
    if fault is not None:
        raise fault
    yield from chunks


def physical_lines(
    chunks: Iterator[bytes], limits: Limits, split: Callable[[bytes], list[bytes]]
) -> Iterator[tuple[int, bytes]]:
    """(1-based number, line with its line break) of every physical line; the last one may have no line break.

    `split` cuts bytes into lines. Raises UnreadableFileError, numbered with the first line that it does not give, for
    a line beyond the limit and for a fault in `chunks`.
    """
    number = 1
    pending = b""
    try:
        for chunk in chunks:
            lines = split(pending + chunk)
            # The last line may go on in the next chunk, and a carriage return may be half of a line break.
            pending = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
            for line in lines:
                if len(line) > limits.line_bytes:
                    raise UnreadableFileError(f"line {number} is longer than {limits.line_bytes} bytes")
                yield number, line
                number += 1
            if len(pending) > limits.line_bytes:
                raise UnreadableFileError(f"line {number} is longer than {limits.line_bytes} bytes")
    except UnreadableFileError as fault:
        raise UnreadableFileError(fault.reason, number) from fault
    if pending:
        yield number, pending


def at_line_feeds(data: bytes) -> list[bytes]:
    """Lines as JSON lines has them: a carriage return inside is white space of the JSON."""
    return re.findall(rb"[^\n]*\n|[^\n]+", data)


def at_any_line_break(data: bytes) -> list[bytes]:
    """Lines as CSV has them: CRLF, LF and the CR of old spreadsheets."""
    return data.splitlines(keepends=True)


def text_row(number: int, raw: bytes) -> Row:
    """The raw record without its last line break, as text if it is UTF-8."""
    raw = raw.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return Row(number, raw.decode(), UTF8)
    except UnicodeDecodeError:
        return Row(number, base64.b64encode(raw).decode(), BASE64)
