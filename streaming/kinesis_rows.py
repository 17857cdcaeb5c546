"""Kinesis records as rows in Arrow: the columns of the source, aggregates taken apart."""

from collections.abc import Sequence

import pyarrow as pa

from streaming.aggregation import MAGIC, user_records
from streaming.kinesis_client import Record

TYPES: dict[str, pa.DataType] = {
    "stream": pa.string(),
    "shard_id": pa.string(),
    "sequence_number": pa.string(),
    "sub_sequence_number": pa.int64(),
    "partition_key": pa.string(),
    "arrived_at": pa.timestamp("us", tz="UTC"),
    "data": pa.binary(),
}
SCHEMA = pa.schema(TYPES)


def record_batch(stream: str, shard_id: str, records: Sequence[Record]) -> pa.RecordBatch:
    """The records as rows; an aggregate gives a row for each record inside it, numbered from 0."""
    data = [each["Data"] for each in records]
    keys = [each["PartitionKey"] for each in records]
    sequences = [each["SequenceNumber"] for each in records]
    arrived = [round(each["ApproximateArrivalTimestamp"] * 1_000_000) for each in records]
    inside: list[int | None] = [None] * len(records)
    if any(each.startswith(MAGIC) for each in data):
        rows = [row for record in records for row in _rows(record)]
        sequences, inside, keys, arrived, data = (list(column) for column in zip(*rows, strict=True))
    return pa.RecordBatch.from_arrays(
        [
            pa.repeat(pa.scalar(stream, pa.string()), len(data)),
            pa.repeat(pa.scalar(shard_id, pa.string()), len(data)),
            pa.array(sequences, pa.string()),
            pa.array(inside, pa.int64()),
            pa.array(keys, pa.string()),
            pa.array(arrived, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
            pa.array(data, pa.binary()),
        ],
        schema=SCHEMA,
    )


def _rows(record: Record) -> list[tuple[str, int | None, str, int, bytes]]:
    arrived = round(record["ApproximateArrivalTimestamp"] * 1_000_000)
    packed = user_records(record["Data"])
    if packed is None:
        return [(record["SequenceNumber"], None, record["PartitionKey"], arrived, record["Data"])]
    return [
        (record["SequenceNumber"], number, each.partition_key, arrived, each.data) for number, each in enumerate(packed)
    ]
