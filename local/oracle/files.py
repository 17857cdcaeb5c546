"""The records of a landing file: CSV, JSON lines or Parquet, each also compressed with gzip."""

import csv
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

from local.oracle.deliveries import DeliveredFile
from local.oracle.lexical import Text, text_of

MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class FileRecord:
    """One record of a file: a payload, or fields as text, or the `rule` that reading it breaks."""

    number: int
    payload: str | None = None
    fields: dict[str, Text] | None = None
    rule: str | None = None


def records_of(file: DeliveredFile) -> Iterator[FileRecord]:
    """The records up to the end or to the fault that stops the reading; the fault itself is the last one then.

    Raises ValueError when the name's ending tells no format.
    """
    path = file.path.removesuffix(".gz")
    if not file.data:
        yield FileRecord(1, rule="unreadable_file")
        return
    if path.endswith(".parquet"):
        yield from _parquet(file.data)
        return
    data, whole = _decompressed(file.data) if file.path.endswith(".gz") else (file.data, True)
    lines = [line.decode(errors="surrogateescape") for line in data.removeprefix(MARK).splitlines(keepends=True)]
    if not whole and lines and not lines[-1].endswith("\n"):
        lines.pop()
    if path.endswith(".csv"):
        yield from _csv(lines)
    elif path.endswith(".jsonl"):
        yield from (_raw(number, line) for number, line in enumerate(lines, 1) if line.strip())
    else:
        raise ValueError(f"{file.path}: the name ends with neither .csv, .jsonl nor .parquet (or with .gz behind it)")
    if not whole:
        yield FileRecord(len(lines) + 1, rule="unreadable_file")


def _decompressed(data: bytes) -> tuple[bytes, bool]:
    """What can be decompressed, and whether that is all."""
    stream = zlib.decompressobj(wbits=31)
    try:
        plain = stream.decompress(data)
    except zlib.error:
        return b"", False
    return plain, stream.eof


def _csv(lines: list[str]) -> Iterator[FileRecord]:
    reader = csv.reader(lines)
    header: list[str] | None = None
    start = 1
    for cells in reader:
        raw = "".join(lines[start - 1 : reader.line_num])
        if header is None:
            header = cells
        elif len(cells) == len(header) and not _escaped(raw):
            yield FileRecord(start, fields={name: cell or None for name, cell in zip(header, cells, strict=True)})
        elif cells:
            yield _raw(start, raw)
        start = reader.line_num + 1


def _raw(number: int, line: str) -> FileRecord:
    """The line as its own payload, unless it holds bytes that are no UTF-8."""
    return FileRecord(number, rule="not_utf8") if _escaped(line) else FileRecord(number, payload=line.rstrip("\r\n"))


def _escaped(line: str) -> bool:
    """Whether decoding had to escape bytes: they become lone surrogates, which no UTF-8 holds."""
    return any("\ud800" <= character <= "\udfff" for character in line)


def _parquet(data: bytes) -> Iterator[FileRecord]:
    try:
        rows = pq.read_table(io.BytesIO(data)).to_pylist()
    except pa.ArrowInvalid:
        yield FileRecord(1, rule="unreadable_file")
        return
    for number, row in enumerate(rows, 1):
        yield FileRecord(number, fields={name: _parquet_text(value) for name, value in row.items()})


def _parquet_text(value: object) -> Text:
    if isinstance(value, bool | str) or value is None:
        return text_of(value)
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return json.dumps(value)
    return text_of(value)
