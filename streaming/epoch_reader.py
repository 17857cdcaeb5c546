"""The records of an epoch, read in the driver: a thread a shard, under the same ledger as the tasks of the source.

A task in a Python worker costs Spark 0.2 s a batch, whatever it reads.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from runtime.storage import Storage
from streaming.fetch import ShardRange, ShardReader
from streaming.kinesis_client import StreamClient
from streaming.kinesis_options import KinesisOptions
from streaming.kinesis_rows import SCHEMA
from streaming.ledger import Ledger, read_once
from streaming.shards import Offset

# Shards read at once.
CONNECTIONS = 16


@dataclass
class _Retention:
    """How long the stream keeps records, and when that was asked."""

    seconds: float
    asked_at: float


class EpochReader:
    """Reads the shards of one stream as `KinesisStreamReader.read` does, all of an epoch at once."""

    def __init__(self, options: KinesisOptions) -> None:
        self._options = options
        self._ledger = Ledger(Storage.open(options.ledger))
        self._retention: _Retention | None = None

    def read(self, offset: Offset) -> pa.Table:
        """The records of the offset's epoch, with the columns of the Kinesis source; the same at every attempt."""
        retention = self._retention_seconds()
        ranges = [ShardRange(each, offset.epoch, offset.shards[each], retention) for each in offset.reads]
        if not ranges:
            return SCHEMA.empty_table()
        with ThreadPoolExecutor(min(CONNECTIONS, len(ranges)), thread_name_prefix="kinesis") as pool:
            found = list(pool.map(self._read, ranges))
        return pa.Table.from_batches([batch for batches in found for batch in batches], SCHEMA)

    def _read(self, part: ShardRange) -> list[pa.RecordBatch]:
        reading = read_once(
            self._ledger,
            part.epoch,
            part.shard_id,
            part.start,
            read_to_limit=ShardReader(self._client(), self._options, part).read_to_limit,
            read_exactly=lambda entry: ShardReader(self._client(), self._options, part).read_exactly(entry),
        )
        return list(reading.batches)

    def _retention_seconds(self) -> float:
        now = time.monotonic()
        if self._retention is None or now - self._retention.asked_at > self._options.shard_refresh_seconds:
            self._retention = _Retention(self._client().summary().retention_seconds, now)
        return self._retention.seconds

    def _client(self) -> StreamClient:
        options = self._options
        return StreamClient(options.stream, options.region, options.endpoint, options.max_retry_seconds)
