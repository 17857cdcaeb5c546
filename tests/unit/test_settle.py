"""What rows learn from the rows before them: each settle function on rows worked out by hand.

`_fixed` rows hold figures that no computation would give: they must come out as they went in, and be handed on.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from lakehouse.contracts import Contracts, load_contracts
from lakehouse.settings import CONTRACTS
from lakehouse.settle import FIXED, SETTLE

START = datetime(2010, 12, 1, 9, tzinfo=UTC)
Row = dict[str, Any]


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    return load_contracts(CONTRACTS)


def at(minutes: float = 0, microseconds: int = 0) -> datetime:
    return START + timedelta(minutes=minutes, microseconds=microseconds)


def settled(
    spark: SparkSession, contracts: Contracts, table: str, schema: str, rows: Sequence[Row], shown: Sequence[str]
) -> list[tuple[Any, ...]]:
    """The `shown` columns after settling, in the order of the first of them; missing values of the rows are null.

    A row counts as fixed when it gives one of the settled columns.
    """
    contract = contracts[table]
    computed = [column.stored_as for column in contract.columns if column.settled]
    given = [{FIXED: any(name in row for name in computed), **row} for row in rows]
    frame = _frame(spark, f"{schema}, {FIXED} boolean", given)
    assert contract.group is not None
    result = SETTLE[table](frame, contract.group)
    assert sorted(result.columns) == sorted(frame.columns) or set(frame.columns) < set(result.columns)
    # Arrow keeps the zone of times, where collect would give them in the machine's.
    return [tuple(row.values()) for row in result.orderBy(shown[0]).select(*shown).toArrow().to_pylist()]


def _frame(spark: SparkSession, ddl: str, rows: Sequence[Row]) -> DataFrame:
    schema = StructType.fromDDL(ddl)
    assert isinstance(schema, StructType)
    complete = [{field.name: row.get(field.name) for field in schema} for row in rows]
    return spark.createDataFrame(pa.Table.from_pylist(complete, to_arrow_schema(schema)), schema)


POS = "transaction_id string, line_number int, event_time timestamp, basket_key string, is_first_line boolean"


def line(transaction: str, number: int, minutes: float, kind: str = "sale", **more: Any) -> Row:
    return {
        "transaction_id": transaction,
        "line_number": number,
        "event_time": at(minutes),
        "basket_key": f"{transaction}|{kind}",
        **more,
    }


def test_first_lines_of_baskets(spark: SparkSession, contracts: Contracts) -> None:
    day = 24 * 60
    rows = [
        line("a", 2, 0),
        line("a", 1, 0),
        line("a", 3, 5, "refund"),
        line("b", 1, 10),
        line("b", 2, 10 + day),
        line("b", 3, 10 + 2 * day + 1),
    ]
    found = settled(spark, contracts, "validated_pos", POS, rows, ["basket_key", "line_number", "is_first_line"])
    assert sorted(found) == [
        ("a|refund", 3, True),
        ("a|sale", 1, True),
        ("a|sale", 2, False),
        ("b|sale", 1, True),
        ("b|sale", 2, False),
        ("b|sale", 3, True),
    ]


def test_fixed_basket_lines_stay_and_count(spark: SparkSession, contracts: Contracts) -> None:
    rows = [line("a", 1, 0, is_first_line=False), line("a", 2, 1)]
    found = settled(spark, contracts, "validated_pos", POS, rows, ["line_number", "is_first_line"])
    assert found == [(1, False), (2, False)]


STOCK = (
    "inventory_id string, stock_key string, event_time timestamp, stock_level int, previous_level int, "
    "seconds_since_previous bigint, is_restock boolean, is_stockout boolean"
)
STOCK_SHOWN = ["event_time", "previous_level", "seconds_since_previous", "is_restock", "is_stockout"]


def reading(time: datetime, level: int, key: str = "A@5", **more: Any) -> Row:
    return {"inventory_id": "i", "stock_key": key, "event_time": time, "stock_level": level, **more}


def test_stock_readings(spark: SparkSession, contracts: Contracts) -> None:
    two_days = 2 * 24 * 60
    rows = [
        reading(at(0), 5),
        reading(at(1, 999_999), 0),
        reading(at(2), 0),
        reading(at(3), 8),
        reading(at(3 + two_days), 8),
        reading(at(3 + 2 * two_days, 1), 0),
        reading(at(4), 7, "B@5"),
    ]
    assert settled(spark, contracts, "enriched_inventory", STOCK, rows, STOCK_SHOWN) == [
        (at(0), None, None, False, False),
        (at(1, 999_999), 5, 60, False, True),
        (at(2), 0, 59, False, False),
        (at(3), 0, 60, True, False),
        (at(4), None, None, False, False),
        (at(3 + two_days), 8, two_days * 60, False, False),
        (at(3 + 2 * two_days, 1), None, None, False, False),
    ]


def test_fixed_stock_readings_stay_and_are_the_reading_before(spark: SparkSession, contracts: Contracts) -> None:
    fixed: Row = {"previous_level": 70, "seconds_since_previous": 71, "is_restock": True, "is_stockout": True}
    rows = [reading(at(0), 5, **fixed), reading(at(1), 4)]
    assert settled(spark, contracts, "enriched_inventory", STOCK, rows, STOCK_SHOWN) == [
        (at(0), 70, 71, True, True),
        (at(1), 5, 60, False, False),
    ]


WEB = (
    "event_id string, visitor_id string, event_time timestamp, page string, campaign_id string, session_key string, "
    "session_started_at timestamp, position int, seconds_since_previous decimal(18,6), landing_page string, "
    "last_touch_campaign string"
)
WEB_SHOWN = [
    "event_id",
    "session_key",
    "session_started_at",
    "position",
    "seconds_since_previous",
    "landing_page",
    "last_touch_campaign",
]


def event(name: str, time: datetime, campaign: str | None = None, visitor: str = "ann", **more: Any) -> Row:
    return {
        "event_id": name,
        "visitor_id": visitor,
        "event_time": time,
        "page": f"/{name}",
        "campaign_id": campaign,
        **more,
    }


def session(time: datetime, visitor: str = "ann") -> tuple[str, datetime]:
    return f"{visitor}@{(time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)}", time


def test_sessions(spark: SparkSession, contracts: Contracts) -> None:
    rows = [
        event("c", at(40, 1)),
        event("a", at(0)),
        event("b", at(10, 1), "c1"),
        event("d", at(70, 2), "c2"),
        event("e", at(70, 2)),
        event("x", at(5), visitor="bob"),
    ]
    first, second, other = session(at(0)), session(at(70, 2)), session(at(5), "bob")
    assert settled(spark, contracts, "sessionized_web_logs", WEB, rows, WEB_SHOWN) == [
        ("a", *first, 1, None, "/a", None),
        ("b", *first, 2, Decimal("600.000001"), "/a", "c1"),
        ("c", *first, 3, Decimal("1800.000000"), "/a", "c1"),
        ("d", *second, 1, None, "/d", "c2"),
        ("e", *second, 2, Decimal("0.000000"), "/d", "c2"),
        ("x", *other, 1, None, "/x", None),
    ]


def test_fixed_events_stay_and_hand_their_session_on(spark: SparkSession, contracts: Contracts) -> None:
    """The session of a fixed row began long before the rows at hand."""
    began = session(at(-300))
    fixed: Row = {
        "session_key": began[0],
        "session_started_at": began[1],
        "position": 41,
        "seconds_since_previous": Decimal("7.5"),
        "landing_page": "/long/ago",
        "last_touch_campaign": "c0",
    }
    rows = [
        event("a", at(0), **fixed),
        event("b", at(10), **fixed | {"position": 42, "last_touch_campaign": "c9"}),
        event("c", at(20)),
        event("d", at(30), "c1"),
        event("e", at(61)),
    ]
    fresh = session(at(61))
    assert settled(spark, contracts, "sessionized_web_logs", WEB, rows, WEB_SHOWN) == [
        ("a", *began, 41, Decimal("7.5"), "/long/ago", "c0"),
        ("b", *began, 42, Decimal("7.5"), "/long/ago", "c9"),
        ("c", *began, 43, Decimal("600"), "/long/ago", "c9"),
        ("d", *began, 44, Decimal("600"), "/long/ago", "c1"),
        ("e", *fresh, 1, None, "/e", None),
    ]


CRM = (
    "interaction_id string, case_key string, event_time timestamp, status string, case_opened_at timestamp, "
    "case_resolved boolean, resolution_seconds decimal(18,6)"
)
CRM_SHOWN = ["event_time", "status", "case_opened_at", "case_resolved", "resolution_seconds"]


def step(minutes: float, status: str | None, **more: Any) -> Row:
    return {"interaction_id": "i", "case_key": "k", "event_time": at(minutes), "status": status, **more}


def test_cases(spark: SparkSession, contracts: Contracts) -> None:
    month = 30 * 24 * 60
    rows = [
        step(0, "resolved"),
        step(1, "opened"),
        step(2, None),
        step(3, "resolved"),
        step(4, "resolved"),
        step(5, "opened"),
        step(6, "updated"),
        step(7 + month, "resolved"),
        step(8 + month, "opened"),
        step(8 + 2 * month, "resolved"),
    ]
    assert settled(spark, contracts, "customer_interactions", CRM, rows, CRM_SHOWN) == [
        (at(0), "resolved", None, False, None),
        (at(1), "opened", at(1), False, None),
        (at(2), None, at(1), False, None),
        (at(3), "resolved", at(1), True, Decimal(120)),
        (at(4), "resolved", at(1), True, None),
        (at(5), "opened", at(5), False, None),
        (at(6), "updated", at(5), False, None),
        (at(7 + month), "resolved", None, False, None),
        (at(8 + month), "opened", at(8 + month), False, None),
        (at(8 + 2 * month), "resolved", at(8 + month), True, Decimal(month * 60)),
    ]


@pytest.mark.parametrize(
    ("resolved", "then"),
    [(False, (at(1), "resolved", at(-90), True, Decimal(91 * 60))), (True, (at(1), "resolved", at(-90), True, None))],
)
def test_fixed_case_events_stay_and_hand_their_state_on(
    spark: SparkSession, contracts: Contracts, resolved: bool, then: tuple[Any, ...]
) -> None:
    fixed = {"case_opened_at": at(-90), "case_resolved": resolved, "resolution_seconds": Decimal("0.25")}
    rows = [step(0, "opened", **fixed), step(1, "resolved")]
    assert settled(spark, contracts, "customer_interactions", CRM, rows, CRM_SHOWN) == [
        (at(0), "opened", at(-90), resolved, Decimal("0.25")),
        then,
    ]


def test_the_order_of_the_rows_at_hand_does_not_matter(spark: SparkSession, contracts: Contracts) -> None:
    rows = [event("a", at(0)), event("b", at(10), "c1"), event("c", at(20)), event("d", at(51))]
    found = [
        settled(spark, contracts, "sessionized_web_logs", WEB, order, WEB_SHOWN) for order in (rows, [*reversed(rows)])
    ]
    assert found[0] == found[1]
