"""The Kinesis source against LocalStack: real shards, real restarts from the checkpoint, exact records.

A session plans and reads what is about Spark itself; the rest goes through the source as Spark would call it.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from runtime.storage import Storage
from streaming.kinesis import KinesisDataSource
from tests.unit.fake_kinesis import Crash, Query

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

STEPS = ("planned", "read", "sunk", "committed")


class Lake:
    """A query on one stream whose sink keeps each batch once, and dies at a step when told to."""

    def __init__(self, spark: SparkSession, stream: str, folder: Path, **options: str) -> None:
        spark.dataSource.register(KinesisDataSource)
        self.spark, self.stream, self.folder = spark, stream, folder
        self.options = {"stream": stream, "ledger": str(folder / "ledger"), "minPollSeconds": "0.2"} | options
        self.sink: dict[int, list[Row]] = {}
        self.dies_at = ""

    def rows(self) -> DataFrame:
        return self.spark.readStream.format("kinesis").options(**self.options).load()

    def start(self) -> StreamingQuery:
        writer = self.rows().writeStream.foreachBatch(self._keep).trigger(processingTime="0 seconds")
        return writer.option("checkpointLocation", str(self.folder / "checkpoint")).start()

    def drain(self) -> None:
        """Runs the query until all that had arrived is in the sink."""
        query = self.start()
        try:
            query.processAllAvailable()
        finally:
            query.stop()

    def dies(self, step: str) -> None:
        """Runs the query until it dies at the step (or is stopped, for `committed`)."""
        if step == "committed":
            self.drain()
            return
        self.dies_at = step
        query = self.start()
        with pytest.raises(StreamingQueryException, match=f"died when {step}"):
            query.processAllAvailable()
        self.dies_at = ""

    def records(self) -> list[tuple[str, bytes]]:
        return sorted((row["sequence_number"], bytes(row["data"])) for rows in self.sink.values() for row in rows)

    def _keep(self, rows: DataFrame, batch: int) -> None:
        self._die("planned")
        found = sorted(rows.collect(), key=lambda row: (row["shard_id"], row["sequence_number"]))
        self._die("read")
        assert self.sink.setdefault(batch, found) == found, "a batch that was read again gave other rows"
        self._die("sunk")

    def _die(self, step: str) -> None:
        if self.dies_at == step:
            raise RuntimeError(f"died when {step}")


class Producer:
    """Puts records and remembers each with its sequence number."""

    def __init__(self, kinesis: "KinesisClient", stream: str) -> None:
        self.kinesis, self.stream = kinesis, stream
        self.records: list[tuple[str, bytes]] = []
        self.count = 0

    def put(self, number: int) -> None:
        """Puts records over all open shards."""
        data = [b"record %d" % (self.count + each) for each in range(number)]
        entries: Any = [{"Data": each, "PartitionKey": f"key {each!r}"} for each in data]
        answer = self.kinesis.put_records(StreamName=self.stream, Records=entries)
        assert answer["FailedRecordCount"] == 0
        self.records += [(each["SequenceNumber"], sent) for each, sent in zip(answer["Records"], data, strict=True)]
        self.count += number

    def split(self, shard_id: str) -> None:
        shard = next(each for each in self._open() if each["ShardId"] == shard_id)
        low, high = (int(shard["HashKeyRange"][end]) for end in ("StartingHashKey", "EndingHashKey"))
        self.kinesis.split_shard(
            StreamName=self.stream, ShardToSplit=shard_id, NewStartingHashKey=str((low + high + 1) // 2)
        )
        self._settle()

    def merge_lowest(self) -> None:
        shards = sorted(self._open(), key=lambda each: int(each["HashKeyRange"]["StartingHashKey"]))
        one, other = shards[0]["ShardId"], shards[1]["ShardId"]
        self.kinesis.merge_shards(StreamName=self.stream, ShardToMerge=one, AdjacentShardToMerge=other)
        self._settle()

    def first_open(self) -> str:
        return str(self._open()[0]["ShardId"])

    def _open(self) -> list[Any]:
        shards = self.kinesis.list_shards(StreamName=self.stream)["Shards"]
        return [each for each in shards if "EndingSequenceNumber" not in each["SequenceNumberRange"]]

    def _settle(self) -> None:
        _until(lambda: self._status() == "ACTIVE")

    def _status(self) -> str:
        return str(
            self.kinesis.describe_stream_summary(StreamName=self.stream)["StreamDescriptionSummary"]["StreamStatus"]
        )


@pytest.fixture
def producer(kinesis: "KinesisClient", stream_name: str) -> Producer:
    return Producer(kinesis, stream_name)


@pytest.fixture
def lake(spark: SparkSession, stream_name: str, tmp_path: Path) -> Lake:
    return Lake(spark, stream_name, tmp_path)


def test_rows_have_the_documented_columns(lake: Lake, producer: Producer, kinesis: "KinesisClient") -> None:
    before = time.time()
    payloads = [b"", b'{"a": 1}', b"\xff\xfe\x00", b"x" * 1_000_000]
    sent = [
        kinesis.put_record(StreamName=lake.stream, PartitionKey=f"key {number}", Data=data)
        for number, data in enumerate(payloads)
    ]
    assert lake.rows().schema.simpleString() == (
        "struct<stream:string,shard_id:string,sequence_number:string,sub_sequence_number:bigint,partition_key:string,"
        "arrived_at:timestamp,data:binary>"
    )
    lake.drain()
    rows = {row["sequence_number"]: row for rows in lake.sink.values() for row in rows}
    assert len(rows) == 4
    for number, (answer, data) in enumerate(zip(sent, payloads, strict=True)):
        row = rows[answer["SequenceNumber"]]
        assert (row["stream"], row["shard_id"], row["sub_sequence_number"]) == (lake.stream, answer["ShardId"], None)
        assert (row["partition_key"], bytes(row["data"])) == (f"key {number}", data)
        assert before - 5 < row["arrived_at"].timestamp() < time.time() + 5


def test_spark_restarts_at_every_step_and_among_reshards_lose_and_double_nothing(
    lake: Lake, producer: Producer
) -> None:
    lake.options["maxRecordsPerShard"] = "20"
    for step in STEPS:
        producer.put(30)
        lake.dies(step)  # the same again where it did not get into the sink, else a later one
    producer.split(producer.first_open())
    producer.put(20)
    lake.dies("read")  # the batch in which the parent ends
    producer.merge_lowest()
    producer.put(20)
    lake.dies("sunk")
    lake.drain()
    producer.put(20)
    lake.drain()
    assert lake.records() == sorted(producer.records)


@pytest.mark.parametrize("step", STEPS)
def test_a_restart_at_any_step_of_a_split_and_a_merge(producer: Producer, tmp_path: Path, step: str) -> None:
    query = reading(producer, tmp_path, maxRecordsPerShard="20")

    def dies() -> None:
        with pytest.raises(Crash):
            query.batch(step)
        query.start()

    producer.put(30)
    dies()
    producer.put(30)
    dies()
    query.drain()
    producer.put(20)
    producer.split(producer.first_open())
    producer.put(20)
    dies()  # the batch in which the parent ends
    dies()
    producer.merge_lowest()
    producer.put(20)
    dies()
    query.drain()
    producer.put(20)
    query.drain()
    assert records(query) == sorted(producer.records)


def reading(producer: Producer, folder: Path, **options: str) -> Query:
    """A query as Spark would run it, without Spark."""
    places = {"stream": producer.stream, "region": "us-east-1", "ledger": str(folder / "ledger")}
    return Query(**places | options)


def records(query: Query) -> list[tuple[str, bytes]]:
    return sorted(zip(query.sequences, query.data, strict=True))


def test_splits_and_merges_while_the_query_runs(lake: Lake, producer: Producer) -> None:
    query = lake.start()
    try:
        for generation in range(3):
            producer.put(15)
            producer.split(producer.first_open())
            producer.put(15)
            if generation != 1:
                query.processAllAvailable()
            producer.merge_lowest()
            producer.put(15)
        query.processAllAvailable()
        assert query.exception() is None
    finally:
        query.stop()
    assert lake.records() == sorted(producer.records)


def test_generations_of_reshards_while_the_query_is_stopped(producer: Producer, tmp_path: Path) -> None:
    query = reading(producer, tmp_path)
    producer.put(20)
    query.drain()
    for _ in range(3):
        producer.put(10)
        producer.split(producer.first_open())
        producer.put(10)
        producer.merge_lowest()
    producer.put(10)
    query.start()
    query.drain()
    assert records(query) == sorted(producer.records)


def test_a_delta_sink_that_has_the_batch_already_goes_on_behind_it(
    lake: Lake, producer: Producer, tmp_path: Path
) -> None:
    """The process died between Delta's commit and Spark's: at the restart Delta skips the batch without reading it."""
    table = str(tmp_path / "table")

    def run() -> None:
        writer = lake.rows().writeStream.format("delta").trigger(processingTime="0 seconds")
        query = writer.option("checkpointLocation", str(tmp_path / "checkpoint")).start(table)
        try:
            query.processAllAvailable()
        finally:
            query.stop()

    for _ in range(2):
        producer.put(12)
        run()
        last = max(int(path.name) for path in (tmp_path / "checkpoint" / "commits").iterdir() if path.name.isdigit())
        (tmp_path / "checkpoint" / "commits" / str(last)).unlink()
        (tmp_path / "checkpoint" / "commits" / f".{last}.crc").unlink(missing_ok=True)
    producer.put(12)
    run()
    rows = lake.spark.read.format("delta").load(table).select("sequence_number", "data").collect()
    assert sorted((row["sequence_number"], bytes(row["data"])) for row in rows) == sorted(producer.records)


def test_an_idle_stream_makes_no_batches(lake: Lake, producer: Producer) -> None:
    producer.put(5)
    query = lake.start()
    try:
        query.processAllAvailable()
        batches = len(lake.sink)
        offsets = lake.folder / "checkpoint" / "offsets"
        planned = sorted(path.name for path in offsets.iterdir())
        time.sleep(3)
        assert len(lake.sink) == batches
        assert sorted(path.name for path in offsets.iterdir()) == planned
        producer.put(5)
        query.processAllAvailable()
    finally:
        query.stop()
    assert lake.records() == sorted(producer.records)


def test_the_ledger_may_lie_in_s3(producer: Producer, bucket: str, tmp_path: Path) -> None:
    query = reading(producer, tmp_path, ledger=f"s3a://{bucket}/checkpoints/ledger")
    producer.put(20)
    with pytest.raises(Crash):
        query.batch("read")
    producer.put(20)
    query.start()
    query.drain()
    assert records(query) == sorted(producer.records)
    keys = [each.key for each in Storage.open(f"s3://{bucket}/checkpoints/ledger").list()]
    assert {"1/shardId-000000000000.json", "1/shardId-000000000001.json"} <= set(keys)


def test_latest_starts_behind_what_was_there(producer: Producer, tmp_path: Path) -> None:
    producer.put(10)
    old = list(producer.records)
    time.sleep(1.1)
    query = reading(producer, tmp_path, initialPosition="LATEST")
    query.drain()
    producer.put(10)
    query.start()
    query.drain()
    assert records(query) == sorted(set(producer.records) - set(old))


def test_a_wrong_option_is_refused_by_name(lake: Lake) -> None:
    lake.options["maxRecords"] = "5"
    with pytest.raises(Exception, match=r"unknown option 'maxrecords'; there are stream, ledger, region"):
        lake.rows()


def test_a_stream_that_does_not_exist_fails_the_query_by_name(lake: Lake) -> None:
    lake.options["stream"] = "nobody"
    query = lake.start()
    with pytest.raises(StreamingQueryException, match="stream nobody: DescribeStreamSummary failed"):
        query.processAllAvailable()


def _until(done: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.1)
