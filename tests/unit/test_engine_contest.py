"""Who stands of the records with one identity, and what the others are told."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from lakehouse.engine.contest import Beaten, Contest, decide, keys
from lakehouse.engine.schemas import arrow_schema
from tests.unit.memory_lake import ALL_CONTRACTS

SOURCE, SILVER = ALL_CONTRACTS.source("campaigns"), ALL_CONTRACTS.silver_of("campaigns")
ARRIVED = datetime(2026, 1, 1, tzinfo=UTC)
DAY = datetime(2010, 12, 1, tzinfo=UTC).date()


def rows(*given: tuple[str, str, int, str]) -> pa.Table:
    """Rows of (campaign, record id, second of arrival, name)."""
    found = [
        {"campaign_id": campaign, "date": DAY, "record_id": record, "name": name}
        | {"arrived_at": ARRIVED + timedelta(seconds=second)}
        for campaign, record, second, name in given
    ]
    return pa.Table.from_pylist(found, arrow_schema(SILVER))


def contest(candidates: pa.Table, rivals: pa.Table | None = None) -> Contest:
    return decide(candidates, rows() if rivals is None else rivals, SOURCE, SILVER)


def test_records_without_rivals_all_stand() -> None:
    assert contest(rows(("a", "1", 0, "x"), ("b", "2", 0, "x"))) == Contest([0, 1])


def test_the_greatest_by_arrival_stands_and_of_those_the_greatest_by_record_id() -> None:
    found = contest(rows(("a", "1", 5, "new"), ("a", "2", 4, "old"), ("a", "3", 4, "new")))
    assert found == Contest([0], losers=[Beaten(1, "superseded", "1"), Beaten(2, "duplicate", "1")])
    assert contest(rows(("a", "1", 4, "x"), ("a", "3", 4, "x"), ("a", "2", 4, "x"))).winners == [1]


def test_a_later_record_displaces_the_row_that_is_there() -> None:
    candidates, rivals = rows(("a", "2", 2, "new"), ("a", "3", 1, "new")), rows(("a", "1", 0, "old"))
    assert contest(candidates, rivals) == Contest(
        [0], {0: 0}, [Beaten(1, "duplicate", "2")], [Beaten(0, "superseded", "2")]
    )


def test_an_earlier_record_loses_to_the_row_that_is_there() -> None:
    candidates, rivals = rows(("a", "1", 1, "same"), ("a", "2", 2, "other")), rows(("a", "9", 3, "same"))
    assert contest(candidates, rivals) == Contest(losers=[Beaten(0, "duplicate", "9"), Beaten(1, "superseded", "9")])


def test_a_record_that_silver_holds_already_is_told_nothing() -> None:
    there = rows(("a", "1", 1, "x"))
    assert contest(there, there) == Contest()
    # Neither when a later one takes its place in the same batch.
    both = rows(("a", "1", 1, "x"), ("a", "2", 2, "y"))
    assert contest(both, there) == Contest([1], {0: 1}, beaten=[Beaten(0, "superseded", "2")])


def test_keys_have_times_in_microseconds_and_nulls() -> None:
    table = rows(("a", "1", 1, "x"))
    microseconds = (ARRIVED + timedelta(seconds=1) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert keys(table, ["arrived_at", "date", "channel"]) == [(microseconds, 14_944 * 86_400_000_000, None)]
    assert keys(table, []) == [()]


def test_contents_are_equal_whatever_the_scale_of_their_amounts() -> None:
    """Both are of the column's type by now: 2 and 2.0000 are one content."""
    found: dict[str, Any] = {"campaign_id": "a", "date": DAY, "arrived_at": ARRIVED}
    amounts = pa.table({"spend": pa.array(["2", "2.0000"]).cast(pa.decimal128(18, 4))})["spend"]
    table = pa.Table.from_pylist([found | {"record_id": "1"}, found | {"record_id": "2"}], arrow_schema(SILVER))
    place = table.schema.get_field_index("spend")
    table = table.set_column(place, table.schema.field(place), amounts.cast(table.schema.field(place).type))
    assert contest(table).losers == [Beaten(0, "duplicate", "2")]
