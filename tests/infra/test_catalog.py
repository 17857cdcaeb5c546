"""The Glue catalog against the contract files, read here as plain YAML."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from lakehouse.settings import CONTRACTS
from tests.infra.declared import Declared, Program
from tests.infra.operations import one
from tests.infra.recorded_program import ACCOUNT, REGION, STACKS, recorded, with_everything

TABLE, DATABASE = "aws:glue/catalogTable:CatalogTable", "aws:glue/catalogDatabase:CatalogDatabase"
LAKE = f"s3://shopware-lakehouse-dev-lake-{ACCOUNT}-euc1"
REFERENCES = {"products", "stores", "warehouses"}
# What Spark calls a type and Glue otherwise.
GLUE = {"integer": "int", "long": "bigint"}


def contracts(kind: str) -> dict[str, dict[str, Any]]:
    found = {}
    for path in sorted(Path(CONTRACTS).glob("*.odcs.yaml")):
        content = yaml.safe_load(path.read_text())
        kinds = [each["value"] for each in content["customProperties"] if each["property"] == "kind"]
        if kind in kinds:
            found[content["name"]] = content
    return found


@pytest.fixture(scope="module")
def program() -> Program:
    return recorded("dev")


def tables(program: Program, layer: str) -> dict[str, Declared]:
    database = f"shopware_lakehouse_dev_{layer}"
    return {each.at("name"): each for each in program.of(TABLE) if each.at("databaseName") == database}


def columns(table: Declared) -> list[tuple[str, str]]:
    found = [*table.at("storageDescriptor", "columns"), *table.at("partitionKeys")]
    return [(each["name"], each["type"]) for each in found]


@pytest.mark.parametrize("layer", ["silver", "gold"])
def test_every_table_of_a_contract_is_there_with_its_columns_types_comments_and_partitions(
    program: Program, layer: str
) -> None:
    found = tables(program, layer)
    # Reference data has no contract of its own in silver: its table there follows from that of its source.
    assert found.keys() - REFERENCES == contracts(layer).keys()
    for name, contract in contracts(layer).items():
        table, properties = found[name], contract["schema"][0]["properties"]
        wanted = {each["name"]: GLUE.get(each["physicalType"], each["physicalType"]) for each in properties}
        assert dict(columns(table)).items() >= wanted.items(), name
        keys = sorted(
            (each["partitionKeyPosition"], each["name"]) for each in properties if each.get("partitioned", False)
        )
        assert [each["name"] for each in table.at("partitionKeys")] == [column for _, column in keys]
        comments = {each["name"]: each["comment"] for each in table.at("storageDescriptor", "columns")}
        for each in properties:
            if each["name"] in comments:
                told = " ".join(each["description"].split())
                assert comments[each["name"]].rstrip("…") == told[: len(comments[each["name"]].rstrip("…"))]


@pytest.mark.parametrize("layer", ["bronze", "silver", "gold", "rejected"])
def test_athena_finds_the_delta_table_where_it_lies(program: Program, layer: str) -> None:
    folder = "bad_rows" if layer == "rejected" else ""
    for name, table in tables(program, layer).items():
        assert table.at("parameters", "table_type") == "DELTA"
        assert table.at("parameters", "spark.sql.sources.provider") == "delta"
        assert table.at("tableType") == "EXTERNAL_TABLE"
        assert table.at("storageDescriptor", "location") == "/".join(
            part for part in (LAKE, layer, name, folder) if part
        )


def test_bronze_and_rejected_are_there_for_every_source(program: Program) -> None:
    assert tables(program, "bronze").keys() == tables(program, "rejected").keys() == contracts("source").keys()
    for table in tables(program, "bronze").values():
        assert [each["name"] for each in table.at("partitionKeys")] == ["ingest_date"]


def test_what_spectrum_reads_has_the_same_columns_as_the_delta_table(program: Program) -> None:
    through_manifests = tables(program, "spectrum")
    delta = tables(program, "silver") | tables(program, "gold")
    assert through_manifests.keys() == delta.keys()
    for name, table in through_manifests.items():
        assert columns(table) == columns(delta[name])
        assert table.at("storageDescriptor", "inputFormat").endswith("SymlinkTextInputFormat")


def test_a_delta_table_says_its_path_to_readers_that_do_not_go_by_the_location(program: Program) -> None:
    seen = 0
    for layer in ("bronze", "silver", "gold", "rejected"):
        for table in tables(program, layer).values():
            location = table.at("storageDescriptor", "location")
            assert table.at("storageDescriptor", "serDeInfo", "parameters") == {"path": location}
            seen += 1
    assert seen == 28


@pytest.mark.parametrize("stack", STACKS)
def test_databases_and_tables_come_after_what_encrypts_and_closes_them(stack: str) -> None:
    """What is made before these settings stays unencrypted, and open to everybody with IAM rights."""
    whole = with_everything(stack)
    settings = {
        "aws:glue/dataCatalogEncryptionSettings:DataCatalogEncryptionSettings account",
        "aws:lakeformation/dataLakeSettings:DataLakeSettings account",
    }
    waits = {str(each): each.after for each in whole.resources}
    catalog = [str(each) for each in whole.of(TABLE, DATABASE)]
    assert len(catalog) == 6 + 28 + 12 + 2
    assert [each for each in catalog if not settings <= earlier(each, waits)] == []


def earlier(resource: str, waits: Mapping[str, Collection[str]]) -> set[str]:
    """All that stands before a resource is begun."""
    found, left = set[str](), [*waits[resource]]
    while left:
        each = left.pop()
        if each not in found:
            found.add(each)
            left += waits.get(each, ())
    return found


def test_databases_are_closed_and_the_catalog_is_encrypted(program: Program) -> None:
    assert {each.at("name").rpartition("_")[2] for each in program.of(DATABASE)} == {
        "bronze", "silver", "gold", "rejected", "audit", "spectrum",
    }  # fmt: skip
    assert [each.at("createTableDefaultPermissions") for each in program.of(DATABASE)] == [[]] * 6
    settings = one(program, "aws:glue/dataCatalogEncryptionSettings:DataCatalogEncryptionSettings")
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/keys-catalog"
    given = settings.at("dataCatalogEncryptionSettings")
    assert given["encryptionAtRest"] == {"catalogEncryptionMode": "SSE-KMS", "sseAwsKmsKeyId": key}
    assert given["connectionPasswordEncryption"] == {"returnConnectionPasswordEncrypted": True, "awsKmsKeyId": key}
