"""CSV to rows: each record becomes a JSON object of header to cell, a record that is not well formed stays as it is.

Whatever the header is, no line is lost: lines under one that the contract does not know become rows that wait for the
source's dialect.
"""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, islice

from batch.csv_records import CsvRecord, NumberedLines, as_text, csv_records
from batch.lines import (
    BYTE_ORDER_MARK,
    DEFAULT_LIMITS,
    PADDING,
    UNREADABLE,
    UTF8,
    Limits,
    Row,
    UnreadableFileError,
    at_any_line_break,
    physical_lines,
    text_row,
)
from lakehouse.contract_model import Contract
from lakehouse.delimited import Form, Header, HeaderError, fields_of, header_of, names_all_required
from lakehouse.dialect import PLAIN
from lakehouse.field_values import Value, conversion
from lakehouse.json_text import encoded, encoded_texts
from lakehouse.path_fields import path_fields
from lakehouse.rereading import LINE, beside_record, line_payload

# How far down a header is looked for below lines that are none.
TITLE_LINES = 20
_SEPARATOR = re.compile(rb'"?sep=(?P<sign>[^\r\n"])"?[ \t]*[\r\n]*', re.IGNORECASE)


def csv_rows(
    chunks: Iterator[bytes],
    limits: Limits = DEFAULT_LIMITS,
    contract: Contract | None = None,
    path: str = "",
    delimiter: str | None = None,
) -> Iterator[Row]:
    """One row for each record below the header: a JSON object of column to cell text, null for an empty cell.

    A record with more or fewer cells than the header, or with wrong quotes, is a row with its raw text; one that is
    no UTF-8 is a row with its bytes as base64. Blank lines are no records. A file with a header alone gives no rows.
    Lines above the header, or that repeat it, are rows of encoding `line` that say so. Under a header that cannot name
    the cells every line is such a row, and the header itself one of encoding `unreadable`, which tells the fault.
    Raises UnreadableFileError for a file without any record, and as `physical_lines` does.
    """
    lines = NumberedLines(physical_lines(chunks, limits, at_any_line_break))
    form = _form(lines, contract, delimiter)
    records = csv_records(lines, limits, form)
    if contract is not None:
        records = (each for each in records if each.raw.strip(PADDING))
    head = list(islice(records, 1))
    if not head:
        raise UnreadableFileError("empty file")
    if contract is not None and contract.dialect.columns:
        header = header_of(contract.dialect.columns, contract)
        yield from _below(header, chain(head, records), contract, path)
        return
    if contract is not None and not _is_header(head[0], contract):
        more, records = _down_to_header(records, head[0], limits, contract)
        head += more
    titles = 0
    if contract is not None and _is_header(head[-1], contract):
        titles = len(head) - 1
    for title in head[:titles]:
        yield Row(title.line, line_payload(_ended(title.raw), "it stands above the header"), LINE)
    records = chain(head[titles + 1 :], records)
    try:
        header = _header(head[titles], limits, contract)
    except HeaderError as fault:
        yield from _without_header(head[titles], records, str(fault), limits, path)
    else:
        yield from _below(header, records, contract, path)


def _form(lines: NumberedLines, contract: Contract | None, delimiter: str | None) -> Form:
    """How the cells are set apart: as declared, else as a line `sep=;` says, which is taken away, else by the suffix.

    Blanks behind every delimiter of a header are none of its names'.
    """
    dialect = PLAIN if contract is None else contract.dialect
    first = lines.first()
    match = _SEPARATOR.fullmatch(first[1].removeprefix(BYTE_ORDER_MARK)) if first else None
    if match is not None and match["sign"].isascii():
        while next(lines) != first:
            pass
        delimiter, first = match["sign"].decode(), lines.first()
    form = Form.of(dialect, delimiter)
    if first is None or contract is None or dialect.columns:
        return form
    sign = form.delimiter.encode()
    spaced = 0 < first[1].count(sign) == first[1].count(sign + b" ")
    return replace(form, after_space=spaced and _is_known(first[1], form, contract))


def _is_known(line: bytes, form: Form, contract: Contract) -> bool:
    """Whether the line is a header of which the contract has a name."""
    try:
        header_of(next(form.reader([as_text(line)]), []), contract)
    except (csv.Error, HeaderError):
        return False
    return True


def _header(record: CsvRecord, limits: Limits, contract: Contract | None) -> Header:
    """The header that a record is. Raises HeaderError if it cannot name the cells of the records below."""
    if len(record.raw) > limits.header_bytes:
        raise HeaderError(f"the header is longer than {limits.header_bytes} bytes")
    if record.cells is None:
        raise HeaderError("the header has wrong quotes")
    if b"\0" in record.raw or not all(map(_is_text, record.cells)):
        raise HeaderError("the header is not UTF-8 text")
    return header_of(record.cells, contract)


def _down_to_header(
    records: Iterator[CsvRecord], first: CsvRecord, limits: Limits, contract: Contract
) -> tuple[list[CsvRecord], Iterator[CsvRecord]]:
    """The next records down to one that can only be the header, or some where none is, and the records behind them."""
    found: list[CsvRecord] = []
    size = len(first.raw)
    try:
        for record in islice(records, TITLE_LINES):
            found.append(record)
            size += len(record.raw)
            if size > limits.header_bytes or _is_header(record, contract):
                break
    except UnreadableFileError as fault:
        return found, _failing(fault)
    return found, records


def _failing(fault: UnreadableFileError) -> Iterator[CsvRecord]:
    """Raises the fault where the records that were read before it have been taken."""
    raise fault
    yield


def _is_header(record: CsvRecord, contract: Contract) -> bool:
    return record.cells is not None and names_all_required(record.cells, contract)


def _below(header: Header, records: Iterator[CsvRecord], contract: Contract | None, path: str) -> Iterator[Row]:
    beside = {} if contract is None else path_fields(path, contract)
    convert = None if contract is None else conversion(contract)
    encode = encoded if contract is not None and contract.dialect.decimal == "," else encoded_texts
    repeated = list(header.cells) if contract is not None and not contract.dialect.columns else None
    for record in records:
        if record.cells is not None and record.cells == repeated:
            yield Row(record.line, line_payload(_ended(record.raw), "it is the header once more"), LINE)
            continue
        fields = None if record.cells is None else fields_of(record.cells, header)
        if fields is None:
            yield text_row(record.line, record.raw)
        else:
            if convert is not None:
                convert(fields)
            yield _object_row(record, beside_record(fields, beside), encode)


def _object_row(record: CsvRecord, fields: dict[str, Value], encode: Callable[[dict[str, Value]], str]) -> Row:
    payload = encode(fields)
    # Bytes that are no UTF-8 were decoded to surrogates: only they cannot be encoded again.
    return Row(record.line, payload, UTF8) if _is_text(payload) else text_row(record.line, record.raw)


def _without_header(
    first: CsvRecord, records: Iterator[CsvRecord], fault: str, limits: Limits, path: str
) -> Iterator[Row]:
    """Every line of a file whose header cannot be used; a header of bounded length stands beside each line."""
    raw = _ended(first.raw)
    yield Row(first.line, line_payload(raw, fault, file=path), UNREADABLE)
    header = raw if len(first.raw) <= limits.header_bytes else None
    error = f"the header of its file is not understood: see record {path}#{first.line}"
    for record in records:
        yield Row(record.line, line_payload(_ended(record.raw), error, header), LINE)


def _ended(raw: bytes) -> bytes:
    return raw.removesuffix(b"\n").removesuffix(b"\r")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
