"""What an executor does with the files of a batch: opens each, reads it with bounded memory, gives Arrow batches."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

import pyarrow as pa

from batch.landing_area import LandingArea, LandingFile, spelled
from batch.lines import MEBIBYTE, Row
from batch.readers import read_rows
from lakehouse.contract_model import Contract

# What a task gives back: the envelope, and which file of the batch a row is from.
READ_DDL = (
    "record_id string, payload string, payload_encoding string, arrived_at timestamp, ingested_at timestamp, "
    "partition_key string, ingest_date date, file int"
)
_COLUMNS: dict[str, pa.DataType] = {
    "record_id": pa.string(),
    "payload": pa.string(),
    "payload_encoding": pa.string(),
    "arrived_at": pa.timestamp("us", "UTC"),
    "ingested_at": pa.timestamp("us", "UTC"),
    "partition_key": pa.string(),
    "ingest_date": pa.date32(),
    "file": pa.int32(),
}
READ_SCHEMA = pa.schema(_COLUMNS)
ARROW_ROWS = 10_000
ARROW_BYTES = 4 * MEBIBYTE
FILE_COST = 64 * 1024  # opening a file costs about as much as reading this many bytes
TASK_BYTES = 32 * MEBIBYTE


def in_groups(files: list[LandingFile], cores: int) -> list[list[LandingFile]]:
    """The files of a batch by task: about equal work, no task above 32 MB unless a file is.

    Files of one day stay together, for a task writes one data file for each day that it meets.
    """
    ordered = sorted(files, key=lambda file: (file.arrived_at.date(), file.path))
    work = sum(file.size + FILE_COST for file in ordered)
    most = min(TASK_BYTES, -(-work // max(cores, 1)))
    groups: list[list[LandingFile]] = []
    room = 0
    for file in ordered:
        cost = file.size + FILE_COST
        if not groups or room < cost // 2:
            groups.append([])
            room = most
        groups[-1].append(file)
        room -= cost
    return groups


def read_groups(
    area: LandingArea,
    groups: list[list[LandingFile]],
    now: datetime,
    batches: Iterator[pa.RecordBatch],
    contract: Contract | None = None,
) -> Iterator[pa.RecordBatch]:
    """Runs on an executor: the rows of the groups whose numbers are in `batches`, read as their source's contract says.

    Without a contract any header will do.
    """
    for batch in batches:
        numbers: list[Any] = batch.column(0).to_pylist()
        for number in numbers:
            first = sum(map(len, groups[:number]))
            for index, file in enumerate(groups[number], first):
                yield from _read_file(area, file, index, now, contract)


def read_files(
    area: LandingArea, files: list[LandingFile], now: datetime, contract: Contract | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of some files, one after the other, in this process."""
    for index, file in enumerate(files):
        yield from _read_file(area, file, index, now, contract)


def _read_file(
    area: LandingArea, file: LandingFile, index: int, now: datetime, contract: Contract | None
) -> Iterator[pa.RecordBatch]:
    rows = read_rows(file.record_path, area.chunks(file), file.size, contract=contract)
    while part := _part(rows):
        count = len(part)
        yield pa.record_batch(
            [
                [record_id(file, row) for row in part],
                [row.payload for row in part],
                [row.encoding for row in part],
                [file.arrived_at] * count,
                [now] * count,
                [None] * count,
                [file.arrived_at.date()] * count,
                [index] * count,
            ],
            schema=READ_SCHEMA,
        )


def record_id(file: LandingFile, row: Row) -> str:
    """`<path>#<line>`, or `<path>#<member>#<line>` for a file of an archive that holds several."""
    member = f"{spelled(row.member)}#" if row.member else ""
    return f"{file.record_path}#{member}{row.line}"


def _part(rows: Iterator[Row]) -> list[Row]:
    """The next rows, as many as one Arrow batch may hold."""
    part: list[Row] = []
    size = 0
    for row in islice(rows, ARROW_ROWS):
        part.append(row)
        size += len(row.payload)
        if size >= ARROW_BYTES:
            break
    return part
