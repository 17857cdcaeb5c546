"""Records as the text and the files that source systems write: JSON, CSV, JSON lines, Parquet, each also gzipped."""

import csv
import gzip
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

Cell = str | int | Decimal | datetime | date | None
Record = dict[str, Cell]
TimeStyle = Literal["epoch", "iso", "spaced", "offset"]
FileFormat = Literal["csv", "csv.gz", "jsonl", "jsonl.gz", "parquet"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PARQUET_TYPES = {
    int: pa.int64(),
    str: pa.string(),
    Decimal: pa.decimal128(18, 4),
    datetime: pa.timestamp("us", tz="UTC"),
    date: pa.date32(),
}


@dataclass(frozen=True)
class Line:
    """A record of a file, or the `raw` bytes in its place; `fault` names what is wrong or special about it."""

    record: Record
    raw: bytes | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Rendered:
    """A file's bytes, and the faults of its records by line number (Parquet: row number, from 1)."""

    data: bytes
    faults: dict[int, str]


def epoch_text(time: datetime) -> str:
    """Seconds since 1970, with as many digits after the point as the time has."""
    micros = (time - EPOCH) // timedelta(microseconds=1)
    seconds, rest = divmod(micros, 1_000_000)
    return f"{seconds}.{rest:06d}".rstrip("0").rstrip(".") if rest else str(seconds)


def time_text(time: datetime, style: TimeStyle) -> str:
    """The time as a source writes it; `offset` is a clock an hour ahead of UTC."""
    if style == "epoch":
        return epoch_text(time)
    if style == "offset":
        return (time + timedelta(hours=1)).replace(tzinfo=None).isoformat() + "+01:00"
    text = time.replace(tzinfo=None).isoformat(sep="T" if style == "iso" else " ")
    return text + "Z" if style == "iso" else text


def json_text(record: Record, style: TimeStyle = "epoch") -> str:
    """The record as one JSON object; decimals and epoch seconds are numbers with just their digits."""
    return "{" + ", ".join(f"{json.dumps(name)}: {_json_cell(cell, style)}" for name, cell in record.items()) + "}"


def render(lines: Sequence[Line], columns: Sequence[str], file_format: FileFormat, style: TimeStyle) -> Rendered:
    """A file of the lines, with the columns in the order given. Parquet takes no raw lines."""
    kind = file_format.removesuffix(".gz")
    if kind == "parquet":
        data, first = _parquet(lines, columns), 1
    elif kind == "csv":
        data, first = _csv(lines, columns, style), 2
    else:
        data, first = _json_lines(lines, columns, style), 1
    faults = {number: line.fault for number, line in enumerate(lines, first) if line.fault}
    return Rendered(packed(data) if file_format.endswith(".gz") else data, faults)


def packed(data: bytes) -> bytes:
    """The data gzipped, without a time stamp."""
    return gzip.compress(data, 6, mtime=0)


def csv_line(cells: Sequence[str]) -> bytes:
    """One CSV line with its line feed."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def _json_cell(cell: Cell, style: TimeStyle) -> str:
    if isinstance(cell, datetime):
        text = time_text(cell, style)
        return text if style == "epoch" else json.dumps(text)
    if isinstance(cell, date):
        return json.dumps(cell.isoformat())
    return str(cell) if isinstance(cell, int | Decimal) else json.dumps(cell, ensure_ascii=False)


def _csv_cell(cell: Cell, style: TimeStyle) -> str:
    if isinstance(cell, datetime):
        return time_text(cell, style)
    return "" if cell is None else str(cell)


def _csv(lines: Sequence[Line], columns: Sequence[str], style: TimeStyle) -> bytes:
    parts = [csv_line(columns)]
    for line in lines:
        cells = [_csv_cell(line.record[column], style) for column in columns]
        parts.append(csv_line(cells) if line.raw is None else line.raw + b"\n")
    return b"".join(parts)


def _json_lines(lines: Sequence[Line], columns: Sequence[str], style: TimeStyle) -> bytes:
    texts = (
        json_text({column: line.record[column] for column in columns}, style).encode() if line.raw is None else line.raw
        for line in lines
    )
    return b"".join(text + b"\n" for text in texts)


def _parquet(lines: Sequence[Line], columns: Sequence[str]) -> bytes:
    arrays: dict[str, pa.Array[Any]] = {}
    for column in columns:
        cells = [line.record[column] for line in lines]
        kind = next((type(cell) for cell in cells if cell is not None), str)
        arrays[column] = pa.array(cells, PARQUET_TYPES[kind])
    buffer = io.BytesIO()
    pq.write_table(pa.table(arrays), buffer, compression="zstd")
    return buffer.getvalue()
