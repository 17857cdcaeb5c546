"""The Kinesis source against an in-process Kinesis: shards that split, merge and expire, and where a query starts."""

import json
import logging
import time
from contextlib import suppress
from pathlib import Path

import pytest

from streaming.fetch import DataLossError
from streaming.planner import StreamReplaced
from tests.unit.fake_kinesis import ONE, STEPS, ZERO, Crash, FakeKinesis, Query, numbered


def test_parents_are_drained_before_their_children_are_read(stream: FakeKinesis, tmp_path: Path) -> None:
    query = Query(ledger=str(tmp_path), maxRecordsPerShard="3")
    parent = stream.put(ZERO, *numbered(0, 10))
    left, right = stream.split(ZERO)
    children = stream.put(left, *numbered(10, 14)) + stream.put(right, *numbered(20, 24))
    merged = stream.merge(left, right)
    grandchild = stream.put(merged, *numbered(30, 34))
    other = stream.put(ONE, *numbered(40, 60))
    query.drain()
    order = [sequence for sequence in query.sequences if sequence not in other]
    assert order[:10] == parent
    assert sorted(order[10:18]) == sorted(children)
    assert order[18:] == grandchild
    assert sorted(query.sequences) == sorted(parent + children + grandchild + other)


@pytest.mark.parametrize("running", [True, False])
def test_generations_of_reshards_while_running_or_stopped(stream: FakeKinesis, query: Query, running: bool) -> None:
    put = stream.put(ZERO, b"a") + stream.put(ONE, b"b")
    query.drain()
    for generation in range(4):
        still_open = [name for name, shard in stream.shards.items() if not shard.closed]
        put += [sequence for name in still_open for sequence in stream.put(name, b"before %d" % generation)]
        halves = stream.split(still_open[0])
        put += stream.put(halves[0], b"left") + stream.put(halves[1], b"right")
        if generation % 2:
            put += stream.put(stream.merge(halves[1], still_open[1]), b"merged")
        if running:
            query.drain()
    query.start()
    query.drain()
    assert sorted(query.sequences) == sorted(put)


def test_parents_that_expire_after_they_were_drained_are_not_missed(stream: FakeKinesis, query: Query) -> None:
    put = stream.put(ZERO, b"a")
    left, right = stream.split(ZERO)
    put += stream.put(left, b"b")
    query.drain()
    stream.expire(ZERO)
    put += stream.put(right, b"c")
    left_left, _ = stream.split(left)
    put += stream.put(left_left, b"d")
    query.start()
    query.drain()
    stream.expire(left)
    put += stream.put(left_left, b"e")
    query.start()
    query.drain()
    assert sorted(query.sequences) == sorted(put)


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_exactly_on_a_split_and_on_a_merge(stream: FakeKinesis, query: Query, step: str) -> None:
    put = stream.put(ZERO, b"a") + stream.put(ONE, b"b")
    left, right = stream.split(ZERO)
    put += stream.put(left, b"c") + stream.put(right, b"d")
    for _ in range(2):  # the batch in which the parent ends, and the one in which the children start
        with pytest.raises(Crash):
            query.batch(crash_at=step)
        query.start()
    put += stream.put(stream.merge(right, ONE), b"e")
    for _ in range(2):
        with suppress(Crash):  # all may have been read by now
            query.batch(crash_at=step)
        query.start()
    query.drain()
    assert sorted(query.sequences) == sorted(put)


def test_offsets_hold_only_shards_that_are_not_done_with(stream: FakeKinesis, query: Query) -> None:
    last = ZERO
    for _ in range(60):
        stream.put(last, b"x")
        last = stream.merge(*stream.split(last))
        query.drain()
    stream.put(last, b"x")
    query.drain()
    assert set(json.loads(query.offsets[-1])["shards"]) == {ONE, last}
    assert len(query.sequences) == 61


def test_a_shard_that_expired_unread_is_a_loss(
    stream: FakeKinesis, query: Query, caplog: pytest.LogCaptureFixture
) -> None:
    first = stream.put(ZERO, b"a")
    query.drain()
    stream.put(ZERO, b"never read")
    left, _ = stream.split(ZERO)
    kept = stream.put(left, b"b")
    stream.expire(ZERO)
    query.start()
    with pytest.raises(
        DataLossError, match=rf"stream clicks: shard {ZERO} expired .*{first[-1]}.*failOnDataLoss=false"
    ):
        query.batch()
    query.start(failOnDataLoss="false")
    with caplog.at_level(logging.ERROR):
        query.drain()
    assert query.sequences == first + kept
    assert f"shard {ZERO} expired before it was read to its end (read up to {first[-1]})" in caplog.text


def test_a_stream_made_again_under_its_name_is_refused(stream: FakeKinesis, query: Query) -> None:
    stream.put(ZERO, b"a")
    query.drain()
    stream.recreate()
    stream.put(ZERO, b"b")
    for _ in range(2):  # by the running query, and by one that starts
        with pytest.raises(StreamReplaced, match=r"clicks was deleted and made again.*new checkpoint folder"):
            query.drain()
        query.start()


# Where a query starts


def test_latest_starts_now_and_keeps_that_start(stream: FakeKinesis, tmp_path: Path) -> None:
    stream.put(ZERO, b"old", age=5)
    stream.split(ZERO)
    query = Query(ledger=str(tmp_path), initialPosition="latest")
    query.batch()
    put = stream.put(ONE, b"new")  # arrived while the query was down, after its start
    time.sleep(0.01)
    query.start()
    left, _ = stream.split("shardId-000000000002")
    put += stream.put(left, b"newer")
    query.drain()
    assert query.data == [b"new", b"newer"]
    assert query.sequences == put


def test_at_timestamp_goes_for_every_generation_of_shards(stream: FakeKinesis, tmp_path: Path) -> None:
    stream.put(ZERO, b"too old", age=100)
    left, right = stream.split(ZERO)
    stream.put(left, b"old", age=90)
    put = stream.put(left, b"a", age=10) + stream.put(right, b"b", age=9)
    merged = stream.merge(left, right)
    put += stream.put(merged, b"c", age=5)
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 50))
    query = Query(ledger=str(tmp_path), initialPosition=f"AT_TIMESTAMP {moment}")
    query.drain()
    assert query.sequences == put


def test_trim_horizon_starts_with_the_oldest_generation(stream: FakeKinesis, query: Query) -> None:
    put = stream.put(ZERO, b"a")
    left, _ = stream.split(ZERO)
    put += stream.put(left, b"b")
    query.drain()
    assert query.sequences == put
