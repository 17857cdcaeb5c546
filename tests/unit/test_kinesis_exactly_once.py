"""The Kinesis source against an in-process Kinesis: crashes, attempts that repeat, and a ledger that fails."""

import json
import random
import threading
from pathlib import Path

import pytest

from runtime.storage import Storage
from streaming.ledger import LedgerError
from streaming.shards import Offset
from tests.unit.fake_kinesis import ONE, STEPS, ZERO, Crash, FakeKinesis, Query, failing, numbered


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
        broken.setattr(Storage, "put_if_absent", failing(OSError("disk full")))
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
