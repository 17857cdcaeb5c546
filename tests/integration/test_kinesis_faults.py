"""The Kinesis source and its ledger on LocalStack while calls fail, tasks run twice, and metadata is missing.

Faults come from a proxy before LocalStack; clients, HTTP, shards, iterators and S3's conditional writes are real. Where
a test needs no Spark, its tasks run in this process, as pickled readers with their real client. All share a stream.
"""

import base64
import json
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config
from pyspark.errors import StreamingQueryException
from pyspark.sql import SparkSession

from runtime.metrics import RETRIES
from runtime.storage import Storage
from runtime.tables import open_table
from streaming import bronze, fetch, kinesis_client, planner
from streaming.aggregation import UserRecord
from streaming.kinesis_client import Unavailable
from streaming.ledger import Entry, Ledger
from tests.integration.faulty_endpoint import FaultyEndpoint
from tests.integration.test_kinesis_resilience import Bronze
from tests.integration.test_kinesis_source import Lake, Producer
from tests.unit.fake_kinesis import Crash, Query
from tests.unit.test_aggregation import aggregate
from tests.unit.test_kinesis_resilience import Reported

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

ZERO, ONE = SHARDS = ("shardId-000000000000", "shardId-000000000001")
# How long a client waits for an answer where a call stalls; else it is 15 seconds.
PATIENCE_SECONDS = 1.5


class TwoShards(Producer):
    """Puts records on one of the stream's two shards."""

    def put_on(self, shard_id: str, number: int) -> list[str]:
        """Returns the sequence numbers."""
        data = [b"record %d" % (self.count + each) for each in range(number)]
        return [sequence for sequence, _ in self.put_data(shard_id, data)]

    def put_data(self, shard_id: str, data: Sequence[bytes]) -> list[tuple[str, bytes]]:
        """Returns the records with their sequence numbers."""
        place = str(SHARDS.index(shard_id) * 2**127)
        entries: Any = [{"Data": each, "PartitionKey": "key", "ExplicitHashKey": place} for each in data]
        answer = self.kinesis.put_records(StreamName=self.stream, Records=entries)
        assert {each["ShardId"] for each in answer["Records"]} == {shard_id}
        records = [(each["SequenceNumber"], sent) for each, sent in zip(answer["Records"], data, strict=True)]
        self.records += records
        self.count += len(data)
        return records


@pytest.fixture(scope="module")
def producer(kinesis: "KinesisClient") -> Iterator[TwoShards]:
    """The stream that the tests share: each reads it from its beginning, and expects all that was ever put."""
    name = f"test-faults-{time.time_ns()}"
    kinesis.create_stream(StreamName=name, ShardCount=2)
    kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    yield TwoShards(kinesis, name)
    kinesis.delete_stream(StreamName=name, EnforceConsumerDeletion=True)


@pytest.fixture
def proxy(kinesis: "KinesisClient") -> Iterator[FaultyEndpoint]:
    with FaultyEndpoint(kinesis.meta.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> Reported:
    reported = Reported()
    for module in (fetch, kinesis_client, planner):
        monkeypatch.setattr(module, "metrics", lambda: reported.metrics)
    return reported


@pytest.fixture
def fault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The fault of the parameter; clients of this process give a service that stalls up early."""
    if request.param == "stall":
        monkeypatch.setattr(
            kinesis_client, "Config", lambda **settings: Config(**settings | {"read_timeout": PATIENCE_SECONDS})
        )
    return str(request.param)


def query_of(producer: Producer, proxy: FaultyEndpoint, ledger: Path | str, **options: str) -> Query:
    """A query through the proxy that has read all there is."""
    places = {"stream": producer.stream, "endpoint": proxy.endpoint, "region": "us-east-1", "ledger": str(ledger)}
    query = Query(**places | options)
    query.drain()
    return query


def records(query: Query) -> list[tuple[str, bytes]]:
    return sorted(zip(query.sequences, query.data, strict=True))


def entries(query: Query, epoch: int) -> dict[str, Entry]:
    ledger = Ledger(Storage.open(query.options["ledger"]))
    return {shard_id: entry for shard_id in SHARDS if (entry := ledger.find(epoch, shard_id)) is not None}


def reads(body: bytes) -> bool:
    """Whether a GetRecords is a task's: planning looks for one record only."""
    return int(json.loads(body)["Limit"]) > 1


# Calls that fail


@pytest.mark.parametrize(
    "fault",
    ["ProvisionedThroughputExceededException", "LimitExceededException", "500", "reset", "lost answer", "stall"],
    indirect=True,
)
def test_faults_of_every_call_are_sat_out_and_counted(
    producer: TwoShards, proxy: FaultyEndpoint, reported: Reported, tmp_path: Path, fault: str
) -> None:
    query = query_of(producer, proxy, tmp_path)
    producer.put(20)
    once, often = (1, 1) if fault == "stall" else (2, 3)
    for operation in ("DescribeStreamSummary", "ListShards", "GetShardIterator", "GetRecords"):
        proxy.fail(operation, fault, once)
    proxy.fail("GetRecords", fault, often, wanted=reads)
    started = time.monotonic()
    query.start()
    query.drain()
    assert time.monotonic() - started < 20
    assert records(query) == sorted(producer.records)
    assert proxy.done == {fault: 4 * once + often}
    reported.metrics.flush(at_once=True)
    assert reported.sums == {(RETRIES, producer.stream): 4 * once + often}
    epochs = range(1, len(query.offsets) + 1)
    assert sum(entry.retries for epoch in epochs for entry in entries(query, epoch).values()) == often


@pytest.mark.parametrize("fault", ["ProvisionedThroughputExceededException", "500", "reset", "stall"], indirect=True)
def test_what_was_read_before_a_fault_that_stays_is_a_batch(
    producer: TwoShards, proxy: FaultyEndpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str
) -> None:
    seconds = "2" if fault == "stall" else "0.5"
    query = query_of(producer, proxy, tmp_path, maxFetchSeconds=seconds, maxRetrySeconds=seconds)
    monkeypatch.setattr(fetch, "PAGE_RECORDS", 4)
    sent = producer.put_on(ZERO, 12)
    proxy.fail("GetRecords", fault, 1000, passing=1, wanted=reads)
    assert query.batch()
    epoch = max(query.sink) + 1
    assert [row["sequence_number"] for row in query.sink[epoch - 1]] == sent[:4]
    (entry,) = entries(query, epoch).values()
    assert (entry.end.value, entry.records, entry.behind) == (sent[3], 4, True)
    assert entry.retries > 0
    with pytest.raises(Unavailable, match=f"stream {producer.stream}, shard {ZERO}: GetRecords failed: "):
        query.batch()
    proxy.mend()
    query.start()
    query.drain()
    assert records(query) == sorted(producer.records)


def test_a_query_of_spark_gets_through_faults_among_reshards(
    spark: SparkSession, kinesis: "KinesisClient", stream_name: str, proxy: FaultyEndpoint, tmp_path: Path
) -> None:
    """The planner and the tasks in the processes that Spark gives them."""
    producer = Producer(kinesis, stream_name)
    lake = Lake(spark, stream_name, tmp_path, endpoint=proxy.endpoint)
    for fault in ("ProvisionedThroughputExceededException", "LimitExceededException", "500", "reset", "lost answer"):
        for operation in ("ListShards", "GetShardIterator", "GetRecords"):
            proxy.fail(operation, fault)
        proxy.fail("GetRecords", fault, wanted=reads)
    producer.put(20)
    producer.split(producer.first_open())
    producer.put(20)
    lake.drain()
    producer.merge_lowest()
    producer.put(20)
    lake.drain()
    assert lake.records() == sorted(producer.records)
    assert proxy.done == dict.fromkeys(proxy.done, 4)
    assert len(proxy.done) == 5


# Tasks that run again


def test_a_task_that_is_retried_reads_the_range_of_the_first_attempt(
    producer: TwoShards, proxy: FaultyEndpoint, tmp_path: Path
) -> None:
    query = query_of(producer, proxy, tmp_path)
    sent = {shard_id: producer.put_on(shard_id, 6) for shard_id in SHARDS}
    start, end = json.loads(query.offsets[-1]), query.reader.latestOffset()
    first = query.rows(start, end)
    assert [row["sequence_number"] for row in first] == sent[ZERO] + sent[ONE]
    for shard_id in SHARDS:
        producer.put_on(shard_id, 3)
        assert query.rows(start, end) == first
    query.offsets.append(json.dumps(end))
    query.drain()
    assert records(query) == sorted(producer.records)


# The ledger in S3


@pytest.mark.parametrize(
    ("fault", "yields", "decided"),
    [
        ("403", False, False),
        ("500", True, True),  # said again by the client
        ("reset", False, False),
        ("lost in a reset", False, True),
        ("lost answer", True, True),  # said again by the client, and refused because it is there
        ("lost as 500", True, True),
    ],
)
def test_a_ledger_write_that_fails_or_whose_answer_is_lost(
    producer: TwoShards,
    proxy: FaultyEndpoint,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    yields: bool,
    decided: bool,
) -> None:
    """No row before the ledger's yes; what it holds then is the range, whoever wrote it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
    query = query_of(producer, proxy, f"s3://{bucket}/ledger")
    sent = producer.put_on(ZERO, 4)
    start, end = json.loads(query.offsets[-1]), query.reader.latestOffset()
    proxy.fail("PUT", fault)
    if yields:
        assert [row["sequence_number"] for row in query.rows(start, end)] == sent
    else:
        with pytest.raises(Exception, match=r"ledger/|error sending request"):
            query.rows(start, end)
    assert proxy.done == {fault: 1}
    late = producer.put_on(ZERO, 2)
    assert [row["sequence_number"] for row in query.rows(start, end)] == (sent if decided else sent + late)
    query.offsets.append(json.dumps(end))
    query.drain()
    assert records(query) == sorted(producer.records)


def test_a_slow_ledger_write_is_overtaken(
    producer: TwoShards, proxy: FaultyEndpoint, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the first attempt waits for S3, a second one reads further and has its entry written."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
    query = query_of(producer, proxy, f"s3://{bucket}/ledger")
    sent = producer.put_on(ZERO, 4)
    start, end = json.loads(query.offsets[-1]), query.reader.latestOffset()
    second: list[list[dict[str, Any]]] = []
    lock = threading.Lock()

    def overtake(operation: str, body: bytes) -> None:
        if operation == "PUT" and lock.acquire(blocking=False):
            sent.extend(producer.put_on(ZERO, 2))
            second.append(query.rows(start, end))

    proxy.before = overtake
    first = query.rows(start, end)
    assert second == [first]
    assert [row["sequence_number"] for row in first] == sent
    query.offsets.append(json.dumps(end))
    query.drain()
    assert records(query) == sorted(producer.records)


# A batch whose metadata is incomplete


@pytest.mark.parametrize("missing", [(ZERO,), (ONE,), SHARDS])
def test_a_restart_without_some_entries_of_the_planned_batch_loses_and_doubles_nothing(
    spark: SparkSession, producer: TwoShards, tmp_path: Path, missing: tuple[str, ...]
) -> None:
    """The job was cancelled while its tasks wrote their entries: the epoch is planned, and a part of it is decided."""
    lake = Lake(spark, producer.stream, tmp_path)
    for shard_id in SHARDS:
        producer.put_on(shard_id, 3)
    put = len(producer.records)
    lake.dies("read")
    for shard_id in missing:
        (tmp_path / "ledger" / "1" / f"{shard_id}.json").unlink()
    late = {shard_id: producer.put_on(shard_id, 2) for shard_id in SHARDS}
    lake.drain()
    first = {row["sequence_number"] for row in lake.sink[0]}
    again = {sequence for shard_id in missing for sequence in late[shard_id]}
    planned = {sequence for sequence, _ in producer.records[:put]}
    # How much of what came since a fresh read takes in is up to the stream.
    assert planned <= first <= planned | again
    assert lake.records() == sorted(producer.records)


# Aggregates, to the row in bronze


def test_aggregates_whole_and_damaged_are_in_bronze_once_after_retries_and_a_lost_checkpoint(
    spark: SparkSession,
    kinesis: "KinesisClient",
    stream_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    producer, lake = TwoShards(kinesis, stream_name), Bronze(spark, stream_name, tmp_path)
    inside = [UserRecord("visitor ü", b'{"a": 1}'), UserRecord("b", b""), UserRecord("visitor ü", b"\xff\xfe")]
    whole = aggregate(inside)
    flipped = whole[:9] + bytes([whole[9] ^ 1]) + whole[10:]
    payloads = {b"plain": None, whole: inside, whole[:-1]: None, flipped: None}
    expected: list[tuple[str, str, str, str]] = []

    def put(shard_id: str) -> None:
        for sequence, data in producer.put_data(shard_id, list(payloads)):
            record = f"{stream_name}/{shard_id}/{sequence}"
            parts = payloads[data]
            rows = (
                [(record, "key", data)]
                if parts is None
                else [(f"{record}/{number}", part.partition_key, part.data) for number, part in enumerate(parts)]
            )
            expected.extend((name, key, *stored(content)) for name, key, content in rows)

    for point in ("bronze.before_commit", "bronze.after_commit"):
        put(ZERO)
        with monkeypatch.context() as dying:
            dying.setattr(bronze, "failpoint", dies_at(point))
            with pytest.raises(StreamingQueryException, match=f"died at {point}"):
                lake.drain()
        put(ONE)
        lake.drain()
    shutil.rmtree(lake.checkpoint)
    put(ZERO)
    lake.drain()
    columns = ("record_id", "partition_key", "payload", "payload_encoding")
    rows = open_table(lake.uri).read(columns).to_pylist()
    assert sorted(tuple(row.values()) for row in rows) == sorted(expected)


def stored(data: bytes) -> tuple[str, str]:
    """A payload as bronze keeps it, and how it is encoded."""
    try:
        return data.decode(), "utf8"
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), "base64"


def dies_at(point: str) -> Any:
    def failpoint(name: str) -> None:
        if name == point:
            raise Crash(f"died at {point}")

    return failpoint
