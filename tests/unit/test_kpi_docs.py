"""The pages that explain the KPIs: complete, up to date, with SQL that runs and examples that come out as they say."""

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from lakehouse.contracts import Contracts, load_contracts
from lakehouse.kpi_model import Kpi
from lakehouse.kpis import KPIS
from lakehouse.settings import CONTRACTS
from local.kpi_docs import index, page, pages
from local.kpi_queries import dimensions_of, is_rate, read_query, source_query, total_query
from local.meanings import MEANINGS
from local.sql import Lake
from tests.unit.gold_lake import FIRST, random_lake
from tests.unit.test_kpis import EXPECTED, SILVER

DOCS = CONTRACTS.parent / "docs" / "kpis"
SOURCES = sorted({each.source for kpi in KPIS for each in kpi.contributions})


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    return load_contracts(CONTRACTS)


@pytest.fixture
def silver(contracts: Contracts) -> Iterator[duckdb.DuckDBPyConnection]:
    """Empty silver tables with the columns of their contracts, as DuckDB shows those of a lake."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("create schema silver")
        for source in SOURCES:
            columns = ", ".join(f'"{each.name}" {duck_type(each.type)}' for each in contracts.table(source).columns)
            connection.execute(f"create table {source} ({columns})")
        yield connection


def duck_type(declared: str) -> str:
    return {"timestamp": "timestamptz", "string": "text", "array<string>": "text[]"}.get(declared, declared)


def fill(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, Any]) -> None:
    for table, rows in tables.items():
        for row in rows:
            names = ", ".join(f'"{name}"' for name in row)
            connection.execute(
                f"insert into {table} ({names}) values ({', '.join('?' * len(row))})", list(row.values())
            )


def computed(connection: duckdb.DuckDBPyConnection, kpi: Kpi) -> list[tuple[Any, ...]]:
    """Day, dimensions, numerator, denominator and value of each row, amounts with four digits and values with ten."""
    rows = connection.execute(source_query(kpi)).fetchall()
    return sorted(
        [
            (*row[:-3], *(Decimal(each).quantize(Decimal("0.0001")) for each in row[-3:-1]), rounded(row[-1]))
            for row in rows
        ],
        key=str,
    )


def rounded(value: object) -> Decimal | None:
    return None if value is None else Decimal(str(value)).quantize(Decimal("0.000001"))


def test_the_pages_are_current(contracts: Contracts) -> None:
    present = {path.name: path.read_text(encoding="utf-8") for path in Path(DOCS).glob("*.md")}

    assert present == pages(contracts), "run `make docs`"


def test_every_kpi_has_a_meaning_and_a_place_in_the_index() -> None:
    assert set(MEANINGS) == {kpi.name for kpi in KPIS}
    for kpi in KPIS:
        meaning = MEANINGS[kpi.name]
        assert f"| [{kpi.name}]({kpi.name}.md) | {meaning.title} | {meaning.question} |\n" in index()
        for words in (meaning.formula, meaning.trade, *meaning.counted, *meaning.not_counted, *meaning.traps):
            assert words.endswith(".")
        assert meaning.question.endswith("?")
    teams = [line.removeprefix("## ") for line in index().splitlines() if line.startswith("## ")]
    assert teams == ["Sales", "Finance", "Marketing", "Support", "Operations"]


@pytest.mark.parametrize("kpi", KPIS, ids=lambda kpi: kpi.name)
def test_the_example_of_a_page_comes_out_as_it_says(silver: duckdb.DuckDBPyConnection, kpi: Kpi) -> None:
    example = MEANINGS[kpi.name].example
    fill(silver, example.rows)

    assert computed(silver, kpi) == sorted(
        [
            (
                date.fromisoformat(each.day),
                *(each.dimensions.get(name) for name in dimensions_of(kpi)),
                Decimal(each.numerator).quantize(Decimal("0.0001")),
                Decimal(each.denominator).quantize(Decimal("0.0001")),
                rounded(each.value),
            )
            for each in example.results
        ],
        key=str,
    )


@pytest.mark.parametrize("kpi", KPIS, ids=lambda kpi: kpi.name)
def test_the_sql_of_a_page_gives_the_numbers_worked_out_by_hand(silver: duckdb.DuckDBPyConnection, kpi: Kpi) -> None:
    fill(silver, SILVER)

    assert computed(silver, kpi) == sorted(
        [
            (
                day,
                *(dimensions.get(name) for name in dimensions_of(kpi)),
                Decimal(numerator).quantize(Decimal("0.0001")),
                Decimal(denominator).quantize(Decimal("0.0001")),
                rounded(value),
            )
            for day, dimensions, numerator, denominator, value, _ in EXPECTED[kpi.name]
        ],
        key=str,
    )


def test_the_sql_over_gold_runs_and_adds_up(tmp_path: Path) -> None:
    random_lake(tmp_path, values=2, days=2, seed=1)
    with Lake(str(tmp_path)) as lake:
        for kpi in KPIS:
            rows = lake.query(read_query(kpi))
            assert {tuple(row) for row in rows} == {("period_start", *dimensions_of(kpi), "value")}
            assert min(row["period_start"] for row in rows) >= FIRST
            total = total_query(kpi)
            measure = "sum(numerator) / sum(denominator)" if is_rate(kpi) else "sum(numerator)"
            if total is not None:
                expected = f"select {measure} v from {kpi.table} where kpi_name = $kpi"
                assert lake.query(total)[0]["value"] == lake.query(expected, {"kpi": kpi.name})[0]["v"]


def test_a_page_says_all_that_is_agreed(contracts: Contracts) -> None:
    text = page(next(kpi for kpi in KPIS if kpi.name == "average_basket"), contracts)

    assert text.startswith(
        "# Average basket\n\n"
        "**How much does a customer spend on one receipt?**\n\n"
        "The revenue of a store over the number of its sale receipts.\n\n"
        "| agreed |  |\n"
        "| --- | --- |\n"
        "| name | `average_basket` |\n"
        "| asked for by | Sales |\n"
        "| owner of the table | Sales |\n"
        "| unit | GBP |\n"
        "| one value for | each UTC day and `store_id` |\n"
        "| adds up by | numerators over denominators |\n"
        "| table | `gold.sales_kpis` |\n"
        "| made from | `silver.validated_pos` |\n"
        "| a record counts within | 27 hours |\n"
        "| who may read it | sales, data_engineer |\n\n"
        "## What is counted\n\n"
        "- Sale lines at the price before discount.\n"
        "- Each receipt once, by its first line.\n\n"
        "## What is not\n\n"
    )
    assert "| 1 | 2010-12-01 08:26:00 | 6 | 2.55 | sale | true |\n" in text
    assert "| 2010-12-01 | 1 | 89.7200 | 2.0000 | 44.86 |\n" in text
    assert text.endswith("group by day, store_id\norder by all\n```\n")
