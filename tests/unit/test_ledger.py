"""The ledger's protocol, step by step, on a folder: who decides a range, and what every later attempt gets."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from runtime.storage import Storage
from streaming.ledger import Entry, Ledger, LedgerError, Reading, read_once
from streaming.shards import Kind, Position

START = Position(Kind.TRIM_HORIZON)
SHARD = "shardId-000000000000"


def entry(last: str, records: int, **more: object) -> Entry:
    return Entry(START, Position(Kind.AFTER_SEQUENCE_NUMBER, last, 1000.5), records, **more)  # type: ignore[arg-type]


def reading(held: Entry) -> Reading:
    return Reading(held, [pa.record_batch({"up_to": [held.end.value]})])


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(Storage.open(str(tmp_path)))


class Attempt:
    """One attempt at a range that would find `fresh`; it remembers what it did."""

    def __init__(self, ledger: Ledger, fresh: Entry) -> None:
        self.ledger, self.fresh = ledger, fresh
        self.did: list[str] = []

    def run(self, start: Position = START) -> Reading:
        return read_once(self.ledger, 7, SHARD, start, read_to_limit=self.read_to_limit, read_exactly=self.read_exactly)

    def read_to_limit(self) -> Reading:
        self.did.append("read to the limit")
        return reading(self.fresh)

    def read_exactly(self, held: Entry) -> Reading:
        self.did.append(f"read exactly to {held.end.value}")
        return reading(held)


def test_the_first_attempt_decides_and_reads_once(ledger: Ledger, tmp_path: Path) -> None:
    attempt = Attempt(ledger, entry("30", 3))
    assert attempt.run() == reading(entry("30", 3))
    assert attempt.did == ["read to the limit"]
    assert json.loads((tmp_path / "7" / f"{SHARD}.json").read_text()) == {
        "start": {"from": "TRIM_HORIZON"},
        "end": {"from": "AFTER_SEQUENCE_NUMBER", "value": "30", "complete_until": 1000.5},
        "records": 3,
        "first": None,
        "behind": False,
        "gap": None,
        "retries": 0,
    }


def test_a_later_attempt_reads_the_decided_range_only(ledger: Ledger) -> None:
    Attempt(ledger, entry("30", 3)).run()
    second = Attempt(ledger, entry("50", 5))
    assert second.run() == reading(entry("30", 3))
    assert second.did == ["read exactly to 30"]


def test_an_attempt_that_loses_the_race_drops_what_it_read(ledger: Ledger) -> None:
    slow = Attempt(ledger, entry("50", 5))

    def overtaken() -> Reading:
        Attempt(ledger, entry("30", 3)).run()
        slow.did.append("read to the limit")
        return reading(slow.fresh)

    slow.read_to_limit = overtaken  # type: ignore[method-assign]
    assert slow.run() == reading(entry("30", 3))
    assert slow.did == ["read to the limit", "read exactly to 30"]


def test_an_attempt_that_loses_to_the_same_range_keeps_what_it_read(ledger: Ledger) -> None:
    ledger.add(7, SHARD, entry("30", 3))
    attempt = Attempt(ledger, entry("30", 3))
    found = iter([None, entry("30", 3)])
    blind = _Blind(ledger.storage, found)
    assert read_once(
        blind, 7, SHARD, START, read_to_limit=attempt.read_to_limit, read_exactly=attempt.read_exactly
    ) == reading(entry("30", 3))
    assert attempt.did == ["read to the limit"]


def test_nothing_is_written_when_reading_fails(ledger: Ledger) -> None:
    attempt = Attempt(ledger, entry("30", 3))

    def fail() -> Reading:
        raise OSError("gone")

    attempt.read_to_limit = fail  # type: ignore[method-assign]
    with pytest.raises(OSError, match="gone"):
        attempt.run()
    assert ledger.find(7, SHARD) is None


def test_an_entry_that_starts_elsewhere_is_refused(ledger: Ledger) -> None:
    Attempt(ledger, entry("30", 3)).run()
    elsewhere = Position(Kind.AFTER_SEQUENCE_NUMBER, "10")
    with pytest.raises(LedgerError, match=rf"7/{SHARD}\.json starts at .*TRIM_HORIZON.*another checkpoint's"):
        Attempt(ledger, entry("30", 2)).run(elsewhere)


def test_what_is_known_of_the_past_does_not_make_another_start(ledger: Ledger) -> None:
    Attempt(ledger, entry("30", 3)).run()
    later = Position(Kind.TRIM_HORIZON, complete_until=99.0)
    assert Attempt(ledger, entry("50", 5)).run(later) == reading(entry("30", 3))


def test_what_is_gone_when_a_range_is_read_again_is_noted_before_a_row_is_handed_over(ledger: Ledger) -> None:
    held = ledger.add(7, SHARD, entry("30", 3))

    def read_again(gap: str | None) -> Reading:
        again = replace(reading(held), gap=gap)
        return read_once(
            ledger, 7, SHARD, START, read_to_limit=lambda: pytest.fail("decided already"), read_exactly=lambda _: again
        )

    assert read_again(None).gap is None
    assert ledger.gaps_of(7) == {}
    read_again("1 of 3 is gone")
    read_again("2 of 3 are gone")
    ledger.note_gap(7, "shardId-000000000001", "all gone")
    assert ledger.gaps_of(7) == {SHARD: "1 of 3 is gone", "shardId-000000000001": "all gone"}
    assert ledger.gaps_of(8) == {}
    assert ledger.of_epoch(7, [SHARD]) == {SHARD: held}
    ledger.forget_before(8)
    assert ledger.gaps_of(7) == {}


def test_entries_come_back_as_they_were_written(ledger: Ledger) -> None:
    whole = Entry(
        Position(Kind.AT_TIMESTAMP, "1795423214.25", 1795423214.25),
        Position(Kind.AFTER_SEQUENCE_NUMBER, "49680485717254686255941796277", 3.0, finished=True),
        records=12,
        first="49680485717254686255941796270",
        behind=True,
        gap="two hours",
        retries=4,
    )
    assert ledger.add(1, SHARD, whole) == whole
    assert ledger.find(1, SHARD) == whole
    assert ledger.of_epoch(1, [SHARD]) == {SHARD: whole}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"start": {}}', b'{"start": {"from": "X"}, "end": {}}', b"\xff"]
)
def test_a_damaged_entry_is_named(ledger: Ledger, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / f"{SHARD}.json").write_bytes(content)
    told = rf"1/{SHARD}\.json is damaged .*\. Put the ledger folder back from a copy, or start with a new checkpoint"
    with pytest.raises(LedgerError, match=told) as refused:
        ledger.find(1, SHARD)
    assert "remov" not in str(refused.value), "read afresh, its batch may be another one than the sink has"


def test_missing_entries_of_a_finished_epoch_are_all_named(ledger: Ledger) -> None:
    ledger.add(3, "a", entry("30", 3))
    with pytest.raises(LedgerError, match=r"epoch 3 is done but .*3/b\.json, .*3/c\.json is missing"):
        ledger.of_epoch(3, ["a", "b", "c"])


def test_cleaning_removes_earlier_epochs_only(ledger: Ledger) -> None:
    for epoch in (1, 2, 9, 10, 11, 100):
        ledger.add(epoch, SHARD, entry("30", 3))
    ledger.note_idle(100, 5.0)
    ledger.forget_before(10)
    assert [each.key for each in ledger.storage.list()] == [
        f"10/{SHARD}.json",
        f"100/{SHARD}.json",
        f"11/{SHARD}.json",
        "idle.json",
    ]


def test_idleness_is_remembered_for_its_epoch_only(ledger: Ledger) -> None:
    assert ledger.idle_until(4) is None
    ledger.note_idle(4, 1234.5)
    assert (ledger.idle_until(4), ledger.idle_until(5)) == (1234.5, None)


class _Blind(Ledger):
    """A ledger whose first look comes too early."""

    def __init__(self, storage: Storage, found: object) -> None:
        super().__init__(storage)
        object.__setattr__(self, "found", found)

    def find(self, epoch: int, shard_id: str) -> Entry | None:
        return next(self.found)  # type: ignore[attr-defined, no-any-return]
