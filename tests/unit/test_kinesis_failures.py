"""The Kinesis source against an in-process Kinesis: records trimmed unread, and faults that pass or do not."""

import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from botocore.exceptions import ConnectionClosedError, NoRegionError, ReadTimeoutError

from runtime.storage import Storage
from streaming import fetch, kinesis_client, planner
from streaming.fetch import DataLossError
from streaming.kinesis_client import KinesisError, NotFound, Unavailable
from streaming.ledger import Ledger
from tests.unit.fake_kinesis import HOUR, ONE, ZERO, Crash, FakeKinesis, Query, failing, numbered, refusal

# Trimmed records


@pytest.mark.parametrize("refuses", [True, False])
def test_records_trimmed_before_they_were_read(stream: FakeKinesis, query: Query, refuses: bool) -> None:
    stream.retention_hours, stream.refuses_trimmed = 1, refuses
    read = stream.put(ZERO, b"read", age=2 * HOUR)
    with pytest.raises(Crash):
        query.batch(crash_at="committed")
    stream.put(ZERO, b"lost", age=1.5 * HOUR)
    kept = stream.put(ZERO, b"kept")
    entry = Path(query.options["ledger"]) / "1" / f"{ZERO}.json"
    content = json.loads(entry.read_text())
    content["end"]["complete_until"] = time.time() - 2 * HOUR  # the crash was two hours ago
    entry.write_text(json.dumps(content))
    stream.trim(ZERO, 2)
    query.start()
    with pytest.raises(DataLossError, match=rf"stream clicks, shard {ZERO}, after {read[0]}: .*failOnDataLoss=false"):
        query.batch()
    query.start(failOnDataLoss="false")
    query.drain()
    assert query.sequences == read + kept
    gap = Ledger(Storage.open(query.options["ledger"])).find(2, ZERO)
    assert gap is not None
    assert f"shard {ZERO}, after {read[0]}" in (gap.gap or "")


def test_a_position_past_retention_whose_record_is_still_there_is_no_loss(stream: FakeKinesis, query: Query) -> None:
    stream.retention_hours = 1
    read = stream.put(ZERO, b"a", age=2 * HOUR)
    with pytest.raises(Crash):
        query.batch(crash_at="committed")
    _age_entries(query, 2 * HOUR)
    read += stream.put(ZERO, b"b")
    query.start()
    query.drain()
    assert query.sequences == read


def test_a_stream_that_was_idle_past_its_retention_has_lost_nothing(
    stream: FakeKinesis, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = stream.put(ZERO, b"a")
    query.drain()
    clock = _Clock()
    for module in (planner, fetch, kinesis_client):
        monkeypatch.setattr(module, "time", clock)
    for _ in range(100):  # two days, asked every half hour
        clock.shift += 1800
        assert not query.batch()
    stream.trim(ZERO, 1)
    clock.shift += HOUR
    query.start()  # an hour's downtime
    assert not query.batch()
    read += stream.put(ZERO, b"b")
    query.drain()
    assert query.sequences == read


def test_a_batch_whose_records_were_trimmed_cannot_be_read_again(stream: FakeKinesis, query: Query) -> None:
    put = stream.put(ZERO, b"a", b"b", b"c")
    start, end = query.reader.initialOffset(), query.reader.latestOffset()
    query.rows(start, end)
    stream.trim(ZERO, 2)
    stream.put(ZERO, b"d")
    with pytest.raises(DataLossError, match=rf"1 of the 3 records up to {put[-1]} were found again"):
        query.rows(start, end)
    query.start(failOnDataLoss="false")
    assert [row["sequence_number"] for row in query.rows(start, end)] == put[2:]
    told = f"1 of the 3 records up to {put[-1]} were found again; records may be lost"
    gaps = Ledger(Storage.open(query.options["ledger"])).gaps_of(1)
    assert gaps == {ZERO: f"stream clicks, shard {ZERO}, after TRIM_HORIZON: {told}"}


# Faults


@pytest.mark.parametrize("operation", ["get_records", "get_shard_iterator", "list_shards", "describe_stream_summary"])
@pytest.mark.parametrize(
    "error",
    [
        refusal("ProvisionedThroughputExceededException"),
        refusal("LimitExceededException"),
        refusal("InternalFailure", status=500),
        refusal("ExpiredTokenException"),
        ConnectionClosedError(endpoint_url="http://kinesis"),
        ReadTimeoutError(endpoint_url="http://kinesis"),
    ],
)
def test_faults_that_pass_are_sat_out(
    stream: FakeKinesis, query: Query, operation: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    put = stream.put(ZERO, *numbered(0, 5))
    stream.fail(operation, error, times=3)
    query.drain()
    assert query.sequences == put
    assert "clicks" in caplog.text


def test_an_iterator_that_expires_in_the_middle_is_replaced(stream: FakeKinesis, query: Query) -> None:
    stream.page_records = 2
    put = stream.put(ZERO, *numbered(0, 9))
    asked = 0

    def expire(shard_id: str) -> None:
        nonlocal asked
        asked += 1
        if asked in (2, 4):
            stream.faults.append(("get_records", shard_id, refusal("ExpiredIteratorException")))

    stream.before_records = expire
    query.drain()
    assert query.sequences == put


def test_a_service_that_stays_away_fails_the_task_with_stream_and_shard(stream: FakeKinesis, query: Query) -> None:
    stream.put(ZERO, b"x")
    query.start(maxRetrySeconds="0.1")
    start, end = query.reader.initialOffset(), query.reader.latestOffset()
    stream.fail("get_records", refusal("ProvisionedThroughputExceededException"), times=10_000)
    with pytest.raises(Unavailable, match=rf"stream clicks, shard {ZERO}: GetRecords failed: Provisioned"):
        query.rows(start, end)


def test_throttling_in_the_middle_keeps_what_was_read(stream: FakeKinesis, tmp_path: Path) -> None:
    stream.page_records = 4
    query = Query(ledger=str(tmp_path), maxFetchSeconds="0.1")
    put = stream.put(ZERO, *numbered(0, 12))
    end = query.reader.latestOffset()
    asked = 0

    def throttle(shard_id: str) -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            stream.fail("get_records", refusal("ProvisionedThroughputExceededException"), times=10_000)

    stream.before_records = throttle
    rows = query.rows(query.reader.initialOffset(), end)
    assert [row["sequence_number"] for row in rows] == put[:4]
    entry = Ledger(Storage.open(query.options["ledger"])).find(1, ZERO)
    assert entry is not None
    assert entry.behind
    assert entry.retries > 0
    stream.faults.clear()
    stream.before_records = lambda shard_id: None
    query.offsets.append(json.dumps(end))
    query.drain()
    assert query.sequences == put


def test_a_shard_that_cannot_be_asked_holds_up_the_end_of_a_drain_but_no_other_shard(
    stream: FakeKinesis, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "PEEK_PATIENCE_SECONDS", 0.05)
    query.start(maxRetrySeconds="0.3")
    query.drain()
    late = stream.put(ZERO, b"late")
    put = stream.put(ONE, b"x")
    stream.fail("get_records", refusal("ProvisionedThroughputExceededException"), times=100_000, shard_id=ZERO)
    assert query.batch()
    assert query.sequences == put
    with pytest.raises(Unavailable, match=f"shard {ZERO}"):
        query.batch()  # "nothing new" would be a guess
    stream.faults.clear()
    query.start()
    query.drain()
    assert query.sequences == put + late


def test_a_stream_that_does_not_exist_is_named(stream: FakeKinesis, query: Query) -> None:
    stream.fail("describe_stream_summary", refusal("ResourceNotFoundException", "Stream clicks not found"))
    with pytest.raises(NotFound, match="stream clicks: DescribeStreamSummary failed: ResourceNotFoundException"):
        query.batch()


def test_a_stream_that_is_deleted_while_the_query_runs_fails_it(stream: FakeKinesis, query: Query) -> None:
    query.drain()
    stream.shards.clear()
    stream.fail("describe_stream_summary", refusal("ResourceNotFoundException", "Stream clicks not found"))
    with pytest.raises(NotFound, match="stream clicks: DescribeStreamSummary failed"):
        query.batch()


def test_a_ledger_that_cannot_be_cleaned_does_not_stop_the_query(
    stream: FakeKinesis, query: Query, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(planner, "CLEANING_EPOCHS", 1)
    monkeypatch.setattr(Storage, "list", failing(OSError("slow down")))
    put = stream.put(ZERO, b"x")
    query.drain()
    assert query.sequences == put
    assert "old entries stay for now: slow down" in caplog.text


def test_a_refusal_that_no_repeat_can_mend_comes_at_once(stream: FakeKinesis, query: Query) -> None:
    stream.fail("list_shards", refusal("AccessDeniedException", "not authorised"))
    with pytest.raises(KinesisError, match="stream clicks: ListShards failed: AccessDeniedException: not authorised"):
        query.batch()
    assert stream.count("list_shards")[""] == 1


def test_a_missing_region_is_said(stream: FakeKinesis, query: Query) -> None:
    stream.fail("describe_stream_summary", NoRegionError())
    with pytest.raises(KinesisError, match="set the option region, or AWS_REGION"):
        query.batch()


def test_expired_credentials_make_a_new_client(stream: FakeKinesis, monkeypatch: pytest.MonkeyPatch) -> None:
    cleared: list[bool] = []
    monkeypatch.setattr(kinesis_client, "_connect", SimpleNamespace(cache_clear=lambda: cleared.append(True)))
    stream.fail("list_shards", refusal("ExpiredTokenException"))
    client = kinesis_client.StreamClient("clicks", None, None, 5)
    assert len(client.shards()) == 2
    assert cleared == [True]


class _Clock:
    """The time module with its clock set forward."""

    def __init__(self) -> None:
        self.shift = 0.0
        self.sleep = time.sleep
        self.gmtime, self.strftime = time.gmtime, time.strftime

    def time(self) -> float:
        return time.time() + self.shift

    def monotonic(self) -> float:
        return time.monotonic() + self.shift


def _age_entries(query: Query, seconds: float) -> None:
    """Lets the ledger's entries look as if they had been written that long ago."""
    for path in Path(query.options["ledger"]).glob("*/*.json"):
        content = json.loads(path.read_text())
        content["end"]["complete_until"] = time.time() - seconds
        path.write_text(json.dumps(content))
