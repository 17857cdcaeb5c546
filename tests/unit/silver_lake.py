"""A lake in a folder whose silver tables tests fill batch by batch, and what the oracle says must be in it."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from lakehouse.contracts import load_contracts
from lakehouse.engine.batch import Outcome
from lakehouse.engine.schemas import envelope_schema
from lakehouse.layout import Layout
from lakehouse.settings import CONTRACTS, Settings
from local.demo.proof import lake_rows
from local.oracle.comparison import Comparison, LakeRows, compare
from local.oracle.deliveries import DeliveredRecord
from local.oracle.expectation import expect
from local.sql import Lake
from runtime.tables import ensure_table, open_table
from streaming.bronze import BRONZE_PROPERTIES
from streaming.references import References
from streaming.silver import Batch, SilverTable
from tests.unit.oracle_deliveries import records

STORES = [
    {"store_id": 1, "region": "north", "country": "GB", "valid_from": "2009-01-01T00:00Z"},
    {"store_id": 2, "region": "europe", "country": "DE", "valid_from": "2009-01-01T00:00Z"},
    {"store_id": 1, "region": "south", "country": "GB", "valid_from": "2010-12-01T12:00Z"},
]
WAREHOUSES = [{"warehouse_id": 5, "region": "north", "country": "GB", "valid_from": "2009-01-01T00:00Z"}]
PRODUCTS = [
    {"product_id": "A", "category": "toys", "unit_cost": 1.10, "valid_from": "2009-01-01T00:00Z"},
    {"product_id": "B", "category": "bags", "unit_cost": 2, "valid_from": "2009-01-01T00:00Z"},
]
REFERENCE: tuple[DeliveredRecord, ...] = (
    *records("stores", *STORES),
    *records("warehouses", *WAREHOUSES),
    *records("products", *PRODUCTS),
)


@dataclass(frozen=True)
class Content:
    """Everything in one source's silver table, by record id, and the rejected record ids with their rules."""

    silver: dict[str, dict[str, Any]]
    rejected: list[tuple[str, str]]

    @property
    def rejected_ids(self) -> list[str]:
        return [record_id for record_id, _ in self.rejected]


class SilverLake:
    """The silver tables of one root; every batch has the number after the last."""

    def __init__(self, root: Path) -> None:
        self.settings = Settings(root=str(root), state_directory=root)
        self.contracts = load_contracts(CONTRACTS)
        self.layout = Layout(str(root))
        self.references = References(self.contracts, self.layout)
        self.tables: dict[str, SilverTable] = {}

    def table(self, source: str) -> SilverTable:
        if source not in self.tables:
            table = SilverTable(self.settings, self.contracts, source, self.references)
            table.ensure()
            self.tables[source] = table
        return self.tables[source]

    def process(self, delivered: Sequence[DeliveredRecord], number: int) -> Outcome | None:
        """Puts records of one source through the silver batch with that number."""
        source = delivered[0].source
        return self.table(source).process(self.bronze(delivered), batch(source, number))

    def deliver(self, delivered: Sequence[DeliveredRecord]) -> None:
        """Appends records of one source to its bronze table, in one commit."""
        uri = self.layout.table(f"bronze.{delivered[0].source}")
        bronze = ensure_table(uri, envelope_schema(self.contracts), ["ingest_date"], BRONZE_PROPERTIES)
        bronze.append(self.bronze(delivered), {}, "")

    def bronze(self, delivered: Iterable[DeliveredRecord]) -> pa.Table:
        return pa.Table.from_pylist([enveloped(each) for each in delivered], envelope_schema(self.contracts))

    def content(self, source: str) -> Content:
        with Lake(str(self.settings.root)) as lake:
            silver = lake.query(f"SELECT * FROM silver.{self.contracts.silver_of(source).name}")
            rejected = lake.query(f"SELECT record_id, rule FROM rejected.{source} ORDER BY ALL")
        by_id = {row["record_id"]: row for row in silver}
        assert len(by_id) == len(silver), "a record is in silver twice"
        return Content(by_id, [(row["record_id"], row["rule"]) for row in rejected])

    def rejected(self, source: str, columns: Sequence[str]) -> list[dict[str, Any]]:
        """Some columns of the rejected rows of a source."""
        return open_table(self.layout.table(f"rejected.{source}")).read(columns).to_pylist()

    def compared(self, delivered: Iterable[DeliveredRecord]) -> Comparison:
        """The silver and rejected tables against the oracle's, with every delivered record counted as in bronze."""
        delivered = [*delivered]
        bronze: dict[str, list[dict[str, Any]]] = {}
        for each in delivered:
            bronze.setdefault(each.source, []).append({"record_id": each.record_id})
        with Lake(str(self.settings.root)) as lake:
            rows = lake_rows(lake)
        expected = expect([], delivered)
        # Gold is not made here: its rows are no difference.
        return compare(
            LakeRows(bronze, rows.silver, rows.rejected), type(expected)(expected.fates, expected.silver, {})
        )


def batch(source: str, number: int) -> Batch:
    return Batch(f"query:{source}", number)


def with_references(root: Path) -> SilverLake:
    """A lake that knows the reference data and nothing else."""
    lake = SilverLake(root)
    for source in lake.contracts.references:
        lake.process([each for each in REFERENCE if each.source == source], 0)
    return lake


def copied(lake: SilverLake, root: Path) -> SilverLake:
    """The lake once more at another root: Delta tables name their files relative to themselves."""
    shutil.copytree(lake.settings.root, root, dirs_exist_ok=True)
    return SilverLake(root)


def enveloped(record: DeliveredRecord) -> dict[str, Any]:
    try:
        payload, encoding = record.data.decode(), "utf8"
    except UnicodeDecodeError:
        payload, encoding = record.data.hex(), "base64"
    return {
        "record_id": record.record_id,
        "payload": payload,
        "payload_encoding": encoding,
        "arrived_at": record.acknowledged_at,
        "ingested_at": datetime.now(UTC),
        "partition_key": "key",
        "ingest_date": record.acknowledged_at.date(),
    }
