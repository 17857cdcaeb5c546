"""Small deliveries for the tests of the oracle, and its answers in a form that is easy to write down."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from local.oracle.checking import Row
from local.oracle.deliveries import DeliveredFile, DeliveredRecord
from local.oracle.expectation import Expected, expect

ARRIVED = datetime(2026, 1, 1, tzinfo=UTC)
DAY, NEXT = date(2010, 12, 1), date(2010, 12, 2)
POS_HEADER = (
    "transaction_id,line_number,store_id,product_id,quantity,unit_price,revenue,discount_applied,customer_id,timestamp"
)


def file(path: str, *lines: str, minutes: int = 0) -> DeliveredFile:
    return DeliveredFile(path, ARRIVED + timedelta(minutes=minutes), "".join(f"{line}\n" for line in lines).encode())


def json_file(path: str, *records: dict[str, Any], minutes: int = 0) -> DeliveredFile:
    return file(path, *(json.dumps(record) for record in records), minutes=minutes)


def pos(*lines: str) -> DeliveredFile:
    return file("pos/a.csv", POS_HEADER, *lines)


REFERENCE = [
    file(
        "stores/a.csv",
        "store_id,region,country,valid_from",
        "1,north,GB,2009-01-01",
        "1,north,GB,2009-01-01T00:00Z",
        "2,europe,DE,2009-01-01T00:00Z",
        "1,south,GB,2010-12-02T12:00:00Z",
    ),
    file("warehouses/a.csv", "warehouse_id,region,country,valid_from", "5,north,GB,1230768000"),
    file(
        "products/a.csv",
        "product_id,category,unit_cost,valid_from",
        "A,toys,1.10,2009-01-01T00:00Z",
        "B,bags,2,2009-01-01T00:00Z",
        "NEW,toys,3,2010-12-02T12:00:00Z",
    ),
]


def web(event_id: str, time: str, **fields: Any) -> dict[str, Any]:
    return {"event_id": event_id, "user_id": "ann", "page": "/", "event_type": "view", "timestamp": time, **fields}


def contact(interaction: str, time: str, kind: str = "feedback", **fields: Any) -> dict[str, Any]:
    return {"interaction_id": interaction, "customer_id": "c", "interaction_type": kind, "timestamp": time, **fields}


def stock(time: str, level: int, inventory: str = "i") -> dict[str, Any]:
    return {"inventory_id": inventory, "product_id": "A", "warehouse_id": 5, "stock_level": level, "last_updated": time}


def records(source: str, *payloads: dict[str, Any] | bytes) -> list[DeliveredRecord]:
    return [
        DeliveredRecord(
            source,
            source,
            "shard-0",
            str(number),
            ARRIVED,
            payload if isinstance(payload, bytes) else json.dumps(payload).encode(),
        )
        for number, payload in enumerate(payloads, 1)
    ]


def expected(*files: DeliveredFile, streams: list[DeliveredRecord] | None = None) -> Expected:
    return expect([*REFERENCE, *files], streams or [])


def figures(found: Expected, kpi: str) -> dict[tuple[Any, ...], tuple[str, str, str | None]]:
    """(day, dimensions that are set) -> numerator, denominator, value as written without trailing zeros."""
    return {
        (key.day, *(part for part in key.dimensions if part is not None)): (
            _short(row.numerator),
            _short(row.denominator),
            None if row.value is None else _short(row.value),
        )
        for key, row in found.gold.items()
        if key.kpi == kpi
    }


def _short(value: Decimal) -> str:
    return format(value.normalize(), "f")


def by_id(found: Expected, table: str) -> dict[str, Row]:
    return {row["record_id"]: row for row in found.silver[table]}


SALES = pos(
    "T1,1,1,A,3,2.00,6.00,,ann,2010-12-01T10:00:00Z",
    "T1,2,1,B,1,5.50,5.50,0.50,ann,2010-12-01T10:00:00Z",
    "T2,1,2,A,10,1.25,12.50,,,2010-12-01 23:59:59",
    "C3,1,1,A,-1,2.00,-2.00,,ann,1291197600",
    "T4,1,1,A,1,2.00,2.00,,,2010-12-02T01:00:00+01:00",
)
