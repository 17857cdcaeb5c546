"""What Redshift Spectrum would read: the files that manifests name, of the partitions that the catalog lists."""

import logging
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import pyarrow.parquet as pq
import pytest
from moto import mock_aws

from lakehouse.contracts import load_contracts
from lakehouse.delta.manifests import FOLDER
from lakehouse.settings import CONTRACTS
from local.sql import Lake
from runtime.manifests import CataloguedPartitions, partition_values, write_manifests
from runtime.tables import open_log, open_table
from tests.unit.oracle_deliveries import records
from tests.unit.silver_lake import with_references
from tests.unit.test_silver_batches import basket_line

DATABASE = "spectrum"
GOLD = load_contracts(CONTRACTS).table("gold.sales_kpis")
COLUMNS = [{"Name": "value", "Type": "decimal(38,10)"}]
LINE = basket_line(Random(1)) | {"store_id": 1, "product_id": "A", "unit_price": "2.50", "line_number": 1}


@pytest.fixture
def glue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        client: Any = boto3.client("glue", region_name="eu-central-1")
        client.create_database(DatabaseInput={"Name": DATABASE})
        client.create_table(
            DatabaseName=DATABASE,
            TableInput={
                "Name": GOLD.name,
                "StorageDescriptor": {"Columns": COLUMNS, "Location": "s3://lake/gold/sales_kpis/manifests/"},
                "PartitionKeys": [{"Name": "kpi_name", "Type": "string"}, {"Name": "month", "Type": "string"}],
            },
        )
        yield client


def manifest(root: Path, folder: str) -> Path:
    path = root / FOLDER / folder / "manifest"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("s3://lake/a.parquet\n")
    return path


def listed(glue: Any) -> dict[tuple[str, ...], tuple[str, Any]]:
    pages = glue.get_paginator("get_partitions").paginate(DatabaseName=DATABASE, TableName=GOLD.name)
    return {
        tuple(each["Values"]): (each["StorageDescriptor"]["Location"], each["StorageDescriptor"]["Columns"])
        for page in pages
        for each in page["Partitions"]
    }


def test_the_catalog_lists_exactly_the_partitions_with_a_manifest(glue: Any, tmp_path: Path) -> None:
    first = manifest(tmp_path, "kpi_name=units_sold/month=2026-11")
    manifest(tmp_path, "kpi_name=daily_revenue/month=2026-11")
    partitions = CataloguedPartitions(glue, DATABASE, GOLD, str(tmp_path))
    partitions.update()
    where = f"{tmp_path}/{FOLDER}"
    november = (f"{where}/kpi_name=daily_revenue/month=2026-11/", COLUMNS)
    assert listed(glue) == {
        ("units_sold", "2026-11"): (f"{where}/kpi_name=units_sold/month=2026-11/", COLUMNS),
        ("daily_revenue", "2026-11"): november,
    }

    first.unlink()
    manifest(tmp_path, "kpi_name=daily_revenue/month=2026-12")
    # A job that has just been started knows nothing but what the catalog says.
    CataloguedPartitions(glue, DATABASE, GOLD, str(tmp_path)).update()
    both = {
        ("daily_revenue", "2026-11"): november,
        ("daily_revenue", "2026-12"): (f"{where}/kpi_name=daily_revenue/month=2026-12/", COLUMNS),
    }
    assert listed(glue) == both
    # The one that was there before meets what another has listed.
    partitions.update()
    assert listed(glue) == both


def test_more_partitions_than_a_call_takes(glue: Any, tmp_path: Path) -> None:
    made = [manifest(tmp_path, f"kpi_name=units_sold/month={year}-01") for year in range(1900, 2030)]
    partitions = CataloguedPartitions(glue, DATABASE, GOLD, str(tmp_path))
    partitions.update()
    assert set(listed(glue)) == {("units_sold", f"{year}-01") for year in range(1900, 2030)}
    for path in made[:60]:
        path.unlink()
    partitions.update()
    assert set(listed(glue)) == {("units_sold", f"{year}-01") for year in range(1960, 2030)}


def test_an_update_that_changes_nothing_asks_the_catalog_nothing(
    glue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest(tmp_path, "kpi_name=units_sold/month=2026-11")
    partitions = CataloguedPartitions(glue, DATABASE, GOLD, str(tmp_path))
    partitions.update()
    asked: list[str] = []
    monkeypatch.setattr(glue, "_make_api_call", lambda operation, given: asked.append(operation))
    partitions.update()
    assert asked == []


def test_a_catalog_that_refuses_is_told_of_and_tried_again(
    glue: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest(tmp_path, "kpi_name=units_sold/month=2026-11")
    [table] = glue.get_tables(DatabaseName=DATABASE)["TableList"]
    glue.delete_table(DatabaseName=DATABASE, Name=GOLD.name)
    partitions = CataloguedPartitions(glue, DATABASE, GOLD, str(tmp_path))
    with caplog.at_level(logging.WARNING):
        partitions.update()
    assert "partitions of spectrum.sales_kpis are not up to date for Redshift Spectrum" in caplog.text
    kept = {name: table[name] for name in ("Name", "StorageDescriptor", "PartitionKeys")}
    glue.create_table(DatabaseName=DATABASE, TableInput=kept)
    partitions.update()
    assert list(listed(glue)) == [("units_sold", "2026-11")]


def test_values_are_unescaped() -> None:
    assert partition_values("region=a%2Fb c/month=2026-11/type=__HIVE_DEFAULT_PARTITION__") == [
        "a/b c",
        "2026-11",
        "__HIVE_DEFAULT_PARTITION__",
    ]


def test_manifests_of_silver_name_the_rows_that_are_there(tmp_path: Path) -> None:
    """Corrections leave deletion vectors; a reader of manifests does not know such."""
    lake = with_references(tmp_path)
    lines = [LINE, LINE | {"line_number": 2}, LINE | {"line_number": 3, "store_id": 2}]
    delivered = records("pos", *lines, LINE | {"quantity": 9})
    lake.process(delivered[:-1], 0)
    lake.process(delivered[-1:], 1)
    table = open_table(lake.table("pos").silver_uri)
    assert any(file.deletion_vector for file in table.files()), "the correction made none"
    before = table.version

    write_manifests(table)

    with Lake(str(tmp_path)) as reader:
        rows = reader.query("SELECT record_id, line_number, quantity FROM silver.validated_pos ORDER BY ALL")
    found = []
    for path in (tmp_path / "silver" / "validated_pos" / FOLDER).rglob("manifest"):
        for line in path.read_text().split():
            part = pq.ParquetFile(unquote(urlsplit(line).path)).read(["record_id", "line_number", "quantity"])
            found += part.to_pylist()
    assert sorted(found, key=lambda row: tuple(row.values())) == rows
    assert len(rows) == len(lines)
    bite = open_log(table.uri).changed(before, 1_000_000)
    assert bite is not None
    assert bite.rows.num_rows == 0, "no reader of the table's changes sees anything"
