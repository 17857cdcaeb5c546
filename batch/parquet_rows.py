"""Parquet to rows: each row becomes a JSON object of column to value, read by row groups in small batches."""

import base64
import json
import math
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from batch.lines import BASE64, UTF8, Row, UnreadableFileError

BATCH_ROWS = 1024
# What Arrow raises for bytes that are no Parquet, or a kind of Parquet that it does not know; OSError is ArrowIOError.
ARROW_FAULTS = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)


def parquet_rows(chunks: Iterator[bytes], allowed: int) -> Iterator[Row]:
    """One row for each row of a Parquet file: decimals as strings, timestamps ISO-8601 with Z (no zone = UTC).

    Floats that JSON has no number for are strings (`nan`), binary values are text. Parquet is read from its end, so
    the chunks are laid down in a temporary file first. Raises UnreadableFileError for bytes that are no Parquet, a
    damaged part, a column named twice, or more than `allowed` unpacked bytes.
    """
    with tempfile.TemporaryFile(prefix="lakehouse-parquet-") as spool:
        for chunk in chunks:
            spool.write(chunk)
        spool.seek(0)
        row = 1
        for batch in _batches(spool, allowed):
            columns = batch.schema.names
            for cells in zip(*(_values(column) for column in batch.columns), strict=True):
                yield _json_row(row, dict(zip(columns, cells, strict=True)))
                row += 1


def _batches(spool: IO[bytes], allowed: int) -> Iterator[pa.RecordBatch]:
    """The rows in batches. Raises UnreadableFileError, numbered with the next row, for whatever Arrow refuses."""
    rows = 0
    try:
        file = pq.ParquetFile(spool)
        names = file.schema_arrow.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UnreadableFileError(f"it names a column twice: {', '.join(map(repr, twice))}")
        if not names:
            raise UnreadableFileError("it has no columns")
        unpacked = 0
        for group in range(file.num_row_groups):
            unpacked += file.metadata.row_group(group).total_byte_size
            if unpacked > allowed:
                raise UnreadableFileError(f"it unpacks to more than {allowed} bytes", rows + 1)
            for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group], use_threads=False):
                yield batch
                rows += batch.num_rows
    except ARROW_FAULTS as error:
        raise UnreadableFileError(f"broken Parquet: {_first_line(error)}", rows + 1) from error


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]


def _json_row(number: int, values: dict[str, Any]) -> Row:
    """The row as JSON text, or its bytes as base64 where a value is no UTF-8 (it was decoded to surrogates)."""
    payload = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        payload.encode()
    except UnicodeEncodeError:
        return Row(number, base64.b64encode(payload.encode("utf-8", "surrogateescape")).decode(), BASE64)
    return Row(number, payload, UTF8)


def _values(column: "pa.Array[Any]") -> list[Any]:
    """The column's values as JSON has them. Arrow's own conversion raises for a few values; here none does."""
    kind = column.type
    if isinstance(kind, pa.DictionaryType):
        return _values(column.cast(kind.value_type))
    if pa.types.is_timestamp(kind):
        return _each(column.cast(pa.int64()).to_pylist(), lambda value: _timestamp(value, kind.unit))
    if pa.types.is_date32(kind):
        return _each(column.cast(pa.int32()).to_pylist(), _date)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        # As bytes, since a writer may have put anything into a text column.
        return _each(column.cast(pa.large_binary()).to_pylist(), _plain)
    if pa.types.is_float32(kind):
        # By way of text: 0.1 stays 0.1 instead of 0.10000000149011612.
        return _each(column.cast(pa.string()).to_pylist(), lambda text: _plain(float(text)))
    try:
        values = column.to_pylist()
    except (*ARROW_FAULTS, KeyError):
        values = [_value_or_fault(column[index]) for index in range(len(column))]
    return _each(values, _plain)


def _each(values: list[Any], convert: Callable[[Any], Any]) -> list[Any]:
    return [None if value is None else convert(value) for value in values]


def _value_or_fault(scalar: "pa.Scalar[Any]") -> Any:
    """The value, or a text that no contract accepts where Python has no such value (a date of the year 12000)."""
    try:
        return scalar.as_py()
    except (*ARROW_FAULTS, KeyError) as error:
        return f"unreadable {scalar.type}: {_first_line(error)}"


_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EPOCH = datetime(1970, 1, 1)


def _timestamp(value: int, unit: str) -> str:
    """ISO-8601 in UTC with as many fraction digits as the value has; beyond the calendar its number and unit."""
    seconds, fraction = divmod(value, _UNITS[unit])
    try:
        whole = (_EPOCH + timedelta(seconds=seconds)).isoformat()
    except OverflowError:
        return f"{value} {unit} since 1970-01-01"
    digits = len(str(_UNITS[unit])) - 1
    return f"{whole}.{fraction:0{digits}d}".rstrip("0") + "Z" if fraction else f"{whole}Z"


def _date(value: int) -> str:
    try:
        return (_EPOCH + timedelta(days=value)).date().isoformat()
    except OverflowError:
        return f"{value} days since 1970-01-01"


def _plain(value: Any) -> Any:
    """A Python value as one that JSON has."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            return format(value, "f")
        case bytes():
            return value.decode("utf-8", "surrogateescape")
        case datetime():
            return (value if value.tzinfo is None else value.astimezone(UTC)).replace(tzinfo=None).isoformat() + "Z"
        case date() | time():
            return value.isoformat()
        case dict():
            return {str(name): _plain(part) for name, part in value.items()}
        case list() | tuple():
            return [_plain(part) for part in value]
        case _:
            return str(value)
