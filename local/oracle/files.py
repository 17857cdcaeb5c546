"""The records of a landing file: CSV, JSON or Parquet, each also compressed with gzip."""

import csv
import io
import json
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

from local.oracle.deliveries import DeliveredFile
from local.oracle.lexical import Text, text_of
from local.oracle.rules import SOURCES

MARK = b"\xef\xbb\xbf"
DELIMITERS = {".csv": ",", ".txt": ",", ".tsv": "\t"}
JSON = (".json", ".jsonl", ".ndjson")
TITLE_LINES = 20
# What a line breaks that waits for a header that its contract knows.
WAITING = "malformed_json"


@dataclass(frozen=True)
class FileRecord:
    """One record of a file: a payload, or fields as text, or the `rule` that reading it breaks."""

    number: int
    payload: str | None = None
    fields: dict[str, Text] | None = None
    rule: str | None = None


@dataclass(frozen=True)
class _Cells:
    """A record of a text file: the line where it starts, its text and its cells."""

    number: int
    raw: str
    cells: list[str]


def records_of(file: DeliveredFile) -> Iterator[FileRecord]:
    """The records up to the end or to the fault that stops the reading; the fault itself is the last one then.

    Raises ValueError when the name's ending tells no format.
    """
    path = file.path.removesuffix(".gz")
    ending = "." + path.rpartition(".")[2]
    if not file.data:
        yield FileRecord(1, rule="unreadable_file")
        return
    if ending == ".parquet":
        yield from _parquet(file.data)
        return
    data, whole = _decompressed(file.data) if file.path.endswith(".gz") else (file.data, True)
    lines = _lines(data)
    if not whole and lines and not lines[-1].endswith("\n"):
        lines.pop()
    if ending in DELIMITERS:
        yield from _csv(lines, DELIMITERS[ending], file.source)
    elif ending in JSON:
        yield from _json(lines)
    else:
        raise ValueError(f"{file.path}: the name ends with none of {', '.join([*DELIMITERS, *JSON])} or .parquet")
    if not whole:
        yield FileRecord(len(lines) + 1, rule="unreadable_file")


def _lines(data: bytes) -> list[str]:
    """The lines of the text, which may be UTF-16 with a byte order mark, or have zeros and Ctrl-Z at its end."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        data = data.decode("utf-16").encode()
    while data.startswith(MARK):
        data = data.removeprefix(MARK)
    lines = data.rstrip(b"\0\x1a").splitlines(keepends=True)
    return [line.decode(errors="surrogateescape") for line in lines]


def _decompressed(data: bytes) -> tuple[bytes, bool]:
    """What can be decompressed, and whether that is all."""
    stream = zlib.decompressobj(wbits=31)
    try:
        plain = stream.decompress(data)
    except zlib.error:
        return b"", False
    return plain, stream.eof


def _csv(lines: list[str], delimiter: str, source: str) -> Iterator[FileRecord]:
    skipped = 0
    first = next((place for place, line in enumerate(lines) if line.strip()), 0)
    if lines and lines[first].strip().strip('"').lower().startswith("sep="):
        delimiter, skipped = lines[first].strip().strip('"')[-1], first + 1
    records = list(_records(lines, delimiter, skipped))
    if not records:
        return
    fields = {field.name: field.required for field in SOURCES[source].fields}
    place = next((place for place, each in enumerate(records[: TITLE_LINES + 1]) if _names_all(each, fields)), 0)
    header = [_name(cell, fields) for cell in records[place].cells]
    for title in records[:place]:
        yield FileRecord(title.number, rule=WAITING)
    if not set(header) & set(fields) or len({each for each in header if each}) < len([each for each in header if each]):
        yield FileRecord(records[place].number, rule="unreadable_file")
        yield from (FileRecord(each.number, rule=WAITING) for each in records[place + 1 :])
        return
    width = max(number for number, name in enumerate(header, 1) if name)
    blanks = all(cell.startswith(" ") for cell in records[place].cells[1:]) and len(header) > 1
    for each in records[place + 1 :]:
        cells = [cell.removeprefix(" ") for cell in each.cells] if blanks else each.cells
        if each.cells == records[place].cells:
            yield FileRecord(each.number, rule=WAITING)
        elif len(cells) >= width and not any(cells[len(header) :]) and not _escaped(each.raw):
            named = {name: cell or None for name, cell in zip(header, cells, strict=False) if name}
            yield FileRecord(each.number, fields=dict(named))
        else:
            yield _raw(each.number, each.raw)


def _records(lines: list[str], delimiter: str, skipped: int) -> Iterator[_Cells]:
    reader = csv.reader((line.removeprefix("\ufeff") for line in lines[skipped:]), delimiter=delimiter)
    start = 1
    for cells in reader:
        if cells:
            yield _Cells(start + skipped, "".join(lines[skipped:][start - 1 : reader.line_num]), cells)
        start = reader.line_num + 1


def _name(cell: str, fields: dict[str, bool]) -> str:
    """The field that a header's cell means, whatever its case; another name as it is, empty for none."""
    return next((name for name in fields if name.casefold() == cell.strip().casefold()), cell if cell.strip() else "")


def _names_all(record: _Cells, fields: dict[str, bool]) -> bool:
    return {name for name, required in fields.items() if required} <= {_name(cell, fields) for cell in record.cells}


def _json(lines: Sequence[str]) -> Iterator[FileRecord]:
    """The lines; of a file that is an array its values, numbered from 1."""
    text = "".join(lines)
    values = _array(text) if text.lstrip().startswith("[") else None
    if values is None:
        yield from (_raw(number, line) for number, line in enumerate(lines, 1) if line.strip())
    else:
        yield from (_raw(number, value) for number, value in enumerate(values, 1))


def _array(text: str) -> list[str] | None:
    """The text of each value of the array; None if it is none."""
    decoder = json.JSONDecoder()
    place = text.index("[") + 1
    values: list[str] = []
    while (place := len(text) - len(text[place:].lstrip(" \t\r\n,"))) < len(text) and text[place] != "]":
        try:
            _, end = decoder.raw_decode(text, place)
        except ValueError:
            return None
        values.append(text[place:end])
        place = end
    return values


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
        return None if math.isnan(value) else json.dumps(value)
    return text_of(value)
