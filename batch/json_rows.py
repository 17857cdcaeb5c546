"""JSON to rows: each line of JSON lines as it is, or each value of a file that holds arrays, or values over many lines.

JSON lines are what a file counts as whose first line is one whole object, or begins as neither object nor array. Any
other file is taken value by value, those of an array one by one.
"""

import json
from collections.abc import Iterator

from batch.json_values import Brackets, JsonValues
from batch.lines import (
    DEFAULT_LIMITS,
    MEBIBYTE,
    PADDING,
    UTF8,
    Limits,
    Row,
    UnreadableFileError,
    at_line_feeds,
    opened,
    physical_lines,
    text_row,
)
from lakehouse.contract_model import Contract
from lakehouse.json_text import decoded, encoded
from lakehouse.path_fields import path_fields
from lakehouse.rereading import objects_in_dialect


def json_rows(
    chunks: Iterator[bytes], limits: Limits = DEFAULT_LIMITS, contract: Contract | None = None, path: str = ""
) -> Iterator[Row]:
    """One row for each line of a JSON lines file: the line as it is. Lines of nothing but white space are no records.

    In any other file one for each value, numbered from 1 instead of by lines. Fields that the dialect names otherwise,
    or that only the path has, make a row's text another; every number keeps its digits.
    Raises UnreadableFileError for a file without any record and as `physical_lines` does.
    """
    first, chunks = _first_line(chunks)
    if _is_json_lines(first):
        rows = _lines(chunks, limits, None if contract is None else PADDING)
    else:
        rows = _values(chunks, limits)
    return rows if contract is None else _in_dialect(rows, contract, path)


def _first_line(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first line with anything in it, or a megabyte of it, and all the bytes again."""
    head, whole = opened(chunks, lambda head: b"\n" in head.lstrip(PADDING) or len(head) >= MEBIBYTE)
    return head.lstrip(PADDING).partition(b"\n")[0], whole


def _is_json_lines(first: bytes) -> bool:
    text = first.strip(PADDING)
    if not text.startswith((b"{", b"[", b"\x1e")):
        return True
    try:
        return isinstance(json.loads(text), dict)
    except RecursionError:
        return True
    except ValueError:
        # An object that is broken in itself is a line; one that goes on, or that has another behind it, is not.
        brackets = Brackets()
        end = brackets.end(text)
        return text.startswith(b"{") and end is not None and not text[end:].strip(PADDING) and not brackets.broken


def _lines(chunks: Iterator[bytes], limits: Limits, padding: bytes | None) -> Iterator[Row]:
    number = 0
    rows = 0
    for number, line in physical_lines(chunks, limits, at_line_feeds):
        if not line.strip(padding):
            continue
        rows += 1
        yield text_row(number, line)
    if not rows:
        raise UnreadableFileError("empty file", number + 1)


def _values(chunks: Iterator[bytes], limits: Limits) -> Iterator[Row]:
    values = JsonValues(limits.line_bytes)
    number = 0
    fault: UnreadableFileError | None = None
    try:
        for chunk in chunks:
            for value in values.feed(chunk):
                number += 1
                yield text_row(number, value)
    except UnreadableFileError as error:
        fault = error
    for value in values.close():
        number += 1
        yield text_row(number, value)
    if fault is not None:
        raise UnreadableFileError(fault.reason, number + 1) from fault
    if not number:
        raise UnreadableFileError("it holds no record")


def _in_dialect(rows: Iterator[Row], contract: Contract, path: str) -> Iterator[Row]:
    beside = path_fields(path, contract)
    if contract.dialect.records is not None:
        rows = _unwrapped(rows, contract.dialect.records)
    in_dialect = objects_in_dialect(contract, beside)
    for row in rows:
        payload = in_dialect(row.payload) if row.encoding == UTF8 else row.payload
        yield row if payload is row.payload else row._replace(payload=payload)


def _unwrapped(rows: Iterator[Row], field: str) -> Iterator[Row]:
    """The objects in the arrays that the rows' field holds, numbered from 1; a row without such an array as it is."""
    number = 0
    for row in rows:
        inner = dict(decoded(row.payload) or ()).get(field) if row.encoding == UTF8 else None
        payloads = [encoded(each) for each in inner] if isinstance(inner, list) and inner else [row.payload]
        for payload in payloads:
            number += 1
            yield Row(number, payload, row.encoding)
