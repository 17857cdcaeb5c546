"""A lake that the real queries filled, for the tests of `lakehouse reconcile`."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from batch.reconciliation.reconcile import Scope, reconcile
from batch.reconciliation.report import Report
from lakehouse.kpi_tables import TABLES
from local.oracle.deliveries import DeliveredRecord
from streaming.gold import GoldTable
from streaming.references import References
from streaming.silver import SilverTable
from tests.unit.oracle_deliveries import contact, records, stock, web
from tests.unit.silver_lake import REFERENCE, SilverLake

DAY = "2010-12-01T"


def sale(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "transaction_id": f"T{number}",
        "line_number": 1,
        "store_id": 1,
        "product_id": "A",
        "quantity": number,
        "unit_price": "2.50",
        "revenue": "2.50",
        "discount_applied": "0.25",
        "timestamp": f"{DAY}10:00:00Z",
        **fields,
    }


def case(interaction: str, time: str, status: str) -> dict[str, Any]:
    return contact(interaction, time, "complaint", case_id="case", status=status, channel="mail", rating=2)


FIRST: dict[str, list[DeliveredRecord]] = {
    "pos": records(
        "pos",
        sale(1),
        sale(2),
        sale(3, product_id="GHOST"),
        b"{",
        sale(1),  # delivered again
        sale(2, quantity=5),  # corrected
        sale(6, quantity=-1, revenue="-2.50"),
    ),
    "inventory": records("inventory", stock(f"{DAY}08:00Z", 9, "i8"), stock(f"{DAY}09:00Z", 0, "i9")),
    "web_logs": records(
        "web_logs",
        web("e1", f"{DAY}10:00:00Z", event_type="impression", campaign_id="C1"),
        web("e2", f"{DAY}10:01:00Z", event_type="click", campaign_id="C1"),
        web("e3", f"{DAY}10:03:00Z", product_id="A"),
        web("e4", f"{DAY}10:09:00Z", event_type="purchase", product_id="A", order_value="30.00"),
        web("e5", f"{DAY}12:00:00Z", event_type="scroll"),
    ),
    "crm": records(
        "crm",
        case("k1", f"{DAY}08:00:00Z", "opened"),
        case("k2", f"{DAY}09:30:00Z", "resolved"),
        contact("k3", f"{DAY}11:00:00Z", "loyalty", channel="chat"),
    ),
    "campaigns": records(
        "campaigns", {"campaign_id": "C1", "name": "one", "channel": "search", "date": "2010-12-01", "spend": "12.50"}
    ),
}  # fmt: skip


def later(source: str, number: int, *payloads: dict[str, Any], hours: int = 1) -> list[DeliveredRecord]:
    """Records behind the first ones, some hours later."""
    return [
        replace(each, sequence=str(number + place), acknowledged_at=each.acknowledged_at + timedelta(hours=hours))
        for place, each in enumerate(records(source, *payloads))
    ]


# A late event that bridges sessions, a correction of a sale, a new sale on another day.
SECOND: dict[str, list[DeliveredRecord]] = {
    "web_logs": later("web_logs", 6, web("e6", f"{DAY}10:30:00Z", event_type="add_to_cart", product_id="B")),
    "pos": later("pos", 8, sale(2, quantity=7), sale(9, timestamp="2010-12-03T10:00:00Z")),
}


class QueriedLake(SilverLake):
    """Bronze as jobs leave it, and everything after it made by the real owners of the tables."""

    def __init__(self, spark: SparkSession, root: Path) -> None:
        super().__init__(root)
        self.spark = spark

    def drain(self, sources: Sequence[str], tables: Sequence[str]) -> None:
        """What new processes make of all that there is to take in."""
        references = References(self.contracts, self.layout)
        for source in sources:
            SilverTable(self.settings, self.contracts, source, references).follow()
        for name in tables:
            GoldTable(self.settings, self.contracts, name).follow()

    def reconciled(self, *sources: str, since: int | None = None) -> Report:
        asked = Scope(sources or self.contracts.sources, since)
        return reconcile(self.spark, self.settings.root, self.contracts, asked)

    def change(self, table: str, *statements: str) -> None:
        """SQL by hand, a commit a statement."""
        for statement in statements:
            self.spark.sql(statement.replace("{table}", f"delta.`{self.layout.table(table)}`"))


def finished(spark: SparkSession, root: Path) -> QueriedLake:
    """The first deliveries through every query, then the second ones."""
    lake = QueriedLake(spark, root)
    for source in lake.contracts.references:
        lake.deliver([each for each in REFERENCE if each.source == source])
    for delivered in FIRST.values():
        lake.deliver(delivered)
    lake.drain([*lake.contracts.references, *FIRST], TABLES)
    for delivered in SECOND.values():
        lake.deliver(delivered)
    lake.drain([*SECOND], ["sales_kpis", "marketing_funnel", "operations_kpis"])
    return lake


def found(report: Report) -> list[tuple[str, str, str, str, str]]:
    return sorted((each.table, each.kind, each.key, each.expected, each.found) for each in report.shown)
