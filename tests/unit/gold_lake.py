"""Gold tables for the tests of the dashboard: their contracts' columns, written without Spark."""

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, write_deltalake

from lakehouse.contracts import Contracts, load_contracts
from lakehouse.kpis import KPIS
from lakehouse.layout import Layout
from lakehouse.settings import CONTRACTS

TYPES: dict[str, pa.DataType] = {"string": pa.string(), "date": pa.date32(), "int": pa.int32(), "bigint": pa.int64()}
AMOUNTS = {"numerator": pa.decimal128(28, 4), "denominator": pa.decimal128(28, 4), "value": pa.decimal128(38, 10)}
FIRST = date(2026, 1, 5)  # a Monday

Row = dict[str, Any]


@cache
def declared() -> Contracts:
    """The contracts of the lake, read once."""
    return load_contracts(CONTRACTS)


def write(root: Path, name: str, rows: dict[str, Any], metadata: str | None = None) -> None:
    """Appends columns of values to a table."""
    properties = CommitProperties(custom_metadata={"userMetadata": metadata}) if metadata else None
    write_deltalake(Layout(str(root)).table(name), pa.table(rows), mode="append", commit_properties=properties)


def row(kpi: str, day: date, numerator: str, denominator: str = "1", **dimensions: object) -> Row:
    """One row of a gold table."""
    amounts = {"numerator": Decimal(numerator), "denominator": Decimal(denominator)}
    return {"kpi_name": kpi, "period_start": day, **amounts, **dimensions}


def write_gold(root: Path, name: str, rows: Iterable[Row]) -> None:
    """Appends KPI rows to a gold table; what a row does not say is null."""
    types = {column.name: AMOUNTS.get(column.name) or TYPES[column.type] for column in declared().table(name).columns}
    found = list(rows)
    write(root, name, {column: pa.array([each.get(column) for each in found], kind) for column, kind in types.items()})


def random_lake(root: Path, values: int, days: int, seed: int, first: date = FIRST) -> None:
    """Every gold table, with so many values of each dimension and a row of each KPI for each value and day."""
    chance = Random(seed)
    for table in sorted({kpi.table for kpi in KPIS}):
        rows = []
        for kpi in (kpi for kpi in KPIS if kpi.table == table):
            names = dict.fromkeys(name for each in kpi.contributions for name in each.dimensions)
            for place in range(values):
                dimensions: dict[str, object] = {
                    name: place if name.endswith(("store_id", "warehouse_id")) else f"{name} {place}" for name in names
                }
                if "statistic" in names:
                    dimensions |= {"interaction_type": "complaint", "statistic": ("mean", "p50", "p90")[place % 3]}
                plain = all(each.denominator is None for each in kpi.contributions)
                for number in range(days):
                    # Few days lack a value, and the values differ by orders of magnitude.
                    if chance.random() < 0.1:
                        continue
                    numerator = Decimal(chance.randrange(10 ** chance.randrange(3, 11))).scaleb(-4)
                    denominator = Decimal(1) if plain else Decimal(chance.randrange(1, 400))
                    day = first + timedelta(days=number)
                    rows.append(row(kpi.name, day, str(numerator), str(denominator), **dimensions))
        write_gold(root, table, rows)
