"""An in-process Kinesis with faults on demand, and a Spark driver's loop around the source's reader, without a JVM."""

import json
import pickle
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from botocore.exceptions import ClientError

from streaming.kinesis import KinesisDataSource, KinesisStreamReader
from streaming.kinesis_options import KinesisOptions

FIRST_SEQUENCE = 49_680_485_717_254_686_255_941_796_277_696_561_024_747_856_360_154_071_042
HOUR = 3600.0
ZERO, ONE = "shardId-000000000000", "shardId-000000000001"


def refusal(code: str, message: str = "told so", status: int = 400) -> ClientError:
    """The error that boto3 raises for an answer with this code."""
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "Operation")


def numbered(first: int, last: int) -> list[bytes]:
    """Payloads that are the numbers from first to before last."""
    return [b"%d" % number for number in range(first, last)]


def failing(error: Exception) -> Callable[..., None]:
    """A function that takes anything and raises this."""

    def fail(*arguments: object) -> None:
        raise error

    return fail


@dataclass
class FakeShard:
    parents: tuple[str, ...] = ()
    closed: bool = False
    records: list[tuple[int, float, str, bytes]] = field(default_factory=list)


class FakeKinesis:
    """The calls of boto3's client that the source makes; times and data as the source's own parsers give them."""

    def __init__(self, shards: int = 2, retention_hours: float = 24) -> None:
        self.created = time.time() - 1000
        self.retention_hours = retention_hours
        self.shards: dict[str, FakeShard] = {}
        self.calls: list[tuple[str, str, float]] = []
        self.faults: list[tuple[str, str, Exception]] = []
        self.always_says_tip = False
        self.refuses_trimmed = False
        self.page_records = 10_000
        self.before_records: Callable[[str], None] = lambda shard_id: None
        self._iterators: dict[str, tuple[str, int]] = {}
        self._sequence = FIRST_SEQUENCE
        for _ in range(shards):
            self._add(())

    # What a test does to the stream

    def put(self, shard_id: str, *data: bytes, age: float = 0.0, key: str = "key") -> list[str]:
        """Puts records that arrived `age` seconds ago; returns their sequence numbers."""
        sequences = []
        for each in data:
            self._sequence += 1
            arrived = round(time.time() - age, 3)
            self.shards[shard_id].records.append((self._sequence, arrived, key, each))
            sequences.append(str(self._sequence))
        return sequences

    def split(self, shard_id: str) -> tuple[str, str]:
        self.shards[shard_id].closed = True
        return self._add((shard_id,)), self._add((shard_id,))

    def merge(self, one: str, other: str) -> str:
        self.shards[one].closed = self.shards[other].closed = True
        return self._add((one, other))

    def trim(self, shard_id: str, count: int) -> None:
        """Lets the oldest records of a shard pass their retention."""
        del self.shards[shard_id].records[:count]

    def expire(self, shard_id: str) -> None:
        """Lets a closed shard pass its retention: it leaves the list."""
        del self.shards[shard_id]

    def expire_iterators(self) -> None:
        self._iterators.clear()

    def recreate(self, shards: int = 2) -> None:
        """Deletes the stream and makes one of the same name."""
        self.created += 500
        self.shards.clear()
        self._iterators.clear()
        self._number = 0
        for _ in range(shards):
            self._add(())

    def fail(self, operation: str, error: Exception, times: int = 1, shard_id: str = "") -> None:
        self.faults += [(operation, shard_id, error)] * times

    def count(self, operation: str) -> Counter[str]:
        return Counter(shard_id for called, shard_id, _ in self.calls if called == operation)

    # What the source calls

    def describe_stream_summary(self, StreamName: str) -> dict[str, Any]:
        self._called("describe_stream_summary", "")
        summary = {"StreamCreationTimestamp": self.created, "RetentionPeriodHours": self.retention_hours}
        return {"StreamDescriptionSummary": summary, "ResponseMetadata": {"HTTPHeaders": {}}}

    def list_shards(self, StreamName: str = "", NextToken: str = "") -> dict[str, Any]:
        self._called("list_shards", "")
        first = int(NextToken or 0)
        listed = list(self.shards.items())
        answer: dict[str, Any] = {"Shards": [_listed(name, shard) for name, shard in listed[first : first + 100]]}
        return answer | ({"NextToken": str(first + 100)} if first + 100 < len(listed) else {})

    def get_shard_iterator(
        self,
        StreamName: str,
        ShardId: str,
        ShardIteratorType: str,
        StartingSequenceNumber: str = "",
        Timestamp: float = 0.0,
    ) -> dict[str, Any]:
        self._called("get_shard_iterator", ShardId)
        if ShardId not in self.shards:
            raise refusal("ResourceNotFoundException", f"Shard {ShardId} does not exist")
        records = self.shards[ShardId].records
        after = int(StartingSequenceNumber or 0)
        if ShardIteratorType == "AT_SEQUENCE_NUMBER":
            after -= 1
        elif ShardIteratorType == "AT_TIMESTAMP":
            if Timestamp > time.time():
                raise refusal("InvalidArgumentException", "Timestamp cannot be in the future")
            after = max([sequence for sequence, arrived, _, _ in records if arrived < Timestamp], default=0)
        elif self.refuses_trimmed and after and all(sequence != after for sequence, *_ in records):
            raise refusal("InvalidArgumentException", "StartingSequenceNumber is not in the shard")
        return {"ShardIterator": self._iterator(ShardId, after)}

    def get_records(self, ShardIterator: str, Limit: int) -> dict[str, Any]:
        if ShardIterator not in self._iterators:
            self._called("get_records", "")
            raise refusal("ExpiredIteratorException", "Iterator expired")
        shard_id, after = self._iterators[ShardIterator]
        self.before_records(shard_id)
        self._called("get_records", shard_id)
        if shard_id not in self.shards:
            raise refusal("ResourceNotFoundException", f"Shard {shard_id} does not exist")
        shard = self.shards[shard_id]
        left = [record for record in shard.records if record[0] > after]
        page = left[: min(Limit, self.page_records)]
        last = page[-1][0] if page else after
        answer: dict[str, Any] = {
            "Records": [
                {"SequenceNumber": str(record[0]), "ApproximateArrivalTimestamp": record[1]}
                | {"PartitionKey": record[2], "Data": record[3]}
                for record in page
            ],
            "MillisBehindLatest": 1000 if len(page) < len(left) and not self.always_says_tip else 0,
        }
        ended = shard.closed and len(page) == len(left)
        return answer | ({} if ended else {"NextShardIterator": self._iterator(shard_id, last)})

    _number = 0

    def _add(self, parents: tuple[str, ...]) -> str:
        name = f"shardId-{self._number:012d}"
        self._number += 1
        self.shards[name] = FakeShard(parents)
        return name

    def _iterator(self, shard_id: str, after: int) -> str:
        name = f"iterator-{len(self.calls)}-{len(self._iterators)}-{shard_id}-{after}"
        self._iterators[name] = (shard_id, after)
        return name

    def _called(self, operation: str, shard_id: str) -> None:
        self.calls.append((operation, shard_id, time.monotonic()))
        for fault in self.faults:
            if fault[0] == operation and fault[1] in ("", shard_id):
                self.faults.remove(fault)
                raise fault[2]


def _listed(name: str, shard: FakeShard) -> dict[str, Any]:
    parents = dict(zip(("ParentShardId", "AdjacentParentShardId"), shard.parents, strict=False))
    ending = {"EndingSequenceNumber": "1"} if shard.closed else {}
    return {"ShardId": name, "SequenceNumberRange": {"StartingSequenceNumber": "0"} | ending} | parents


class Crash(Exception):
    """The process dies here."""


STEPS = ("planned", "read", "sunk", "committed")


class Query:
    """One streaming query with its logs and its sink, run the way Spark 4.1 runs a Python source.

    The sink keeps a batch once (as Delta's transaction ids do); a batch that is read again must give the same rows.
    """

    def __init__(self, **options: str) -> None:
        self.options = {"stream": "clicks", "minPollSeconds": "0", "maxRetrySeconds": "5"} | options
        self.offsets: list[str] = []
        self.committed = 0
        self.sink: dict[int, list[dict[str, Any]]] = {}
        self.reader = self.start()

    def start(self, **options: str) -> KinesisStreamReader:
        """A new process: what is remembered is in the logs."""
        self.options |= options
        source = KinesisDataSource(self.options)
        self.reader = source.streamReader(None)  # type: ignore[arg-type]
        if self.offsets:
            last = json.loads(self.offsets[-1])
            assert self.reader.partitions(last, last) == []
        return self.reader

    def batch(self, crash_at: str | None = None) -> bool:
        """Runs one trigger; False when there was nothing new."""
        if len(self.offsets) == self.committed:
            latest = json.dumps(self.reader.latestOffset())
            if self.offsets and latest == self.offsets[-1]:
                return False
            self.offsets.append(latest)
        number = len(self.offsets) - 1
        start = json.loads(self.offsets[-2]) if number else self.reader.initialOffset()
        end = json.loads(self.offsets[-1])
        _dies(crash_at, "planned")
        rows = self.rows(start, end)
        _dies(crash_at, "read")
        assert self.sink.setdefault(number, rows) == rows, "a batch that was read again gave other rows"
        _dies(crash_at, "sunk")
        self.committed += 1
        _dies(crash_at, "committed")
        self.reader.commit(end)
        return True

    def rows(self, start: dict[str, Any], end: dict[str, Any]) -> list[dict[str, Any]]:
        """What the tasks of the batch give, each in a process of its own."""
        rows = []
        for partition in self.reader.partitions(start, end):
            reader = pickle.loads(pickle.dumps(KinesisStreamReader(KinesisOptions.parse(self.options))))
            batches = list(reader.read(pickle.loads(pickle.dumps(partition))))
            rows += [row for batch in batches for row in batch.to_pylist()]
        return rows

    def drain(self, most: int = 1000) -> int:
        """Runs batches until there is nothing new; returns how many."""
        for number in range(most):
            if not self.batch():
                return number
        raise AssertionError(f"not drained after {most} batches")

    @property
    def sequences(self) -> list[str]:
        """The sequence numbers in the sink, in order of arrival there."""
        return [row["sequence_number"] for batch in sorted(self.sink) for row in self.sink[batch]]

    @property
    def data(self) -> list[bytes]:
        return [row["data"] for batch in sorted(self.sink) for row in self.sink[batch]]


def _dies(crash_at: str | None, step: str) -> None:
    if crash_at == step:
        raise Crash(step)


def table(batches: list[pa.RecordBatch]) -> list[dict[str, Any]]:
    return [row for batch in batches for row in batch.to_pylist()]
