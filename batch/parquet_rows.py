"""Parquet to rows: each row becomes a JSON object of column to value, read by row groups in small batches."""

import base64
import json
import tempfile
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from batch.lines import BASE64, UTF8, Row, UnreadableFileError
from batch.parquet_values import ARROW_FAULTS, exact_int96, first_line, values_of
from lakehouse.contract_model import Contract
from lakehouse.delimited import field_names
from lakehouse.field_values import Number, conversion
from lakehouse.json_text import encoded
from lakehouse.path_fields import path_fields
from lakehouse.rereading import beside_record

BATCH_ROWS = 1024


def parquet_rows(
    chunks: Iterator[bytes], allowed: int, contract: Contract | None = None, path: str = ""
) -> Iterator[Row]:
    """One row for each row of a Parquet file: decimals as strings, timestamps ISO-8601 with Z (no zone = UTC).

    A float that is no number is null, an infinite one text; binary values are text. With a contract the names are its
    fields', by the header rules of its dialect, and so are the values of texts. Parquet is read from its end, so the
    chunks are laid down in a temporary file first. Raises UnreadableFileError for bytes that are no Parquet, a
    damaged part, a column named twice, or more than `allowed` unpacked bytes.
    """
    with tempfile.TemporaryFile(prefix="lakehouse-parquet-") as spool:
        for chunk in chunks:
            spool.write(chunk)
        spool.seek(0)
        row = 1
        beside = {} if contract is None else path_fields(path, contract)
        columns = {} if contract is None else {column.name: column for column in contract.columns}
        convert = None if contract is None else conversion(contract)
        zone = None if contract is None else contract.dialect.zone
        for batch in _batches(spool, allowed):
            names = field_names(batch.schema.names, contract)
            cells = [values_of(batch.column(place), columns.get(name), zone) for place, name in enumerate(names)]
            for values in zip(*cells, strict=True):
                fields: dict[str, Any] = dict(zip(names, values, strict=True))
                if convert is not None:
                    convert(fields)
                yield _json_row(row, beside_record(fields, beside))
                row += 1


def _batches(spool: IO[bytes], allowed: int) -> Iterator[pa.RecordBatch]:
    """The rows in batches. Raises UnreadableFileError, numbered with the next row, for whatever Arrow refuses."""
    rows = 0
    try:
        # In microseconds an INT96 of any year has a value; in nanoseconds one beyond 2262 would be another time.
        file = pq.ParquetFile(spool, coerce_int96_timestamp_unit="us")
        wide = [column.name for column in map(file.schema.column, range(len(file.schema))) if _is_int96(column)]
        exact = pq.ParquetFile(spool, coerce_int96_timestamp_unit="ns") if wide else None
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
            batches = file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group], use_threads=False)
            if exact is not None:
                nanoseconds = exact.iter_batches(BATCH_ROWS, row_groups=[group], columns=wide, use_threads=False)
                batches = (exact_int96(*pair) for pair in zip(batches, nanoseconds, strict=True))
            for batch in batches:
                yield batch
                rows += batch.num_rows
    except ARROW_FAULTS as error:
        raise UnreadableFileError(f"broken Parquet: {first_line(error)}", rows + 1) from error


def _is_int96(column: pq.ColumnSchema) -> bool:
    return column.physical_type == "INT96" and column.path == column.name


def _json_row(number: int, values: dict[str, Any]) -> Row:
    """The row as JSON text, or its bytes as base64 where a value is no UTF-8 (it was decoded to surrogates)."""
    if any(isinstance(value, Number) for value in values.values()):
        payload = encoded(values)
    else:
        payload = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        payload.encode()
    except UnicodeEncodeError:
        return Row(number, base64.b64encode(payload.encode("utf-8", "surrogateescape")).decode(), BASE64)
    return Row(number, payload, UTF8)
