"""File bytes to the payloads of bronze: CSV, JSON lines and Parquet, the text ones also as .gz.

Landing files are hostile until parsing has judged them, so nothing in here raises for what a file holds: every
physical record gives exactly one row, and what cannot be read gives one row that says why. Only text and lines are
looked at here; fields, types and rules are the contract's business. Pure: bytes come in as an iterator.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

from batch.csv_rows import csv_rows
from batch.lines import (
    DEFAULT_LIMITS,
    UNREADABLE,
    Limits,
    Row,
    UnreadableFileError,
    at_line_feeds,
    physical_lines,
    text_row,
    unpacked,
    without_mark,
)
from batch.parquet_rows import parquet_rows


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
        return parquet_rows(chunks, limits.allowed(size))
    if found.packed:
        chunks = unpacked(chunks, limits.allowed(size))
    chunks = without_mark(chunks)
    return csv_rows(chunks, limits) if found.kind == "csv" else json_rows(chunks, limits)


def json_rows(chunks: Iterator[bytes], limits: Limits = DEFAULT_LIMITS) -> Iterator[Row]:
    """One row for each line of a JSON lines file: the line as it is. Lines of nothing but white space are no records.

    Raises UnreadableFileError for a file without any record and as `physical_lines` does.
    """
    number = 0
    rows = 0
    for number, line in physical_lines(chunks, limits, at_line_feeds):
        if line.isspace():
            continue
        rows += 1
        yield text_row(number, line)
    if not rows:
        raise UnreadableFileError("empty file", number + 1)
