"""Bytes with delimiters to records: which physical lines belong together, and their cells; no record is ever lost."""

import csv
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from batch.lines import BYTE_ORDER_MARK, DEFAULT_LIMITS, Limits, UnreadableFileError
from lakehouse.delimited import Form

COMMAS = Form()


class CsvRecord(NamedTuple):
    """A record: the 1-based physical line where it starts, its bytes with line breaks, its cells; None is broken."""

    line: int
    raw: bytes
    cells: list[str] | None


class NumberedLines(Iterator[tuple[int, bytes]]):
    """Physical lines with their numbers, of which the next one can be looked at."""

    def __init__(self, lines: Iterator[tuple[int, bytes]]) -> None:
        self._lines = lines

    def __next__(self) -> tuple[int, bytes]:
        return next(self._lines)

    def first(self) -> tuple[int, bytes] | None:
        """The first line with anything in it, left where it is."""
        blank: list[tuple[int, bytes]] = []
        for number, line in self._lines:
            blank.append((number, line))
            if line.strip():
                self._lines = chain(blank, self._lines)
                return number, line
        self._lines = iter(blank)
        return None


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
        # Files that were put together bring each its own mark.
        line = found[1] if self.taken else found[1].removeprefix(BYTE_ORDER_MARK)
        self.taken.append(found)
        self._bytes += len(found[1])
        return as_text(line)

    def take(self) -> list[tuple[int, bytes]]:
        """The lines of the record that has ended; the next line begins another."""
        taken, self.taken, self._bytes = self.taken, [], 0
        return taken

    def give_back(self, line: tuple[int, bytes]) -> None:
        """Makes `line` the next one."""
        self._again = line


def csv_records(
    numbered: Iterator[tuple[int, bytes]], limits: Limits = DEFAULT_LIMITS, form: Form = COMMAS
) -> Iterator[CsvRecord]:
    """Every record of the physical lines, broken ones included; blank lines are left out.

    Quotes follow RFC 4180 strictly (a quote inside a cell without quotes is text). A record whose quotes prove wrong
    only in a later line loses just its first line to the fault: its other lines are taken as a record each, and the
    last one may start a record of several lines again.
    """
    # The module's limit is for the whole process; ours is on lines and records, so that its own never comes first.
    csv.field_size_limit(max(csv.field_size_limit(), limits.line_bytes * 2 + 2))
    lines = _RecordLines(numbered, limits)
    reader = form.reader(lines)
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
            yield from _line_by_line(taken, form)
            continue
        if cells is None:
            return
        if cells:
            yield CsvRecord(taken[0][0], b"".join(raw for _, raw in taken), cells)


def _line_by_line(lines: list[tuple[int, bytes]], form: Form) -> Iterator[CsvRecord]:
    """Each line as a record of its own, broken where its quotes are open."""
    for number, raw in lines:
        try:
            cells = next(form.reader([as_text(raw.removeprefix(BYTE_ORDER_MARK))]), [])
        except csv.Error:
            yield CsvRecord(number, raw, None)
            continue
        if cells:
            yield CsvRecord(number, raw, cells)


def as_text(raw: bytes) -> str:
    """The text of UTF-8; bytes that are none become lone surrogates."""
    return raw.decode("utf-8", "surrogateescape")
