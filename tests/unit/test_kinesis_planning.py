"""The Kinesis source against an in-process Kinesis: planning, restarts, reshards, faults. No JVM, no network."""

import json
import logging
import os
import pickle
import random
import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import botocore.parsers
import botocore.session
import pytest
from botocore.exceptions import ConnectionClosedError, NoRegionError, ReadTimeoutError

from runtime.storage import Storage
from streaming import fetch, kinesis_client, planner
from streaming.fetch import DataLossError, ShardRange
from streaming.kinesis import KinesisDataSource, KinesisStreamReader
from streaming.kinesis_client import KinesisError, NotFound, Unavailable
from streaming.kinesis_options import OPTION_NAMES, KinesisOptions, OptionError
from streaming.ledger import Ledger, LedgerError
from streaming.planner import StreamReplaced
from streaming.shards import Kind, Offset
from tests.unit.fake_kinesis import HOUR, STEPS, Crash, FakeKinesis, Query, refusal

ZERO, ONE = "shardId-000000000000", "shardId-000000000001"


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> FakeKinesis:
    fake = FakeKinesis()
    monkeypatch.setattr(kinesis_client, "connect", lambda region, endpoint: fake)
    monkeypatch.setattr(kinesis_client, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(fetch, "EMPTY_PAGE_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(fetch, "_CONTINUE", {})
    return fake


@pytest.fixture
def query(stream: FakeKinesis, tmp_path: Path) -> Query:
    return Query(ledger=str(tmp_path / "ledger"))


def numbered(first: int, last: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, last)]


# Exactly once


def test_two_shards_are_read_whole_and_in_order(stream: FakeKinesis, query: Query) -> None:
    zero = stream.put(ZERO, *numbered(0, 25))
    one = stream.put(ONE, *numbered(100, 130))
    query.drain()
    assert [s for s in query.sequences if s in zero] == zero
    assert [s for s in query.sequences if s in one] == one
    assert len(query.sequences) == 55


def test_a_row_has_every_column_of_its_record(stream: FakeKinesis, query: Query) -> None:
    (sequence,) = stream.put(ONE, b'{"a": 1}', key="till 7")
    query.drain()
    (row,) = query.sink[0]
    arrived = stream.shards[ONE].records[0][1]
    assert abs(row.pop("arrived_at").timestamp() - arrived) < 1e-6
    assert row == {
        "stream": "clicks",
        "shard_id": ONE,
        "sequence_number": sequence,
        "sub_sequence_number": None,
        "partition_key": "till 7",
        "data": b'{"a": 1}',
    }


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("batch", [0, 1, 2])
def test_a_crash_at_any_step_loses_and_doubles_nothing(
    stream: FakeKinesis, tmp_path: Path, step: str, batch: int
) -> None:
    query = Query(ledger=str(tmp_path), maxRecordsPerShard="4")
    put = stream.put(ZERO, *numbered(0, 10)) + stream.put(ONE, *numbered(100, 107))
    for _ in range(batch):
        query.batch()
    with pytest.raises(Crash):
        query.batch(crash_at=step)
    put += stream.put(ZERO, *numbered(10, 15))  # the second attempt could read further than the first
    query.start()
    query.drain()
    assert sorted(query.sequences) == sorted(put)


@pytest.mark.parametrize("seed", range(20))
def test_random_crashes_reshards_expiring_parents_and_arrivals_lose_and_double_nothing(
    stream: FakeKinesis, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    query = Query(ledger=str(tmp_path), maxRecordsPerShard=str(chance.randint(1, 7)))
    put: list[str] = []
    expired: list[str] = []
    for _ in range(60):
        still_open = [name for name, shard in stream.shards.items() if not shard.closed]
        action = chance.random()
        if action < 0.5:
            put += stream.put(chance.choice(still_open), *numbered(0, chance.randint(1, 9)))
        elif action < 0.6:
            stream.split(chance.choice(still_open))
        elif action < 0.68 and len(still_open) > 1:
            stream.merge(*chance.sample(still_open, 2))
        elif action < 0.72:
            stream.expire_iterators()
        elif action < 0.85:
            expired += expire_drained(stream, query)
        elif action < 0.9:
            query.start()
        try:
            query.batch(crash_at=chance.choice([None, None, *STEPS]))
        except Crash:
            query.start()
    for _ in range(3):
        query.start()
        query.drain()
        assert sorted(query.sequences) == sorted(put)
        expired += expire_drained(stream, query)
        put += [each for name, shard in stream.shards.items() if not shard.closed for each in stream.put(name, b"last")]
    assert expired


def expire_drained(stream: FakeKinesis, query: Query) -> list[str]:
    """Lets the retention pass of shards that need not be read any more, a parent's before its children's."""
    drained = sorted(drained_shards(stream, query) & stream.shards.keys())
    expired = [name for name in drained if stream.shards.keys().isdisjoint(stream.shards[name].parents)]
    for name in expired:
        stream.expire(name)
    return expired


def drained_shards(stream: FakeKinesis, query: Query) -> set[str]:
    """The shards that no batch has to read any more, as the last offset and the entries of committed batches say."""
    positions = Offset.from_json(json.loads(query.offsets[-1])).shards if query.offsets else {}
    ended = {name for name, position in positions.items() if position.finished}
    for number in range(query.committed):
        for path in Path(query.options["ledger"]).glob(f"{number + 1}/*.json"):
            ended |= {path.stem} if json.loads(path.read_text())["end"].get("finished") else set()
    waiting = [*positions]  # Where an offset has a shard, it is done with the shard's ancestors.
    while waiting:
        parents = stream.shards[each].parents if (each := waiting.pop()) in stream.shards else ()
        ended |= (new := set(parents) & stream.shards.keys() - positions.keys())
        waiting += new
    return ended


def test_a_retried_task_reads_the_range_of_the_first_attempt(stream: FakeKinesis, query: Query) -> None:
    first = stream.put(ZERO, *numbered(0, 3))
    end = query.reader.latestOffset()
    start = query.reader.initialOffset()
    assert [row["sequence_number"] for row in query.rows(start, end)] == first
    stream.put(ZERO, *numbered(3, 9))
    assert [row["sequence_number"] for row in query.rows(start, end)] == first


def test_attempts_that_run_at_the_same_time_give_the_same_rows(stream: FakeKinesis, query: Query) -> None:
    stream.put(ZERO, *numbered(0, 3))
    start, end = query.reader.initialOffset(), query.reader.latestOffset()
    together, arrivals = threading.Barrier(6), iter(range(1000))
    results: list[list[str]] = []

    def meet(shard_id: str) -> None:
        if next(arrivals) < 6:  # every attempt's first call: nobody finds an entry yet
            together.wait(5)
        stream.put(ZERO, b"late")

    stream.before_records = meet

    def attempt() -> None:
        results.append([row["sequence_number"] for row in query.rows(start, end)])

    partitions = query.reader.partitions(start, end)
    query.reader.partitions = lambda start, end: partitions  # type: ignore[method-assign]
    threads = [threading.Thread(target=attempt) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert len({tuple(result) for result in results}) == 1


@pytest.mark.parametrize("missing", [(ZERO,), (ONE,), (ZERO, ONE)])
def test_a_planned_epoch_without_entries_is_read_afresh_from_the_same_starts(
    stream: FakeKinesis, query: Query, missing: tuple[str, ...]
) -> None:
    """What is missing is read as far as it goes by now; an entry that is there still says where its range ends."""
    put = {name: stream.put(name, *numbered(0, 3)) for name in (ZERO, ONE)}
    with pytest.raises(Crash):
        query.batch(crash_at="read")
    for name in missing:
        (Path(query.options["ledger"]) / "1" / f"{name}.json").unlink()
    late = {name: stream.put(name, *numbered(3, 5)) for name in (ZERO, ONE)}
    query.start()
    query.batch()
    assert query.sequences == [each for name in (ZERO, ONE) for each in put[name] + late[name] * (name in missing)]
    query.drain()
    assert sorted(query.sequences) == sorted(put[ZERO] + put[ONE] + late[ZERO] + late[ONE])


def test_a_committed_epoch_without_its_entry_is_refused_with_what_to_do(stream: FakeKinesis, query: Query) -> None:
    stream.put(ZERO, b"1")
    query.drain()
    (Path(query.options["ledger"]) / "1" / f"{ZERO}.json").unlink()
    query.start()
    with pytest.raises(LedgerError, match=rf"epoch 1 is done but .*1/{ZERO}\.json is missing.*AT_TIMESTAMP"):
        query.batch()


def test_a_failing_ledger_write_yields_no_row_and_the_next_attempt_is_whole(
    stream: FakeKinesis, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = stream.put(ZERO, b"1", b"2")
    start, end = query.reader.initialOffset(), query.reader.latestOffset()
    with monkeypatch.context() as broken:
        broken.setattr(Storage, "put_if_absent", _raise(OSError("disk full")))
        (partition,) = query.reader.partitions(start, end)
        with pytest.raises(OSError, match="disk full"):
            next(query.reader.read(partition))
    assert [row["sequence_number"] for row in query.rows(start, end)] == put


@pytest.mark.parametrize("answer", ["raises", "says no"])
def test_a_ledger_write_whose_answer_is_lost_still_decides(
    stream: FakeKinesis, query: Query, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    put = stream.put(ZERO, b"1", b"2")
    start, end = query.reader.initialOffset(), query.reader.latestOffset()
    write = Storage.put_if_absent

    def lost(storage: Storage, key: str, data: bytes) -> bool:
        write(storage, key, data)
        if answer == "raises":
            raise OSError("connection reset")
        return False

    (partition,) = query.reader.partitions(start, end)
    with monkeypatch.context() as broken:
        broken.setattr(Storage, "put_if_absent", lost)
        if answer == "raises":
            with pytest.raises(OSError, match="connection reset"):
                next(query.reader.read(partition))
        else:
            assert [
                row for batch in query.reader.read(partition) for row in batch["sequence_number"].to_pylist()
            ] == put
    stream.put(ZERO, b"3")
    assert [row["sequence_number"] for row in query.rows(start, end)] == put


def test_a_slow_ledger_write_is_overtaken_and_both_attempts_give_the_same_rows(
    stream: FakeKinesis, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spark took the first attempt for lost and ran a second one, which had read further when it came to write."""
    put = stream.put(ZERO, b"1", b"2")
    start, end = query.reader.initialOffset(), query.reader.latestOffset()
    write, second = Storage.put_if_absent, list[str]()

    def slow(storage: Storage, key: str, data: bytes) -> bool:
        monkeypatch.setattr(Storage, "put_if_absent", write)
        put.extend(stream.put(ZERO, b"3"))
        second.extend(row["sequence_number"] for row in query.rows(start, end))
        return write(storage, key, data)

    monkeypatch.setattr(Storage, "put_if_absent", slow)
    assert [row["sequence_number"] for row in query.rows(start, end)] == put == second


def test_another_checkpoints_ledger_is_refused(stream: FakeKinesis, query: Query) -> None:
    stream.put(ZERO, b"1")
    query.drain()
    other = Query(ledger=query.options["ledger"], initialPosition="AT_TIMESTAMP 2026-01-01T00:00:00Z")
    with pytest.raises(LedgerError, match="Give every checkpoint its own ledger folder"):
        other.batch()


# Reshards


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


# Idle and large streams


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


# Faults that pass, and faults that do not


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
    monkeypatch.setattr(Storage, "list", _raise(OSError("slow down")))
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


# Every kind of payload


def test_payloads_come_as_they_are(stream: FakeKinesis, query: Query) -> None:
    payloads = [b"", b"\xff\xfe not text", b"x" * 1_048_576, b"\xf3\x89\x9a\xc2 no aggregate", "zürich".encode()]
    stream.put(ZERO, *payloads)
    query.drain()
    assert query.data == payloads


def test_the_parser_of_answers_agrees_with_botocores_own() -> None:
    answer = {
        "Records": [
            {"SequenceNumber": "1", "ApproximateArrivalTimestamp": 1795423214.323, "Data": "", "PartitionKey": "a"},
            {"SequenceNumber": "2", "ApproximateArrivalTimestamp": 1795423215, "Data": "/w==", "PartitionKey": "b"},
        ],
        "NextShardIterator": "next",
        "MillisBehindLatest": 5,
    }
    response = {"body": json.dumps(answer).encode(), "headers": {}, "status_code": 200, "context": {}}
    model = botocore.session.Session().get_service_model("kinesis").operation_model("GetRecords")
    assert model.output_shape is not None
    endpoint = kinesis_client.connect("us-east-1", None)._endpoint  # type: ignore[attr-defined]
    ours = endpoint._response_parser_factory.create_parser("json").parse(response, model.output_shape)
    theirs = botocore.parsers.create_parser("json").parse(response, model.output_shape)
    for record in theirs["Records"]:
        record["ApproximateArrivalTimestamp"] = record["ApproximateArrivalTimestamp"].timestamp()
    assert ours == theirs
    assert [record["Data"] for record in ours["Records"]] == [b"", b"\xff"]


# The interface to Spark


def test_the_reader_can_be_pickled_and_holds_no_credentials(
    stream: FakeKinesis, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "AWS_SECRET_ACCESS_KEY", "planted-secret")
    monkeypatch.setitem(os.environ, "AWS_ACCESS_KEY_ID", "planted-key")
    stream.put(ZERO, b"x")
    fresh = KinesisDataSource(query.options).streamReader(None)  # type: ignore[arg-type]
    query.drain()
    pickled = pickle.dumps(fresh) + "".join(query.offsets).encode()
    assert b"planted" not in pickled
    assert isinstance(pickle.loads(pickle.dumps(fresh)), KinesisStreamReader)


def test_a_reader_that_was_only_made_has_called_nothing(stream: FakeKinesis, tmp_path: Path) -> None:
    reader = KinesisDataSource({"stream": "clicks", "ledger": str(tmp_path)}).streamReader(None)  # type: ignore[arg-type]
    assert reader.initialOffset() == Offset().to_json()
    assert stream.calls == []


def test_a_foreign_offset_is_refused(query: Query) -> None:
    with pytest.raises(Exception, match=r"was not written by this Kinesis source"):
        query.reader.partitions({"shardId-0": "1"}, {"shardId-0": "2"})


def test_a_tasks_partition_says_all_it_needs(stream: FakeKinesis, query: Query) -> None:
    stream.put(ONE, b"x")
    (partition,) = query.reader.partitions(query.reader.initialOffset(), query.reader.latestOffset())
    assert isinstance(partition, ShardRange)
    assert (partition.shard_id, partition.epoch, partition.start.kind) == (ONE, 1, Kind.TRIM_HORIZON)
    assert partition.retention_seconds == 24 * HOUR


# Options


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("initalPosition", "LATEST", r"unknown option 'initalPosition'; there are stream, ledger, .*failOnDataLoss"),
        ("initialPosition", "EARLIEST", r"initialPosition = 'EARLIEST': allowed are TRIM_HORIZON, LATEST, and AT_TIME"),
        ("initialPosition", "AT_TIMESTAMP yesterday", r"initialPosition = 'AT_TIMESTAMP yesterday': allowed are"),
        ("maxRecordsPerShard", "0", r"maxRecordsPerShard = '0': allowed are whole numbers from 1 to 1000000"),
        ("maxRecordsPerShard", "ten", r"maxRecordsPerShard = 'ten': allowed are whole numbers"),
        ("maxFetchSeconds", "nan", r"maxFetchSeconds = 'nan': allowed are seconds from 0.1 to 600"),
        ("failOnDataLoss", "maybe", r"failOnDataLoss = 'maybe': allowed are true and false"),
        ("stream", "", r"option stream is required: the name of the Kinesis stream"),
        ("ledger", " ", r"option ledger is required: a folder or s3://"),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_allowed(option: str, value: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        KinesisDataSource({"stream": "clicks", "ledger": "/tmp/ledger", option: value})


def test_options_are_read_whatever_their_case() -> None:
    options = KinesisOptions.parse(
        {
            "STREAM": "clicks",
            "ledger": "l",
            "maxrecordspershard": "5",
            "initialposition": "at_timestamp 2026-01-31T00:00Z",
        }
    )
    assert (options.stream, options.max_records_per_shard) == ("clicks", 5)
    assert options.initial_position.timestamp == 1769817600.0


def test_the_documented_table_lists_every_option_and_its_default() -> None:
    rows = re.findall(r"^\s*\| `(\w+)` \| (.+?) \|", KinesisDataSource.__doc__ or "", re.MULTILINE)
    assert tuple(name for name, _ in rows) == (
        "stream", "ledger", "region", "endpoint", "initialPosition", "maxRecordsPerShard", "maxBytesPerShard",
        "maxFetchSeconds", "minPollSeconds", "shardRefreshSeconds", "maxRetrySeconds", "failOnDataLoss",
    ) == OPTION_NAMES  # fmt: skip
    defaults = KinesisOptions("s", "l")
    documented = dict(rows)
    assert documented["maxRecordsPerShard"] == str(defaults.max_records_per_shard)
    assert documented["maxBytesPerShard"] == str(defaults.max_bytes_per_shard)
    assert documented["maxFetchSeconds"] == f"{defaults.max_fetch_seconds:g}"
    assert documented["minPollSeconds"] == f"{defaults.min_poll_seconds:g}"
    assert documented["shardRefreshSeconds"] == f"{defaults.shard_refresh_seconds:g}"
    assert documented["maxRetrySeconds"] == f"{defaults.max_retry_seconds:g}"
    assert documented["failOnDataLoss"] == f"`{str(defaults.fail_on_data_loss).lower()}`"


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


def _raise(error: Exception):  # type: ignore[no-untyped-def]
    def fail(*arguments: object) -> None:
        raise error

    return fail
