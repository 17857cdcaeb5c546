"""CSV to rows: each record becomes a JSON object of header to cell, a record that is not well formed stays as it is."""

import csv
import json
from collections.abc import Iterator
from typing import NamedTuple

from batch.lines import (
    DEFAULT_LIMITS,
    UTF8,
    Limits,
    Row,
    UnreadableFileError,
    at_any_line_break,
    physical_lines,
    text_row,
)

_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class CsvRecord(NamedTuple):
    """A record: the 1-based physical line where it starts, its bytes with line breaks, its cells; None is broken."""

    line: int
    raw: bytes
    cells: list[str] | None


def csv_rows(chunks: Iterator[bytes], limits: Limits = DEFAULT_LIMITS) -> Iterator[Row]:
    """One row for each record below the header: a JSON object of column to cell text, null for an empty cell.

    A record with more or fewer cells than the header, or with wrong quotes, is a row with its raw text; one that is
    no UTF-8 is a row with its bytes as base64. Blank lines are no records. A file with a header alone gives no rows.
    Raises UnreadableFileError for a file without a header, a header that cannot name columns, and as
    `physical_lines` does.
    """
    records = csv_records(chunks, limits)
    header = next(records, None)
    if header is None:
        raise UnreadableFileError("empty file")
    columns = _columns(header, limits)
    for record in records:
        cells = record.cells
        if cells is None or len(cells) != len(columns):
            yield text_row(record.line, record.raw)
            continue
        payload = _to_json({column: cell or None for column, cell in zip(columns, cells, strict=True)})
        # Bytes that are no UTF-8 were decoded to surrogates: only they cannot be encoded again.
        yield Row(record.line, payload, UTF8) if _is_text(payload) else text_row(record.line, record.raw)


def _columns(header: CsvRecord, limits: Limits) -> list[str]:
    """The column names. Raises UnreadableFileError if they cannot name the cells of the rows below."""
    if len(header.raw) > limits.header_bytes:
        raise UnreadableFileError(f"the header is longer than {limits.header_bytes} bytes", header.line)
    if header.cells is None:
        raise UnreadableFileError("the header has wrong quotes", header.line)
    if b"\0" in header.raw or not all(map(_is_text, header.cells)):
        raise UnreadableFileError("the header is not UTF-8 text", header.line)
    twice = sorted({name for name in header.cells if header.cells.count(name) > 1})
    if twice:
        raise UnreadableFileError(f"the header names a column twice: {', '.join(map(repr, twice))}", header.line)
    return header.cells


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _RecordTooLongError(Exception):
    """A record in quotes goes on beyond the limits: its opening quote is most likely a fault."""


class _RecordLines:
    """Lines for `csv.reader`, which asks for one more as long as a record is open; it keeps those of the open record.

    Each line is scanned at most three times, however hostile the quotes: as part of a record that proves broken, then
    by itself.
    """

    def __init__(self, lines: Iterator[tuple[int, bytes]], limits: Limits) -> None:
        self._lines = lines
        self._limits = limits
        self._again: tuple[int, bytes] | None = None
        self._bytes = 0
        self.taken: list[tuple[int, bytes]] = []
        self.exhausted = False

    def __iter__(self) -> "_RecordLines":
        return self

    def __next__(self) -> str:
        if self._bytes > self._limits.line_bytes or len(self.taken) >= self._limits.record_lines:
            raise _RecordTooLongError
        found, self._again = self._again or next(self._lines, None), None
        if found is None:
            self.exhausted = True
            raise StopIteration
        self.taken.append(found)
        self._bytes += len(found[1])
        return _decoded(found[1])

    def take(self) -> list[tuple[int, bytes]]:
        """The lines of the record that has ended; the next line begins another."""
        taken, self.taken, self._bytes = self.taken, [], 0
        return taken

    def give_back(self, line: tuple[int, bytes]) -> None:
        """Makes `line` the next one."""
        self._again = line


def csv_records(chunks: Iterator[bytes], limits: Limits = DEFAULT_LIMITS) -> Iterator[CsvRecord]:
    """Every record of the bytes, broken ones included; blank lines are left out.

    Quotes follow RFC 4180 strictly (a quote inside a cell without quotes is text). A record whose quotes prove wrong
    only in a later line loses just its first line to the fault: its other lines are taken as a record each, and the
    last one may start a record of several lines again.
    """
    # The module's limit is for the whole process; ours is on lines and records, so that its own never comes first.
    csv.field_size_limit(max(csv.field_size_limit(), limits.line_bytes * 2 + 2))
    lines = _RecordLines(physical_lines(chunks, limits, at_any_line_break), limits)
    reader = csv.reader(lines, strict=True)
    while True:
        try:
            cells = next(reader, None)
            taken = lines.take()
        except UnreadableFileError as fault:
            first = lines.taken[0][0] if lines.taken else fault.line
            raise UnreadableFileError(fault.reason, first) from fault
        except (csv.Error, _RecordTooLongError) as error:
            taken = lines.take()
            if isinstance(error, csv.Error) and not lines.exhausted and len(taken) > 1:
                lines.give_back(taken.pop())
            yield from _line_by_line(taken)
            continue
        if cells is None:
            return
        if cells:
            yield CsvRecord(taken[0][0], b"".join(raw for _, raw in taken), cells)


def _line_by_line(lines: list[tuple[int, bytes]]) -> Iterator[CsvRecord]:
    """Each line as a record of its own, broken where its quotes are open."""
    for number, raw in lines:
        try:
            cells = next(csv.reader([_decoded(raw)], strict=True))
        except csv.Error:
            yield CsvRecord(number, raw, None)
            continue
        if cells:
            yield CsvRecord(number, raw, cells)


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
