"""What a late reference row explains in columns that are computed from looked-up ones; no contract has such yet."""

from dataclasses import replace

import pytest
from pyspark.sql import DataFrame, SparkSession

from batch.reconciliation.late_references import LateReferences
from lakehouse.contract_model import Column
from lakehouse.contracts import load_contracts
from lakehouse.settings import CONTRACTS

LABEL = Column("label", "label", "string", False, "", "public", expression="category || '!'")
ROW = """SELECT 'r' AS record_id, timestamp'2026-01-01' AS arrived_at, timestamp'2010-12-01' AS event_time,
    'T' AS transaction_id, 1 AS quantity, 1 AS store_id, 'A' AS product_id, 'GB' AS country, 'north' AS region,
    '{category}' AS category, 1.0 AS unit_cost, 'T|sale' AS basket_key, '2010-12' AS month, 'sale' AS type,
    '{label}' AS label"""
DELIVERED = {
    "products": """SELECT * FROM VALUES
        ('A', timestamp'2009-01-01', 'toys', 1.0, timestamp'2025-01-01', 'p1'),
        ('A', timestamp'2010-01-01', 'games', 1.0, timestamp'2026-02-01', 'p2')
        AS t(product_id, valid_from, category, unit_cost, arrived_at, record_id)""",
    "stores": """SELECT 1 AS store_id, timestamp'2009-01-01' AS valid_from, 'GB' AS country, 'north' AS region,
        timestamp'2025-01-01' AS arrived_at, 's1' AS record_id""",
}


@pytest.mark.parametrize(
    ("label", "month", "left"),
    [
        ("toys!", "2010-12", []),
        ("games?", "2010-12", [("label", "games?")]),
        ("toys!", "2010-11", [("month", "2010-11")]),
    ],
)
def test_a_computed_column_is_late_if_it_follows_from_late_values(
    spark: SparkSession, label: str, month: str, left: list[tuple[str, str]]
) -> None:
    contracts = load_contracts(CONTRACTS)
    silver = contracts.silver_of("pos")
    silver = replace(silver, columns=(*silver.columns, LABEL))

    def deliveries(table: str) -> DataFrame:
        return spark.sql(DELIVERED[table])

    wanted = spark.sql(ROW.format(category="games", label="games!"))
    found = spark.sql(ROW.format(category="toys", label=label))
    cells = spark.createDataFrame(
        [("r", "category", "toys"), ("r", "label", label)] + [("r", "month", month)] * (month != "2010-12"),
        "key string, column string, found string",
    )
    late = LateReferences(contracts, contracts.source("pos"), silver, {"products", "stores"}, deliveries)
    rest, rows = late.without_late(cells, wanted, found)
    assert ([tuple(row) for row in rest.select("column", "found").collect()], rows) == (left, 1)
    up_to_date = LateReferences(contracts, contracts.source("pos"), silver, set(), deliveries)
    assert up_to_date.without_late(cells, wanted, found) == (cells, 0)
