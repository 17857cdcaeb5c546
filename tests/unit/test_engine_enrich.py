"""Reference data as of the event time, and computed columns."""

import itertools
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from lakehouse.engine.enrich import ReferenceRows, compute, look_up, microseconds, valid
from lakehouse.engine.schemas import ERROR, arrow_schema
from tests.unit.memory_lake import ALL_CONTRACTS, CONNECTION, REFERENCE_ROWS

NOON = datetime(2010, 12, 1, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SOURCE, SILVER = ALL_CONTRACTS.source("pos"), ALL_CONTRACTS.silver_of("pos")


def moment(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // MICROSECOND


@pytest.fixture
def known() -> dict[str, ReferenceRows]:
    return {name: ReferenceRows(rows, ALL_CONTRACTS.source(name)) for name, rows in REFERENCE_ROWS.items()}


def sales(*given: dict[str, Any]) -> pa.Table:
    """Parsed records of a till, of store 1 and product A at noon unless told otherwise."""
    usual = {"record_id": "r", "transaction_id": "T", "line_number": 1, "store_id": 1, "product_id": "A"}
    usual |= {"quantity": 2, "unit_price": Decimal("2.5"), "revenue": Decimal(5), "event_time": NOON}
    fields = [arrow_schema(SOURCE).field(name) for name in arrow_schema(SOURCE).names]
    schema = pa.schema([pa.field("record_id", pa.string()), *fields, pa.field("errors", pa.list_(ERROR))])
    return pa.Table.from_pylist([{"errors": [], **usual, **each} for each in given], schema)


def test_the_row_that_holds_is_the_latest_that_began_by_then(known: dict[str, ReferenceRows]) -> None:
    stores = known["stores"]
    times = [moment(NOON - MICROSECOND), moment(NOON), moment(NOON + timedelta(days=900))]
    found = stores.rows["region"].take(pa.array(stores.places([1, 1, 1], times), pa.int64()))
    assert found.to_pylist() == ["north", "south", "south"]
    assert stores.places([1, 99, None, 1], [moment(datetime(2008, 1, 1, tzinfo=UTC)), times[0], times[0], None]) == [
        None,
        None,
        None,
        None,
    ]


def test_columns_of_the_reference_row_are_taken_over(known: dict[str, ReferenceRows]) -> None:
    found = look_up(sales({}, {"store_id": 2, "product_id": "B"}), SOURCE, SILVER, known)
    assert found.select(["region", "country", "category", "unit_cost"]).to_pylist() == [
        {"region": "south", "country": "GB", "category": "toys", "unit_cost": Decimal("1.1000")},
        {"region": "europe", "country": "DE", "category": "bags", "unit_cost": Decimal("2.0000")},
    ]
    assert valid(found).num_rows == 2


def test_an_unknown_key_is_an_error_behind_those_that_are_there(known: dict[str, ReferenceRows]) -> None:
    first = {"rule": "range", "column": "quantity", "value": "0", "message": "m"}
    found = look_up(sales({"store_id": 99, "errors": [first]}, {}), SOURCE, SILVER, known)
    unknown = "not in stores at the event time: deliver the reference row, then redrive"
    assert found["errors"].to_pylist() == [
        [first, {"rule": "reference", "column": "store_id", "value": "99", "message": unknown}],
        [],
    ]
    assert valid(found).num_rows == 1


def test_a_key_or_a_time_that_is_missing_is_no_unknown_key(known: dict[str, ReferenceRows]) -> None:
    """That it is missing is an error already where it is one."""
    found = look_up(sales({"store_id": None}, {"event_time": None}), SOURCE, SILVER, known)
    assert found["errors"].to_pylist() == [[], []]


def test_a_reference_table_without_rows_knows_nothing(known: dict[str, ReferenceRows]) -> None:
    empty = ReferenceRows(REFERENCE_ROWS["stores"].slice(0, 0), ALL_CONTRACTS.source("stores"))
    found = look_up(sales({}), SOURCE, SILVER, known | {"stores": empty})
    assert [each["column"] for each in found["errors"][0].as_py()] == ["store_id"]
    assert found["region"].to_pylist() == [None]


def test_computed_columns_are_the_contracts_expressions_in_utc(known: dict[str, ReferenceRows]) -> None:
    late = datetime(2010, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    rows = look_up(sales({}, {"quantity": -1, "event_time": late}), SOURCE, SILVER, known)
    CONNECTION.execute("SET TimeZone = 'Asia/Tokyo'")
    try:
        found = compute(rows, SILVER, CONNECTION)
    finally:
        CONNECTION.execute("RESET TimeZone")
    assert found.select(["type", "month", "basket_key"]).to_pylist() == [
        {"type": "sale", "month": "2010-12", "basket_key": "T|sale"},
        {"type": "refund", "month": "2010-12", "basket_key": "T|refund"},
    ]
    expected = {each.stored_as for each in SILVER.columns if not each.settled} - {"arrived_at"}
    assert expected <= set(found.column_names)


def test_times_and_dates_are_microseconds() -> None:
    assert microseconds(pa.chunked_array([pa.array([NOON, None], pa.timestamp("us", "UTC"))])).to_pylist() == [
        moment(NOON),
        None,
    ]
    assert microseconds(pa.chunked_array([pa.array([date(1970, 1, 2)])])).to_pylist() == [86_400_000_000]


def test_computed_columns_are_of_their_own_rows_in_whatever_order_duckdb_gives_them() -> None:
    """The region of a visit is a long IN list, a join to DuckDB: of unequal chunks it gives rows in any order."""
    source, silver = ALL_CONTRACTS.source("web_logs"), ALL_CONTRACTS.silver_of("web_logs")
    columns = arrow_schema(source)
    visits = [
        {"event_id": f"e{number}", "session_id": f"s{number}", "country": ("GB", "DE", None)[number % 3]}
        for number in range(1_500)
    ]
    rows = pa.Table.from_pylist([{"event_type": "view", "event_time": NOON, **each} for each in visits], columns)
    ends = [0, 7, 19, 400, 423, 901, 902, 1_350, 1_500]
    cut = pa.concat_tables([rows.slice(first, end - first) for first, end in itertools.pairwise(ends)])
    for _ in range(5):
        found = compute(cut, silver, CONNECTION)
        assert found["visitor_id"].to_pylist() == [f"s{number}" for number in range(1_500)]
        assert found["region"].to_pylist() == ["uk", "europe", "unknown"] * 500
