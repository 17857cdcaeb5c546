"""The Kinesis source against an in-process Kinesis: what idle and large streams cost, and what a batch takes."""

import json
import time
from pathlib import Path

from runtime.storage import Storage
from tests.unit.fake_kinesis import ONE, ZERO, FakeKinesis, Query, numbered


def test_an_idle_stream_makes_no_batch_after_the_first(stream: FakeKinesis, query: Query) -> None:
    assert query.batch()
    assert query.sink == {0: []}
    assert not any(query.batch() for _ in range(20))
    query.start()
    assert not any(query.batch() for _ in range(20))


def test_an_idle_shard_is_asked_at_most_once_in_the_poll_time(stream: FakeKinesis, tmp_path: Path) -> None:
    query = Query(ledger=str(tmp_path), minPollSeconds="0.2")
    stream.put(ZERO, b"a")
    query.drain()
    stream.calls.clear()
    started = time.monotonic()
    while time.monotonic() - started < 1.0:
        assert not query.batch()
    asked, most = stream.count("get_records"), (time.monotonic() - started) / 0.2 + 1
    assert set(asked) == {ZERO, ONE}
    assert all(2 <= times <= most for times in asked.values())
    assert not stream.count("get_shard_iterator")


def test_a_plan_never_misses_what_was_there_before_it(stream: FakeKinesis, tmp_path: Path) -> None:
    query = Query(ledger=str(tmp_path), minPollSeconds="0.3")
    query.drain()
    put = stream.put(ONE, b"a")
    assert query.batch()  # though the shard was asked a moment ago
    assert query.sequences == put


def test_two_hundred_shards_are_planned_within_a_second(stream: FakeKinesis, query: Query) -> None:
    for number in range(198):
        stream.shards[f"shardId-1{number:011d}"] = type(stream.shards[ZERO])()
    put = [sequence for name in stream.shards for sequence in stream.put(name, b"x")]
    started = time.monotonic()
    first = query.reader.latestOffset()
    first_plan = time.monotonic() - started
    query.offsets.append(json.dumps(first))
    query.batch()
    assert sorted(query.sequences) == sorted(put)
    put += stream.put(ONE, b"y")
    started = time.monotonic()
    assert query.reader.latestOffset()["reads"] == [ONE]
    assert max(first_plan, time.monotonic() - started) < 1.0


def test_only_shards_with_records_are_read(stream: FakeKinesis, query: Query) -> None:
    stream.put(ONE, b"x")
    assert query.reader.latestOffset()["reads"] == [ONE]


def test_a_shard_with_more_behind_its_batch_is_read_on_without_being_asked(stream: FakeKinesis, tmp_path: Path) -> None:
    query = Query(ledger=str(tmp_path), maxRecordsPerShard="3")
    put = stream.put(ZERO, *numbered(0, 6))
    query.batch()
    stream.calls.clear()
    assert query.reader.latestOffset()["reads"] == [ZERO]
    assert stream.count("get_records") == {ONE: 1}
    query.drain()
    assert query.sequences == put


def test_records_behind_an_answer_that_claims_the_tip_are_read(stream: FakeKinesis, tmp_path: Path) -> None:
    stream.always_says_tip = True
    stream.page_records = 3
    query = Query(ledger=str(tmp_path))
    put = stream.put(ZERO, *numbered(0, 20))
    query.drain()
    assert query.sequences == put


def test_limits_bound_a_batch(stream: FakeKinesis, tmp_path: Path) -> None:
    stream.page_records = 4
    put = stream.put(ZERO, *[b"x" * 100] * 30)
    query = Query(ledger=str(tmp_path / "a"), maxRecordsPerShard="7")
    query.drain()
    assert [len(rows) for rows in query.sink.values()] == [7, 7, 7, 7, 2]
    other = Query(ledger=str(tmp_path / "b"), maxBytesPerShard="500")
    other.drain()
    assert [len(rows) for rows in other.sink.values()] == [8, 8, 8, 6]
    assert query.sequences == other.sequences == put


def test_old_ledger_entries_are_removed(stream: FakeKinesis, query: Query) -> None:
    for _ in range(160):
        stream.put(ZERO, b"x")
        query.batch()
    epochs = sorted(int(folder.name) for folder in Path(query.options["ledger"]).iterdir() if folder.name.isdigit())
    kept = [int(each.key.split("/")[0]) for each in Storage.open(query.options["ledger"]).list() if "/" in each.key]
    assert (min(kept), max(kept), len(kept)) == (50, 160, 111)
    assert epochs[-1] == 160
