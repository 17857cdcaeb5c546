"""A small lake for the tests of SQL: three tables, written without Spark."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from lakehouse.layout import Layout

KPI_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("kpi_name", pa.string()),
    pa.field("month", pa.string()),
    pa.field("period_start", pa.date32()),
    pa.field("numerator", pa.decimal128(28, 4)),
    pa.field("value", pa.decimal128(38, 10)),
    pa.field("contributions", pa.int64()),
]
HUGE = Decimal("123456789012345678901234.5678")
EVENT_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("record_id", pa.string()),
    pa.field("event_time", pa.timestamp("us", "UTC")),
    pa.field("quantity", pa.int32()),
    pa.field("region", pa.string()),
    pa.field("type", pa.string()),
]
KPIS = pa.schema(KPI_FIELDS)
EVENTS = pa.schema(EVENT_FIELDS)


def kpi(name: str, day: date, numerator: str, value: str | None, contributions: int) -> dict[str, Any]:
    return {
        "kpi_name": name,
        "month": f"{day:%Y-%m}",
        "period_start": day,
        "numerator": Decimal(numerator),
        "value": None if value is None else Decimal(value),
        "contributions": contributions,
    }


def event(record: str, quantity: int, region: str | None, kind: str) -> dict[str, Any]:
    time = datetime(2010, 12, 1, 8, 26, 0, 123456, UTC)
    return {"record_id": record, "event_time": time, "quantity": quantity, "region": region, "type": kind}


def write(root: Path, table: str, rows: list[dict[str, Any]], schema: pa.Schema, *partitions: str) -> None:
    write_deltalake(
        Layout(str(root)).table(table),
        pa.Table.from_pylist(rows, schema=schema),
        mode="append",
        partition_by=list(partitions) or None,
    )


def fill(lake: Path) -> None:
    """Three KPI rows, three silver rows with odd partition values, one rejected row."""
    write(
        lake,
        "gold.sales_kpis",
        [
            kpi("daily_revenue", date(2010, 12, 1), str(HUGE), "1.5000000000", 3),
            kpi("daily_revenue", date(2010, 12, 2), "0.1000", "0.1000000000", 1),
            kpi("refunds", date(2011, 1, 1), "-2.5000", None, 2),
        ],
        KPIS,
        "kpi_name",
        "month",
    )
    write(
        lake,
        "silver.validated_pos",
        [event("a#1", 6, "uk", "Home & Garden"), event("a#2", -2, "europe", "50% off/€"), event("a#3", 1, None, "x=y")],
        EVENTS,
        "region",
        "type",
    )
    write(lake, "rejected.pos", [event("b#1", 1, "uk", "sale")], EVENTS)
