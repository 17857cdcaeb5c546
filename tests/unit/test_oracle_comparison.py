"""A lake against the expected one: nothing is found in a right lake, and everything in a wrong one."""

from datetime import datetime
from typing import Any

import pytest

from local.oracle.comparison import LakeRows, compare
from local.oracle.deliveries import DeliveredFile
from local.oracle.expectation import Expected
from local.oracle.kpis import DIMENSIONS, GoldKey
from tests.unit.oracle_deliveries import (
    DAY,
    NEXT,
    POS_HEADER,
    SALES,
    expected,
    file,
)


def lake_of(found: Expected) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """The lake that is just what was expected, as a reader gives it: times without a zone."""
    rejected = {
        source: [
            {"record_id": record, "rule": min(fate.rules), "column": fate.column}
            for record, fate in fates.items()
            if fate.rules
        ]
        for source, fates in found.fates.items()
    }
    silver = {
        table: [
            {name: value.replace(tzinfo=None) if isinstance(value, datetime) else value for name, value in row.items()}
            for row in rows
        ]
        for table, rows in found.silver.items()
    }
    gold: dict[str, list[dict[str, Any]]] = {table: [] for table in DIMENSIONS}
    for key, row in found.gold.items():
        gold[key.table].append(
            {"kpi_name": key.kpi, "period_start": key.day, "month": f"{key.day:%Y-%m}"}
            | dict(zip(DIMENSIONS[key.table], key.dimensions, strict=True))
            | {"numerator": row.numerator, "denominator": row.denominator, "value": row.value}
        )
    bronze = {source: [{"record_id": record} for record in fates] for source, fates in found.fates.items()}
    return {"bronze": bronze, "silver": silver, "rejected": rejected, "gold": gold}


def test_a_lake_as_expected_shows_no_difference() -> None:
    found = expected(SALES, pos_fault())
    result = compare(LakeRows(**lake_of(found)), found)
    assert result.exact
    assert result.differences == ()


def pos_fault() -> DeliveredFile:
    return file("pos/b.csv", POS_HEADER, "T9,1,77,A,1,2.00,2.00,,,2010-12-01T10:00:00Z")


def test_every_kind_of_difference_is_found() -> None:
    found = expected(SALES, pos_fault())
    lake = lake_of(found)
    bronze = [row for row in lake["bronze"]["pos"] if row["record_id"] != "pos/a.csv#2"]
    lake["bronze"]["pos"] = [*bronze, {"record_id": "stray"}]
    rows = lake["silver"]["validated_pos"]
    assert [row["record_id"] for row in rows][2:] == ["pos/a.csv#4", "pos/a.csv#5", "pos/a.csv#6"]
    rows[3]["quantity"] = -2
    lake["silver"]["validated_pos"] = [*rows[:2], rows[3], rows[4], rows[4]]
    lake["rejected"]["pos"][0]["rule"] = "enum"
    lake["gold"]["sales_kpis"] = [row for row in lake["gold"]["sales_kpis"] if row["kpi_name"] != "refunds"]
    for row in lake["gold"]["sales_kpis"]:
        if row["kpi_name"] == "daily_revenue" and row["period_start"] == NEXT:
            row["numerator"] += 1
    result = compare(LakeRows(**lake), found)
    assert [(each.table, each.key, each.found) for each in result.lost] == [
        ("bronze.pos", "pos/a.csv#2", "none"),
        ("silver.validated_pos", "pos/a.csv#4", "neither in silver nor in rejected"),
    ]
    assert [(each.key, each.found) for each in result.duplicated] == [
        ("pos/a.csv#6", "2 rows"),
        ("('T4', 1, datetime.datetime(2010, 12, 2, 0, 0))", "2 rows of this identity"),
    ]
    assert [(each.table, each.key) for each in result.unknown] == [("bronze.pos", "stray")]
    assert [str(each) for each in result.misplaced] == [
        "rejected.pos pos/b.csv#2: expected rejected: reference (store_id), found rejected: enum (store_id)"
    ]
    assert [str(each) for each in result.silver] == ["silver.validated_pos pos/a.csv#5 quantity: expected -1, found -2"]
    assert [(each.key, each.expected, each.found) for each in result.kpi] == [
        (
            "daily_revenue 2010-12-02 {'store_id': None, 'region': None, 'category': None, 'product_id': None}",
            "2.0000 / 1 = 2.0000000000",
            "3.0000 / 1 = 2.0000000000",
        ),
        (
            "refunds 2010-12-01 {'store_id': None, 'region': None, 'category': None, 'product_id': None}",
            "2.0000 / 1 = 2.0000000000",
            "no row",
        ),
    ]


def test_gold_keys_tell_dimensions_apart_by_place() -> None:
    keys = {key for key in expected(SALES).gold if key.kpi == "revenue_by_region"}
    assert GoldKey("sales_kpis", "revenue_by_region", DAY, (None, "europe", None, None)) in keys


def test_deliveries_for_an_unknown_source_are_refused() -> None:
    with pytest.raises(ValueError, match="deliveries for weather: the sources are stores"):
        expected(file("weather/a.csv", "x"))
