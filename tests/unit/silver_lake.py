"""A lake in a folder whose silver tables tests fill batch by batch, and what the oracle says must be in it."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema

from lakehouse.contracts import load_contracts
from lakehouse.layout import Layout
from lakehouse.schemas import envelope_type
from lakehouse.settings import CONTRACTS, Settings
from local.demo.proof import lake_rows
from local.oracle.comparison import Comparison, LakeRows, compare
from local.oracle.deliveries import DeliveredRecord
from local.oracle.expectation import expect
from local.sql import Lake
from streaming.references import References
from streaming.silver import Origin, SilverTable, Tally
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

    def __init__(self, spark: SparkSession, root: Path) -> None:
        self.spark = spark
        self.settings = Settings(root=str(root), state_directory=root)
        self.contracts = load_contracts(CONTRACTS)
        self.layout = Layout(str(root))
        self.references = References(self.contracts, self.layout)
        self.tables: dict[str, SilverTable] = {}

    def table(self, source: str) -> SilverTable:
        if source not in self.tables:
            table = SilverTable(self.settings, self.contracts, source, self.references)
            table.ensure(self.spark)
            self.tables[source] = table
        return self.tables[source]

    def process(self, delivered: Sequence[DeliveredRecord], number: int, recover: bool = False) -> Tally | None:
        """Puts records of one source through the silver batch with that number."""
        source = delivered[0].source
        return self.table(source).process(self.bronze(delivered), origin(source, number), recover)

    def bronze(self, delivered: Iterable[DeliveredRecord]) -> DataFrame:
        schema = envelope_type(self.contracts)
        rows = pa.Table.from_pylist([_enveloped(each) for each in delivered], to_arrow_schema(schema))
        return self.spark.createDataFrame(rows, schema)

    def content(self, source: str) -> Content:
        with Lake(str(self.settings.root)) as lake:
            silver = lake.query(f"SELECT * FROM silver.{self.contracts.silver_of(source).name}")
            rejected = lake.query(f"SELECT record_id, rule FROM rejected.{source} ORDER BY ALL")
        by_id = {row["record_id"]: row for row in silver}
        assert len(by_id) == len(silver), "a record is in silver twice"
        return Content(by_id, [(row["record_id"], row["rule"]) for row in rejected])

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


def origin(source: str, number: int) -> Origin:
    return Origin(f"query:{number}", f"query:silver.{source}", number)


def with_references(spark: SparkSession, root: Path) -> SilverLake:
    """A lake that knows the reference data and nothing else."""
    lake = SilverLake(spark, root)
    for source in lake.contracts.references:
        lake.process([each for each in REFERENCE if each.source == source], 0)
    return lake


def copied(lake: SilverLake, root: Path) -> SilverLake:
    """The lake once more at another root: Delta tables name their files relative to themselves."""
    shutil.copytree(lake.settings.root, root, dirs_exist_ok=True)
    return SilverLake(lake.spark, root)


def _enveloped(record: DeliveredRecord) -> dict[str, Any]:
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
