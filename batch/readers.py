"""File bytes to the payloads of bronze: CSV, JSON lines and Parquet, the text ones also as .gz.

Landing files are hostile until parsing has judged them, so nothing in here raises for what a file holds: every
physical record gives exactly one row, and what cannot be read gives one row that says why. Only text and lines are
looked at here; fields, types and rules are the contract's business. Pure: bytes come in as an iterator.
"""

import base64
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

UTF8 = "utf8"
BASE64 = "base64"
UNREADABLE = "unreadable"

MEBIBYTE = 1024 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# The longer marks first: that of UTF-32 starts with that of UTF-16.
FOREIGN_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


class Row(NamedTuple):
    """One record of a file.

    `line` is the 1-based physical line where it starts (Parquet: the 1-based row), `payload` and `encoding` are the
    envelope's: the record as text (`utf8`), its bytes where they are no UTF-8 (`base64`), or `{"file", "error"}` for
    the rest of a file that cannot be read (`unreadable`).
    """

    line: int
    payload: str
    encoding: str


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


class FileFormat(NamedTuple):
    """What a file's name says of its bytes: `kind` is csv, json (one object a line) or parquet."""

    kind: str
    packed: bool


_KINDS = {".csv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}
SUFFIXES = ".csv, .json, .jsonl, .ndjson (each also .gz) or .parquet"


def file_format(path: str) -> FileFormat | None:
    """The format that the name's suffix stands for, in any case (`A.CSV.GZ`); None if it stands for none."""
    name = path.rpartition("/")[2].lower()
    packed = name.endswith(".gz")
    name = name.removesuffix(".gz")
    stem, dot, suffix = name.rpartition(".")
    kind = _KINDS.get(dot + suffix) if stem else None
    if kind is None or (packed and kind == "parquet"):
        return None
    return FileFormat(kind, packed)


def read_rows(path: str, chunks: Iterator[bytes], size: int, limits: Limits = DEFAULT_LIMITS) -> Iterator[Row]:
    """Every record of the file at `path`, whose bytes are `chunks` and `size` many, in file order.

    Nothing that the bytes hold raises: a fault ends the rows with one `unreadable` row. What iterating `chunks`
    raises (the network, a changed file) goes through, except UnreadableFileError, which is such a fault.
    """
    payload_bytes = 0
    try:
        for row in _rows(path, chunks, size, limits):
            payload_bytes += len(row.payload)
            if payload_bytes > limits.allowed(size):
                raise UnreadableFileError(f"its rows take more than {limits.allowed(size)} bytes", row.line)
            yield row
    except UnreadableFileError as fault:
        yield unreadable_row(path, fault)


def unreadable_row(path: str, fault: UnreadableFileError) -> Row:
    """The one row that stands for the part of a file that cannot be read."""
    # A name that is no UTF-8 keeps its bytes as escapes, which every JSON parser and Spark can store.
    return Row(fault.line, json.dumps({"file": path, "error": fault.reason}), UNREADABLE)


def _rows(path: str, chunks: Iterator[bytes], size: int, limits: Limits) -> Iterator[Row]:
    found = file_format(path)
    if found is None:
        raise UnreadableFileError(f"the suffix is not one of {SUFFIXES}")
    if size == 0:
        raise UnreadableFileError("empty file")
    if found.kind == "parquet":
        # Imported here because csv and json files need none of it, and pyarrow's import costs a quarter of a second.
        from batch.parquet_reader import parquet_rows

        return parquet_rows(chunks, limits.allowed(size))
    if found.packed:
        chunks = unpacked(chunks, limits.allowed(size))
    chunks = _without_mark(chunks)
    return csv_rows(chunks, limits) if found.kind == "csv" else json_rows(chunks, limits)


def unpacked(chunks: Iterator[bytes], allowed: int) -> Iterator[bytes]:
    """The content of a gz file (one or several members), in pieces of at most a megabyte.

    Raises UnreadableFileError for bytes that are no gz, a wrong checksum, an early end, or more than `allowed` bytes.
    """
    total = 0
    unpacker = None
    for chunk in chunks:
        rest = chunk
        while rest:
            if unpacker is None:
                rest = rest.lstrip(b"\0") if total else rest  # tapes and some tools pad with zeros after the end
                if not rest:
                    break
                unpacker = zlib.decompressobj(wbits=31)
            try:
                piece = unpacker.decompress(rest, MEBIBYTE)
            except zlib.error as error:
                raise UnreadableFileError(f"broken gz: {error}") from error
            total += len(piece)
            if total > allowed:
                raise UnreadableFileError(f"it unpacks to more than {allowed} bytes")
            if piece:
                yield piece
            rest = unpacker.unconsumed_tail or unpacker.unused_data
            if unpacker.eof:
                unpacker = None
    if unpacker is not None:
        raise UnreadableFileError("broken gz: cut short")


def _without_mark(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks without UTF-8's byte order mark. Raises UnreadableFileError for the mark of another encoding."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= 4:
            break
    for mark, encoding in FOREIGN_MARKS.items():
        if head.startswith(mark):
            raise UnreadableFileError(f"the file is {encoding}: only UTF-8 is read")
    yield head.removeprefix(BYTE_ORDER_MARK)
    yield from chunks


def physical_lines(chunks: Iterator[bytes], limits: Limits, line_break: re.Pattern[bytes]) -> Iterator[tuple[int, bytes]]:
    """(1-based number, line with its line break) of every physical line; the last one may have no line break.

    Raises UnreadableFileError, numbered with the next line, for a line beyond the limit or a fault in `chunks`.
    """
    number = 1
    pending = b""
    try:
        for chunk in chunks:
            pending += chunk
            start = 0
            # A carriage return at the very end may be half of a line break: it waits for the next chunk.
            for found in line_break.finditer(pending, 0, len(pending) - pending.endswith(b"\r")):
                if found.end() - start > limits.line_bytes:
                    break
                yield number, pending[start : found.end()]
                number += 1
                start = found.end()
            pending = pending[start:]
            if len(pending) > limits.line_bytes:
                raise UnreadableFileError(f"line {number} is longer than {limits.line_bytes} bytes")
        for line in _last_lines(pending, line_break):
            yield number, line
            number += 1
    except UnreadableFileError as fault:
        raise UnreadableFileError(fault.reason, number) from fault


LINE_FEED = re.compile(rb"\n")
ANY_LINE_BREAK = re.compile(rb"\r\n|\n|\r")


def json_rows(chunks: Iterator[bytes], limits: Limits = DEFAULT_LIMITS) -> Iterator[Row]:
    """One row for each line of a JSON lines file: the line as it is. Lines of nothing but white space are no records.

    Raises UnreadableFileError for a file without any record and as `physical_lines` does.
    """
    number = 0
    rows = 0
    for number, line in physical_lines(chunks, limits, LINE_FEED):
        if line.isspace():
            continue
        rows += 1
        yield _text_row(number, line)
    if not rows:
        raise UnreadableFileError("empty file", number + 1)


def _text_row(number: int, raw: bytes) -> Row:
    """The raw record without its last line break, as text if it is UTF-8."""
    raw = raw.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return Row(number, raw.decode(), UTF8)
    except UnicodeDecodeError:
        return Row(number, base64.b64encode(raw).decode(), BASE64)
