"""File bytes to the payloads of bronze: CSV, JSON and Parquet, the text ones also packed as .gz, .bz2 or .zip.

Landing files are hostile until parsing has judged them, so nothing in here raises for what a file holds: every
physical record gives exactly one row, and what cannot be read gives one row that says why. Only text and lines are
looked at here, and names of columns; types and rules are for parsing. Pure: bytes come in as an iterator.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

from batch.archives import bunzipped, members
from batch.csv_rows import csv_rows
from batch.encodings import as_utf8
from batch.json_rows import json_rows
from batch.lines import DEFAULT_LIMITS, UNREADABLE, Limits, Row, UnreadableFileError, opened, unpacked
from batch.parquet_rows import parquet_rows
from lakehouse.contract_model import Contract
from lakehouse.dialect import PLAIN

GZ_MARK = b"\x1f\x8b"


class FileFormat(NamedTuple):
    """What a file's name says of its bytes.

    `kind` is csv, json or parquet, and None if the name does not say; `packing` is gz, bz2, zip or none.
    """

    kind: str | None
    packing: str = ""
    delimiter: str | None = None


_KINDS = {
    ".csv": FileFormat("csv"),
    ".tsv": FileFormat("csv", delimiter="\t"),
    ".txt": FileFormat("csv"),
    ".json": FileFormat("json"),
    ".jsonl": FileFormat("json"),
    ".ndjson": FileFormat("json"),
    ".parquet": FileFormat("parquet"),
}
_PACKINGS = ("gz", "bz2", "zip")
SUFFIXES = ".csv, .tsv, .txt, .json, .jsonl, .ndjson (each also .gz, .bz2 or .zip) or .parquet"


def file_format(path: str) -> FileFormat | None:
    """The format that the name's suffix stands for, in any case (`A.CSV.GZ`); None if it stands for none."""
    name = path.rpartition("/")[2].lower()
    packing = next((each for each in _PACKINGS if name.endswith(f".{each}")), "")
    name = name.removesuffix(f".{packing}") if packing else name
    stem, dot, suffix = name.rpartition(".")
    kind = _KINDS.get(dot + suffix) if stem else None
    if packing == "zip" and name:
        return (kind or FileFormat(None))._replace(packing=packing)
    if kind is None or (packing and kind.kind == "parquet"):
        return None
    return kind._replace(packing=packing)


def read_rows(
    path: str,
    chunks: Iterator[bytes],
    size: int,
    limits: Limits = DEFAULT_LIMITS,
    contract: Contract | None = None,
) -> Iterator[Row]:
    """Every record of the file at `path`, whose bytes are `chunks` and `size` many, in file order.

    With the source's `contract` names of columns are held against its fields, and its dialect is the file's. Nothing
    that the bytes hold raises: a fault ends the rows with one `unreadable` row. What iterating `chunks` raises (the
    network, a changed file) goes through, except UnreadableFileError, which is such a fault.
    """
    payload_bytes = 0
    member = ""
    try:
        for row in _rows(path, chunks, size, limits, contract):
            payload_bytes += len(row.payload)
            if payload_bytes > limits.allowed(size):
                raise UnreadableFileError(f"its rows take more than {limits.allowed(size)} bytes", row.line)
            member = row.member
            yield row
    except UnreadableFileError as fault:
        yield unreadable_row(path, fault)._replace(member=member)


def unreadable_row(path: str, fault: UnreadableFileError) -> Row:
    """The one row that stands for the part of a file that cannot be read."""
    # A name that is no UTF-8 keeps its bytes as escapes, which every JSON parser and Spark can store.
    return Row(fault.line, json.dumps({"file": path, "error": fault.reason}), UNREADABLE)


def _rows(path: str, chunks: Iterator[bytes], size: int, limits: Limits, contract: Contract | None) -> Iterator[Row]:
    dialect = PLAIN if contract is None else contract.dialect
    found = file_format(path)
    if found is None and dialect.format is not None:
        found = FileFormat(dialect.format, "gz" if path.lower().endswith(".gz") else "")
    if found is None:
        raise UnreadableFileError(f"the suffix is not one of {SUFFIXES}{_declare_format(path, contract)}")
    if size == 0:
        raise UnreadableFileError("empty file")
    if found.packing == "zip":
        return _archived_rows(path, chunks, size, limits, contract)
    return _plain_rows(path, chunks, found, limits.allowed(size), limits, contract)


def _declare_format(path: str, contract: Contract | None) -> str:
    """What to do about a file whose name has no suffix at all, as a stream delivery writes them."""
    if contract is None or "." in path.rpartition("/")[2]:
        return ""
    return f": declare `format` in the dialect of {contract.name}, if all its files are of one kind"


def _archived_rows(
    path: str, chunks: Iterator[bytes], size: int, limits: Limits, contract: Contract | None
) -> Iterator[Row]:
    """The rows of each file of a zip archive; those of an only one are numbered as if it had come by itself."""
    dialect = PLAIN if contract is None else contract.dialect
    allowed = limits.allowed(size)
    for member in members(chunks, dialect.members, allowed):
        name = "" if member.alone else member.name
        found = file_format(member.name) or (FileFormat(dialect.format) if dialect.format else None)
        try:
            if found is None or found.kind is None or found.packing == "zip":
                raise UnreadableFileError(f"{member.name}: the suffix is not one of {SUFFIXES}")
            if member.size == 0:
                raise UnreadableFileError(f"{member.name}: empty file")
            for row in _plain_rows(path, member.chunks(), found, allowed, limits, contract):
                yield row._replace(member=name)
        except UnreadableFileError as fault:
            yield unreadable_row(path, fault)._replace(member=name)


def _plain_rows(
    path: str, chunks: Iterator[bytes], found: FileFormat, allowed: int, limits: Limits, contract: Contract | None
) -> Iterator[Row]:
    if found.kind == "parquet":
        return parquet_rows(chunks, allowed, contract, path)
    if found.packing == "bz2":
        chunks = bunzipped(chunks, allowed)
    elif found.packing == "gz":
        chunks = unpacked(chunks, allowed)
    else:
        chunks = _without_unsaid_gz(chunks, allowed)
    text = as_utf8(chunks, None if contract is None else contract.dialect.encoding)
    if found.kind == "json":
        return json_rows(text, limits, contract, path)
    return csv_rows(text, limits, contract, path, found.delimiter)


def _without_unsaid_gz(chunks: Iterator[bytes], allowed: int) -> Iterator[bytes]:
    """The text of a file that is packed although its name does not say so; any other as it is."""
    head, whole = opened(chunks, lambda head: len(head) >= len(GZ_MARK))
    return unpacked(whole, allowed) if head.startswith(GZ_MARK) else whole
