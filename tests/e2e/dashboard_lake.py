"""A small lake for looking at the dashboard: a few rows in each gold table, three records in the pipeline."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, write_deltalake

from lakehouse.layout import Layout
from runtime.lineage import Counts, FileInput, Input, Lineage, TableInput

HOSTILE = """<script>window.owned = 1</script><img src=x onerror="window.owned = 2"><b>bold</b>"""
DIMENSIONS: dict[str, dict[str, Any]] = {
    "sales_kpis": {
        "store_id": pa.int32(),
        "region": pa.string(),
        "category": pa.string(),
        "product_id": pa.string(),
    },
    "marketing_funnel": {"campaign_id": pa.string(), "stage": pa.string(), "region": pa.string()},
    "customer_insights": {"interaction_type": pa.string(), "channel": pa.string(), "statistic": pa.string()},
    "operations_kpis": {"warehouse_id": pa.int32(), "region": pa.string(), "category": pa.string()},
}
NOW = datetime.now(UTC).replace(microsecond=0)


def write(root: Path, table: str, rows: list[dict[str, Any]], types: dict[str, Any], *inputs: Input) -> None:
    """Appends rows with a lineage that says so: `in` is their number."""
    job = table.partition(".")[0]
    lineage = Lineage(job, table, 0, "test", "1.0.0", inputs, Counts(read=len(rows), inserted=len(rows)))
    write_deltalake(
        Layout(str(root)).table(table),
        pa.Table.from_pylist(rows, schema=pa.schema(list(types.items()))),
        mode="append",
        commit_properties=CommitProperties(custom_metadata={"userMetadata": lineage.to_json()}),
    )


def write_kpis(root: Path, table: str, rows: list[tuple[str, int, str, str, dict[str, Any]]]) -> None:
    """KPI rows (name, day of December 2010, numerator, denominator, dimensions)."""
    dimensions = DIMENSIONS[table]
    types = {
        "kpi_name": pa.string(),
        "month": pa.string(),
        "period_start": pa.date32(),
        **dimensions,
        "numerator": pa.decimal128(28, 4),
        "denominator": pa.decimal128(28, 4),
        "value": pa.decimal128(38, 10),
        "contributions": pa.int64(),
    }
    write(
        root,
        f"gold.{table}",
        [
            {
                "kpi_name": name,
                "month": "2010-12",
                "period_start": date(2010, 12, day),
                **{dimension: None for dimension in dimensions},
                **values,
                "numerator": Decimal(numerator),
                "denominator": Decimal(denominator),
                "value": None,
                "contributions": 1,
            }
            for name, day, numerator, denominator, values in rows
        ],
        types,
        TableInput("silver.validated_pos", 0, 0),
    )


def write_records(root: Path) -> None:
    """Three records in bronze: two in silver, one rejected with a hostile payload."""
    times: dict[str, Any] = {"arrived_at": pa.timestamp("us", "UTC")}
    bronze = [{"record_id": f"pos/day.csv#{line}", "payload": "{}", "arrived_at": NOW} for line in (2, 3, 4)]
    texts: dict[str, Any] = {"record_id": pa.string(), "payload": pa.string()}
    write(root, "bronze.pos", bronze, texts | times, FileInput("pos/day.csv", 3, 270, "d41d8cd9"))
    source = TableInput("bronze.pos", 0, 0)
    silver = [{"record_id": each["record_id"], "arrived_at": NOW} for each in bronze[:2]]
    write(root, "silver.validated_pos", silver, {"record_id": pa.string()} | times, source)
    names = ["record_id", "source", "rule", "column", "value", "message", "payload", "payload_encoding", "batch"]
    rejected = {
        "record_id": "pos/day.csv#4",
        "source": "pos",
        "rule": "enum",
        "column": "type",
        "value": HOSTILE[:200],
        "message": "must be one of sale, refund",
        "payload": '{"note": "' + HOSTILE + '"}',
        "payload_encoding": "utf8",
        "batch": "c0ffee:0",
        "arrived_at": NOW,
    }
    write(root, "rejected.pos", [rejected], {name: pa.string() for name in names} | times, source)


def write_purchases(root: Path) -> None:
    """Orders of the campaign `spring`: two on 1 December, one of them in two events, and one on the day after."""
    times = [datetime(2010, 12, day, 12, tzinfo=UTC) for day in (1, 1, 1, 2)]
    events = [
        {"event_id": f"e{number}", "event_time": time, "event_type": "purchase", "arrived_at": NOW}
        | {"last_touch_campaign": "spring", "transaction_id": ("t1", "t1", None, None)[number]}
        for number, time in enumerate(times)
    ]
    names = ("event_id", "event_type", "last_touch_campaign", "transaction_id")
    types = {name: pa.string() for name in names} | {
        name: pa.timestamp("us", "UTC") for name in ("event_time", "arrived_at")
    }
    write(root, "silver.sessionized_web_logs", events, types)


def fill(root: Path) -> None:
    write_records(root)
    write_purchases(root)
    write_kpis(
        root,
        "sales_kpis",
        [
            ("daily_revenue", 1, "1234.5000", "1", {}),
            ("daily_revenue", 2, "2000.0000", "1", {}),
            ("refunds", 2, "34.2500", "1", {}),
            ("discounts", 2, "100.0000", "1", {}),
            ("net_sales", 1, "1234.5000", "1", {}),
            ("net_sales", 2, "1865.7500", "1", {}),
            ("revenue_by_region", 1, "1000000.0000", "1", {"region": "uk"}),
            ("revenue_by_region", 2, "234567.8900", "1", {"region": f"<b>bold</b>{HOSTILE}"}),
            ("revenue_by_store", 2, "500.0000", "1", {"store_id": 7}),
            ("units_sold", 1, "12.0000", "1", {"category": "Gifts"}),
            ("average_basket", 1, "300.0000", "8", {"store_id": 7}),
            ("average_basket", 2, "60.0000", "2", {"store_id": 8}),
            ("product_conversion_rate", 2, "3.0000", "40", {"product_id": "22423", "category": "Gifts"}),
        ],
    )
    write_kpis(
        root,
        "marketing_funnel",
        [
            ("click_through_rate", 1, "7.0000", "200", {"campaign_id": "spring"}),
            ("campaign_roi", 1, "-25.0000", "100", {"campaign_id": "spring"}),
            *(
                ("funnel_stage", 1, n, "1", {"stage": s})
                for s, n in [("impression", "200.0000"), ("purchase", "3.0000")]
            ),
            ("session_duration", 1, "1000.0000", "4", {"region": "uk"}),
            ("bounce_rate", 1, "1.0000", "4", {"region": "uk"}),
            ("engagement", 1, "9.0000", "4", {"region": "uk"}),
        ],
    )
    write_kpis(
        root,
        "customer_insights",
        [
            ("feedback_score", 1, "13.0000", "3", {"channel": "email"}),
            ("interaction_volume", 1, "5.0000", "1", {"interaction_type": "complaint", "channel": "email"}),
            ("complaint_share", 1, "5.0000", "8", {"channel": "email"}),
            ("resolution_time", 1, "14700.0000", "2", {"interaction_type": "complaint", "statistic": "mean"}),
            ("resolution_time", 1, "9000.0000", "1", {"interaction_type": "complaint", "statistic": "p90"}),
        ],
    )
    write_kpis(
        root,
        "operations_kpis",
        [
            ("stock_availability", 1, "39.0000", "40", {"warehouse_id": 1}),
            ("stockouts", 1, "2.0000", "1", {"warehouse_id": 1}),
            ("inventory_turnover", 1, "10.0000", "400", {"category": "Gifts"}),
        ],
    )
