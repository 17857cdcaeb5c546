"""What users of other Kinesis sources report, a test for each: in process, where an emulator cannot do it.

LocalStack trims nothing, throttles nothing on demand, expires neither iterators nor credentials, and 200 shards take it
minutes. What it can do is in tests/integration/test_kinesis_resilience.py; most of the list is shown step by step in
the other test_kinesis_*.py.
"""

import json
import os
import random
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runtime.metrics import GAPS, RETRIES, Metrics
from runtime.storage import Storage
from streaming import fetch, kinesis_client, planner
from streaming.fetch import DataLossError
from streaming.kinesis_client import StreamClient, Unavailable
from streaming.ledger import Ledger
from streaming.shards import Kind, Offset, Position, Shard, resume_positions
from tests.unit.fake_kinesis import HOUR, ZERO, FakeKinesis, FakeShard, Query, refusal


class Reported:
    """The sums of the metrics that were reported, by name and stream."""

    def __init__(self) -> None:
        self.sums: dict[tuple[str, str], float] = {}
        self.metrics = Metrics("test", self._put)

    def _put(self, namespace: str, data: list[dict[str, Any]]) -> None:
        for each in data:
            key = (each["MetricName"], each["Dimensions"][0]["Value"])
            self.sums[key] = self.sums.get(key, 0) + each["StatisticValues"]["Sum"]


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> Reported:
    reported = Reported()
    for module in (fetch, kinesis_client, planner):
        monkeypatch.setattr(module, "metrics", lambda: reported.metrics)
    return reported


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> FakeKinesis:
    fake = FakeKinesis()
    monkeypatch.setattr(kinesis_client, "connect", lambda region, endpoint: fake)
    monkeypatch.setattr(fetch, "EMPTY_PAGE_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(fetch, "_CONTINUE", {})
    return fake


# Throttling, faults


def test_repeats_pause_at_random_within_growing_bounds_and_are_counted(
    stream: FakeKinesis, reported: Reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In process: LocalStack does not throttle."""
    random.seed(7)
    pauses: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    stream.fail("list_shards", refusal("LimitExceededException"), times=30)
    client = StreamClient("clicks", None, None, 60)
    assert len(client.shards()) == 2
    most = [min(0.1 * 2**number, 5.0) for number in range(30)]
    assert [pause <= bound for pause, bound in zip(pauses, most, strict=True)] == [True] * 30
    assert len({round(pause, 6) for pause in pauses}) == 30, "without chance, readers come back all at once"
    assert 1.0 < sum(pauses[10:]) / 20 < 4.0
    assert client.retries == 30
    reported.metrics.flush(at_once=True)
    assert reported.sums == {(RETRIES, "clicks"): 30}


def test_repeats_end_when_patience_does(stream: FakeKinesis, reported: Reported) -> None:
    """In process: LocalStack does not throttle."""
    stream.fail("list_shards", refusal("LimitExceededException"), times=10_000)
    started = time.monotonic()
    with pytest.raises(Unavailable, match="stream clicks: ListShards failed: LimitExceededException"):
        StreamClient("clicks", None, None, 0.5).shards()
    assert time.monotonic() - started < 5


# Trimmed records


@pytest.mark.parametrize("refuses", [False, True])
def test_trimmed_records_are_a_metric_and_a_gap_of_their_epoch(
    stream: FakeKinesis, reported: Reported, tmp_path: Path, refuses: bool
) -> None:
    """In process: LocalStack does not trim. The gap becomes a row of the run log in streaming/bronze.py."""
    stream.retention_hours = 1
    stream.refuses_trimmed = refuses
    query = Query(ledger=str(tmp_path))
    (read,) = stream.put(ZERO, b"read", age=3 * HOUR)
    assert query.batch()
    entry = tmp_path / "1" / f"{ZERO}.json"
    content = json.loads(entry.read_text())
    content["end"]["complete_until"] = time.time() - 3 * HOUR
    entry.write_text(json.dumps(content))
    stream.put(ZERO, b"lost", age=2 * HOUR)
    (kept,) = stream.put(ZERO, b"kept")
    stream.trim(ZERO, 2)
    query.start()
    with pytest.raises(DataLossError, match=rf"stream clicks, shard {ZERO}, after {read}: .*failOnDataLoss=false"):
        query.batch()
    assert reported.sums[(GAPS, "clicks")] == 1
    query.start(failOnDataLoss="false")
    query.drain()
    assert query.sequences == [read, kept]
    assert reported.sums[(GAPS, "clicks")] == 2


def test_a_shard_that_expired_unread_is_a_metric_and_a_loss_of_the_next_epoch(
    stream: FakeKinesis, reported: Reported, tmp_path: Path
) -> None:
    """In process: LocalStack does not expire shards."""
    query = Query(ledger=str(tmp_path), failOnDataLoss="false")
    (read,) = stream.put(ZERO, b"a")
    query.drain()
    stream.put(ZERO, b"never read")
    left, _ = stream.split(ZERO)
    stream.expire(ZERO)
    query.start()
    assert not query.batch()  # nothing to read yet: the loss waits for the next epoch, also in a new process
    query.start()
    (kept,) = stream.put(left, b"b")
    query.drain()
    assert query.sequences == [read, kept]
    losses = Offset.from_json(json.loads(query.offsets[-1])).losses
    assert f"stream clicks: shard {ZERO} expired before it was read to its end (read up to {read})" in losses[0]
    assert reported.sums[(GAPS, "clicks")] >= 1
    stream.put(left, b"c")
    query.drain()
    assert Offset.from_json(json.loads(query.offsets[-1])).losses == (), "a loss is told once"


# Many shards


def test_two_hundred_shards_are_discovered_and_planned_within_a_second_a_batch(
    stream: FakeKinesis, tmp_path: Path
) -> None:
    """In process: LocalStack takes minutes for 200 shards. Each call takes 10 ms, as in a region."""
    for number in range(198):
        stream.shards[f"shardId-1{number:011d}"] = FakeShard()
    stream.before_records = lambda shard_id: time.sleep(0.01)
    query = Query(ledger=str(tmp_path), minPollSeconds="1")
    put: list[str] = []
    for _ in range(3):
        put += [sequence for name in stream.shards for sequence in stream.put(name, b"x")]
        started = time.monotonic()
        end = query.reader.latestOffset()
        ranges = query.reader.partitions(json.loads(query.offsets[-1]) if query.offsets else {}, end)
        assert time.monotonic() - started < 1.0
        assert len(ranges) == 200
        assert len(json.dumps(end)) < 50_000
        query.offsets.append(json.dumps(end))
        query.batch()
    assert sorted(query.sequences) == sorted(put)


def test_an_idle_stream_of_two_hundred_shards_is_asked_once_a_second_and_makes_no_commits(
    stream: FakeKinesis, tmp_path: Path
) -> None:
    """In process: LocalStack takes minutes for 200 shards."""
    for number in range(198):
        stream.shards[f"shardId-1{number:011d}"] = FakeShard()
    query = Query(ledger=str(tmp_path), minPollSeconds="1")
    query.drain()
    written = sorted(tmp_path.rglob("*.json"))
    stream.calls.clear()
    started = time.monotonic()
    while time.monotonic() - started < 3:
        assert not query.batch()
    asked = stream.count("get_records")
    assert len(asked) == 200
    assert max(asked.values()) <= (time.monotonic() - started) + 1
    assert sorted(tmp_path.rglob("*.json")) == written


# Credentials


class Service(ThreadingHTTPServer):
    """ListShards over HTTP for those who sign with the credentials of now; for others they have expired."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.key = "AKIAFIRST"
        self.signed: list[str] = []


class Answer(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        key = self.headers["Authorization"].partition("Credential=")[2].partition("/")[0]
        self.server.signed.append(key)
        shard = {"ShardId": ZERO, "SequenceNumberRange": {"StartingSequenceNumber": "0"}}
        status, answer = 200, {"Shards": [shard]}
        if key != self.server.key:
            status, answer = 400, {"__type": "ExpiredTokenException", "message": "The token has expired"}  # type: ignore[dict-item]
            os.environ.update({"AWS_ACCESS_KEY_ID": self.server.key, "AWS_SECRET_ACCESS_KEY": "planted-second"})
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_credentials_that_expire_are_renewed(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In process: LocalStack takes any credentials. The client, its signatures and HTTP are the real ones."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFIRST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-first")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    client = StreamClient("clicks", "us-east-1", f"http://127.0.0.1:{service.server_port}", 5)
    assert [shard.shard_id for shard in client.shards()] == [ZERO]
    service.key = "AKIASECOND"
    assert [shard.shard_id for shard in client.shards()] == [ZERO]
    assert service.signed == ["AKIAFIRST", "AKIAFIRST", "AKIASECOND"]
    assert "ExpiredTokenException" in caplog.text
    assert "planted" not in caplog.text
    assert "AKIA" not in caplog.text
    assert "planted" not in repr(client)


# The stream was replaced, the checkpoint was lost


def last_records(query: Query) -> dict[str, Position]:
    """The last record of each shard in a query's sink."""
    rows = [row for batch in sorted(query.sink) for row in query.sink[batch]]
    return {
        row["shard_id"]: Position(
            Kind.AFTER_SEQUENCE_NUMBER, row["sequence_number"], round(row["arrived_at"].timestamp(), 3)
        )
        for row in rows
    }


def without_checkpoint(query: Query, ledger: Path) -> Query:
    """The query with a new checkpoint, over its sink."""
    Ledger(Storage.open(str(ledger))).note_resume(last_records(query))
    return Query(**query.options | {"ledger": str(ledger)})


@pytest.mark.parametrize("seed", range(20))
def test_a_lost_checkpoint_goes_on_behind_what_the_sink_holds(stream: FakeKinesis, tmp_path: Path, seed: int) -> None:
    """In process, for the sake of many reshards: every record once, whatever generation each shard had reached."""
    chance = random.Random(seed)
    query = Query(ledger=str(tmp_path / "ledger"), maxRecordsPerShard=str(chance.randint(1, 5)))
    put: list[str] = []

    def happens() -> None:
        still_open = [name for name, shard in stream.shards.items() if not shard.closed]
        action = chance.random()
        if action < 0.6:
            put.extend(stream.put(chance.choice(still_open), *[b"x"] * chance.randint(1, 9)))
        elif action < 0.8:
            stream.split(chance.choice(still_open))
        elif len(still_open) > 1:
            stream.merge(*chance.sample(still_open, 2))

    for _ in range(30):
        happens()
        if chance.random() < 0.4:
            query.batch()
    if not query.sink:
        query.batch()
    again = without_checkpoint(query, tmp_path / "new")
    for _ in range(10):
        happens()
        again.batch()
    again.drain()
    assert sorted(query.sequences + again.sequences) == sorted(put)


def test_a_lost_checkpoint_does_not_hide_what_was_trimmed_meanwhile(stream: FakeKinesis, tmp_path: Path) -> None:
    """In process: LocalStack does not trim."""
    stream.retention_hours = 1
    query = Query(ledger=str(tmp_path / "ledger"))
    (read,) = stream.put(ZERO, b"read", age=3 * HOUR)
    stream.created -= 4 * HOUR
    query.drain()
    stream.put(ZERO, b"lost", age=2 * HOUR)
    stream.trim(ZERO, 2)
    stream.put(ZERO, b"kept")
    with pytest.raises(DataLossError, match=rf"stream clicks, shard {ZERO}, after {read}"):
        without_checkpoint(query, tmp_path / "new").drain()


def test_records_of_an_earlier_stream_are_no_place_in_the_one_of_today(
    stream: FakeKinesis, reported: Reported, tmp_path: Path
) -> None:
    """In process; on LocalStack in tests/integration/test_kinesis_resilience.py."""
    query = Query(ledger=str(tmp_path / "ledger"))
    (read,) = stream.put(ZERO, b"a", age=700)
    query.drain()
    stream.recreate()
    put = stream.put(ZERO, b"b", b"c")
    again = without_checkpoint(query, tmp_path / "new")
    again.drain()
    assert again.sequences == put
    (loss,) = Offset.from_json(json.loads(again.offsets[0])).losses
    assert loss == f"stream clicks: an earlier stream of this name was read up to {read}; records may be lost"
    assert reported.sums == {(GAPS, "clicks"): 1}


def at(number: int, arrived: float = 1000.0) -> Position:
    return Position(Kind.AFTER_SEQUENCE_NUMBER, str(number), arrived)


FRESH = Position(Kind.TRIM_HORIZON)


@pytest.mark.parametrize(
    ("listing", "read", "positions"),
    [
        ([Shard("a"), Shard("b")], {"a": at(1)}, {"a": at(1), "b": FRESH}),
        ([Shard("a"), Shard("b", ("a",)), Shard("c", ("a",))], {"a": at(1)}, {"a": at(1)}),
        ([Shard("a"), Shard("b", ("a",)), Shard("c", ("a",))], {"a": at(1), "b": at(2)}, {"b": at(2), "c": FRESH}),
        ([Shard("a"), Shard("b", ("a",)), Shard("c", ("b",))], {"c": at(2)}, {"c": at(2)}),
        ([Shard("a"), Shard("b"), Shard("m", ("a", "b"))], {"a": at(1)}, {"a": at(1), "b": FRESH}),
        ([Shard("b", ("a",)), Shard("c", ("a",))], {"a": at(1), "b": at(2)}, {"b": at(2), "c": FRESH}),
        ([Shard("b", ("a",))], {"a": at(1, 10.0), "z": at(3, 2000.0)}, {"b": FRESH, "z": at(3, 2000.0)}),
        ([Shard("b")], {"a": at(1)}, {"b": FRESH, "a": at(1)}),
    ],
    ids=["unread", "parent", "child", "grandchild", "merge", "gone parent", "long gone", "gone unread"],
)
def test_where_each_shard_goes_on(
    listing: list[Shard], read: dict[str, Position], positions: dict[str, Position]
) -> None:
    assert resume_positions(listing, read, 500.0) == positions
