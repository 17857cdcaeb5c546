"""One silver batch in memory: what comes in, what changes, what is rejected, and what each batch tells of itself."""

import json
from datetime import timedelta
from decimal import Decimal

import pyarrow as pa
import pytest

from lakehouse.engine.batch import Outcome
from lakehouse.engine.schemas import rejected_schema
from tests.unit.memory_lake import ALL_CONTRACTS, MemoryLake
from tests.unit.oracle_deliveries import ARRIVED, contact, records, stock, web

LINE = {
    "transaction_id": "T",
    "line_number": 1,
    "store_id": 1,
    "product_id": "A",
    "quantity": 2,
    "unit_price": "2.50",
    "revenue": "5.00",
    "timestamp": "2010-12-01T09:00:00Z",
}


def numbers(outcome: Outcome) -> tuple[int, int, int]:
    """How many rows came in, changed, and were rejected."""
    assert outcome.old.num_rows == outcome.new.num_rows
    return outcome.inserts.num_rows, outcome.new.num_rows, outcome.rejected.num_rows


def test_every_record_ends_in_exactly_one_place_and_is_counted() -> None:
    lake = MemoryLake("pos")
    delivered = records("pos", LINE, LINE, b"{", LINE | {"line_number": 2, "color": "red"}, LINE | {"store_id": 99})
    outcome = lake.process(delivered)
    assert numbers(outcome) == (2, 0, 3)
    assert (outcome.rows_in, outcome.candidates) == (5, 3)
    assert outcome.rules == {"duplicate": 1, "malformed_json": 1, "reference": 1}
    assert outcome.drift == {"color": 1}
    ends = [*lake.by_id(), *(row["record_id"] for row in lake.rejected)]
    assert sorted(ends) == sorted(each.record_id for each in delivered)


def test_nothing_in_gives_nothing() -> None:
    outcome = MemoryLake("pos").process([])
    assert (numbers(outcome), outcome.rows_in, outcome.changes.num_rows) == ((0, 0, 0), 0, 0)


def test_nothing_but_broken_records_asks_silver_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lake = MemoryLake("web_logs")
    monkeypatch.setattr(lake, "rivals", lambda _: pytest.fail("no record needs it"))
    assert numbers(lake.process(records("web_logs", b"{", b"\xff"))) == (0, 0, 2)


def test_a_record_that_silver_holds_changes_nothing_and_is_not_rejected() -> None:
    """A batch that is repeated after a death."""
    lake = MemoryLake("pos")
    lake.process(records("pos", LINE))
    outcome = lake.process(records("pos", LINE))
    assert (numbers(outcome), outcome.candidates) == ((0, 0, 0), 1)


def test_changes_are_signed_rows_of_silver() -> None:
    lake = MemoryLake("inventory")
    first, second = records("inventory", stock("2010-12-01T09:00:00Z", 5, "a"), stock("2010-12-01T11:00:00Z", 0, "b"))
    lake.process([second])
    outcome = lake.process([first])
    changes = outcome.changes.select(["inventory_id", "previous_level", "is_stockout", "_sign"])
    assert changes.to_pylist() == [
        {"inventory_id": "a", "previous_level": None, "is_stockout": False, "_sign": 1},
        {"inventory_id": "b", "previous_level": 5, "is_stockout": True, "_sign": 1},
        {"inventory_id": "b", "previous_level": None, "is_stockout": False, "_sign": -1},
    ]
    assert changes.schema.field("_sign").type == pa.int8()


def test_neighbours_whose_attributes_stay_are_not_touched() -> None:
    lake = MemoryLake("inventory")
    made = records(
        "inventory",
        stock("2010-12-01T09:00:00Z", 5, "a"),
        stock("2010-12-01T10:00:00Z", 5, "b"),
        stock("2010-12-01T11:00:00Z", 5, "c"),
        stock("2010-12-01T09:30:00Z", 5, "late"),
    )
    lake.process(made[:3])
    outcome = lake.process(made[3:])
    assert outcome.new["inventory_id"].to_pylist() == ["b"], "only its seconds since the reading before"


def test_a_correction_that_settles_alike_asks_for_no_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    lake = MemoryLake("web_logs")
    lake.process(records("web_logs", web("a", "2010-12-01T09:00:00Z"), web("b", "2010-12-01T09:10:00Z")))
    before = lake.by_id()["web_logs/shard-0/2"]
    monkeypatch.setattr(lake, "neighbours", lambda _: pytest.fail("no place and no attribute changes"))
    *_, corrected = records("web_logs", *[b""] * 8, web("b", "2010-12-01T09:10:00Z", country="DE"))
    outcome = lake.process([corrected])
    assert numbers(outcome) == (0, 1, 1)
    after = lake.by_id()[corrected.record_id]
    assert {name for name in after if after[name] != before[name]} == {"record_id", "country", "region"}


def test_a_table_without_groups_takes_corrections_as_they_are() -> None:
    lake = MemoryLake("campaigns")
    spend = {"campaign_id": "c", "name": "Spring", "channel": "tv", "date": "2010-12-01", "spend": "10"}
    *_, old, new = records("campaigns", spend, spend | {"spend": "12"})
    lake.process([old])
    outcome = lake.process([new])
    assert numbers(outcome) == (0, 1, 1)
    assert [row["spend"] for row in lake.rows.values()] == [Decimal("12.0000")]


class TestRejected:
    def rows(self, *batches: int) -> list[dict[str, object]]:
        lake = MemoryLake("pos")
        made = records("pos", LINE | {"quantity": 0, "store_id": 99}, LINE, LINE | {"quantity": 3}, b"\xff")
        start = 0
        for number in batches:
            lake.process(made[start : start + number])
            start += number
        return lake.rejected

    def test_the_first_error_leads_and_all_are_kept(self) -> None:
        [row] = self.rows(1)
        errors = row["errors"]
        assert isinstance(errors, list)
        assert [(each["rule"], each["column"], each["value"]) for each in errors][-1] == ("reference", "store_id", "99")
        assert {name: row[name] for name in ("rule", "column", "value", "message")} == errors[0]
        assert (row["source"], row["contract_version"]) == ("pos", ALL_CONTRACTS.source("pos").version)
        assert json.loads(str(row["payload"]))["store_id"] == 99
        assert (row["arrived_at"], row["ingest_date"], row["partition_key"]) == (ARRIVED, ARRIVED.date(), "key")

    def test_a_displaced_row_has_its_typed_columns_for_a_payload(self) -> None:
        [_, row] = self.rows(2, 1)
        assert (row["record_id"], row["rule"], row["value"]) == ("pos/shard-0/2", "superseded", "pos/shard-0/3")
        assert row["column"] == "transaction_id, line_number, event_time"
        assert (row["payload_encoding"], row["partition_key"]) == ("typed", None)
        assert json.loads(str(row["payload"])) == {
            "transaction_id": "T",
            "line_number": 1,
            "store_id": 1,
            "product_id": "A",
            "quantity": 2,
            "unit_price": "2.5000",
            "revenue": "5.0000",
            "timestamp": "2010-12-01T09:00:00.000000Z",
        }

    def test_a_record_beaten_in_its_own_batch_keeps_its_payload(self) -> None:
        [_, row] = self.rows(3)
        assert (row["rule"], row["payload_encoding"]) == ("superseded", "utf8")
        assert json.loads(str(row["payload"])) == LINE

    def test_columns_are_the_contracts_but_for_what_the_writer_knows(self) -> None:
        outcome = MemoryLake("pos").process(records("pos", b"{"))
        names = set(rejected_schema(ALL_CONTRACTS).names)
        assert {*outcome.rejected.column_names, "batch", "batch_number"} == names


def test_a_late_opening_begins_a_case_behind_it_only() -> None:
    lake = MemoryLake("crm")
    times = ("2010-12-01T09:00:00Z", "2010-12-01T10:00:00Z", "2010-12-01T11:00:00Z")
    steps = [
        contact(f"i{number}", time, "complaint", case_id="k", status=status)
        for number, (time, status) in enumerate(zip(times, ("updated", "opened", "resolved"), strict=True))
    ]
    note, opening, end = records("crm", *steps)
    lake.process([note, end])
    lake.process([opening])
    found = lake.by_id()
    assert found[note.record_id]["case_opened_at"] is None
    assert found[end.record_id]["resolution_seconds"] == Decimal(timedelta(hours=1).seconds)
