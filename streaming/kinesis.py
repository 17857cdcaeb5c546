"""Kinesis as a streaming source of Spark: `spark.readStream.format("kinesis")`, every record exactly once.

How, in one paragraph: an offset (streaming/shards.py) is an epoch and the position at which it starts in each shard.
Each task reads one shard from there, decides where the epoch ends, and writes that to the ledger
(streaming/ledger.py) before it yields a row; every later attempt reads that range again. Planning
(streaming/planner.py) happens in the driver's Python process, reading (streaming/fetch.py) in the executors'.
"""

from collections.abc import Iterator, Mapping
from typing import Any, override

import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition
from pyspark.sql.types import StructType

from runtime.failpoints import failpoint
from runtime.storage import Storage
from streaming.fetch import ShardRange, ShardReader
from streaming.kinesis_client import StreamClient
from streaming.kinesis_options import KinesisOptions
from streaming.ledger import Ledger, read_once
from streaming.planner import Planner
from streaming.shards import Offset

COLUMNS = (
    "stream string, shard_id string, sequence_number string, sub_sequence_number bigint, partition_key string, "
    "arrived_at timestamp, data binary"
)


class KinesisDataSource(DataSource):
    """The records of a Kinesis stream.

    Columns: `stream`, `shard_id`, `sequence_number` (all string), `sub_sequence_number` (bigint: the record's place
    in an aggregate of the Kinesis Producer Library, else null), `partition_key` (string), `arrived_at` (timestamp,
    UTC, Kinesis' own), `data` (binary, as it came). A damaged aggregate comes as the one record it is to Kinesis.

    | option | default | meaning |
    |---|---|---|
    | `stream` | required | name of the stream |
    | `ledger` | required | folder or `s3://bucket/prefix` beside the checkpoint, one for each query |
    | `region` | `AWS_REGION` | AWS region of the stream |
    | `endpoint` | `AWS_ENDPOINT_URL` | address of the service, for an emulator or a VPC endpoint |
    | `initialPosition` | `TRIM_HORIZON` | where a new query starts: also `LATEST`, `AT_TIMESTAMP <ISO time>` (1) |
    | `maxRecordsPerShard` | 100000 | most records that a batch takes from a shard |
    | `maxBytesPerShard` | 33554432 | a batch asks a shard for no more once it has this many bytes (2) |
    | `maxFetchSeconds` | 10 | a batch asks a shard for no more after this time |
    | `minPollSeconds` | 1 | an idle shard is asked at most once in this time |
    | `shardRefreshSeconds` | 60 | how often to look whether the stream was replaced or shards expired |
    | `maxRetrySeconds` | 60 | how long a failing call is repeated before the query fails |
    | `failOnDataLoss` | `true` | `false`: go on when records were trimmed before they were read (3) |

    1. `LATEST` is the moment of the query's first plan. A checkpoint overrules the option. Shards that appear later
       are read from their first record.
    2. One answer of Kinesis, up to 10 MB, may go over it.
    3. The gap is told in the log, and stays in the ledger entry.

    Credentials come from the environment the AWS way and are in no option, plan or checkpoint. Every row of a batch
    must be read (no `limit` on the stream).

    >>> from streaming.kinesis import KinesisDataSource
    >>> spark.dataSource.register(KinesisDataSource)
    >>> rows = (
    ...     spark.readStream.format("kinesis")
    ...     .option("stream", "web_logs")
    ...     .option("ledger", "/data/lake/checkpoints/bronze/web_logs/ledger")
    ...     .load()
    ... )
    >>> query = (
    ...     rows.writeStream.format("delta")
    ...     .option("checkpointLocation", "/data/lake/checkpoints/bronze/web_logs")
    ...     .start("/data/lake/bronze/web_logs")
    ... )
    """

    def __init__(self, options: Mapping[str, str]) -> None:
        """Raises OptionError naming an option that is unknown, missing or wrong, and what is allowed."""
        super().__init__(dict(options))
        self._parsed = KinesisOptions.parse(options)

    @classmethod
    @override
    def name(cls) -> str:
        return "kinesis"

    @override
    def schema(self) -> str:
        return COLUMNS

    @override
    def streamReader(self, schema: StructType) -> "KinesisStreamReader":
        return KinesisStreamReader(self._parsed)


class KinesisStreamReader(DataSourceStreamReader):
    """Spark's two views of the source: planning in the driver's Python process, `read` in the executors'.

    Nothing here connects before a method is called, so that it can be pickled. Spark calls `latestOffset` before
    `initialOffset` on a fresh start, `partitions(x, x)` with the last planned offset first at a restart, and
    `commit` of a batch only after the next one was planned.
    """

    def __init__(self, options: KinesisOptions) -> None:
        self._options = options
        self._planner: Planner | None = None

    @override
    def initialOffset(self) -> dict[str, Any]:
        """Before everything. It says nothing of where that is: a query's first epoch does."""
        return Offset().to_json()

    @override
    def latestOffset(self) -> dict[str, Any]:
        """The next epoch, or the current one again when no shard has anything new (see Planner.latest)."""
        latest = self._plan().latest().to_json()
        failpoint("kinesis.planned")
        return latest

    @override
    def partitions(self, start: dict[str, Any], end: dict[str, Any]) -> list[InputPartition]:
        """One task for each shard that the end's epoch reads."""
        offset = Offset.from_json(end)
        if offset.epoch > 0:
            self._plan().resume(offset)
        return [] if start == end else list(self._plan().ranges(offset))

    @override
    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """The rows of one shard's part of an epoch; the same at every attempt (see ledger.read_once)."""
        if not isinstance(partition, ShardRange):
            raise TypeError(f"not a partition of this source: {partition!r}")
        reader = ShardReader(self._client(), self._options, partition)
        reading = read_once(
            Ledger(Storage.open(self._options.ledger)),
            partition.epoch,
            partition.shard_id,
            partition.start,
            read_to_limit=reader.read_to_limit,
            read_exactly=lambda entry: ShardReader(self._client(), self._options, partition).read_exactly(entry),
        )
        yield from reading.batches

    @override
    def commit(self, end: dict[str, Any]) -> None:
        """The batch is in the sink: old ledger entries can go."""
        failpoint("kinesis.committed")
        self._plan().clean(Offset.from_json(end))

    def _plan(self) -> Planner:
        if self._planner is None:
            self._planner = Planner(self._client(), self._options)
        return self._planner

    def _client(self) -> StreamClient:
        options = self._options
        return StreamClient(options.stream, options.region, options.endpoint, options.max_retry_seconds)
