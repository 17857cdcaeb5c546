"""Who may change the partitions that Redshift Spectrum reads: each layer's job its own tables', and nobody else."""

import json

import pytest

from tests.infra.declared import Program
from tests.infra.operations import one
from tests.infra.recorded_program import ACCOUNT, REGION, recorded

DATABASE = "shopware_lakehouse_dev_spectrum"
TABLES = {
    "gold": ["customer_insights", "marketing_funnel", "operations_kpis", "sales_kpis"],
    "silver": ["campaign_spend", "customer_interactions", "enriched_inventory", "products", "sessionized_web_logs",
               "stores", "validated_pos", "warehouses"],
}  # fmt: skip
PERMISSIONS, OPT_IN = "aws:lakeformation/permissions:Permissions", "aws:lakeformation/optIn:OptIn"
POLICY, TABLE = "aws:iam/rolePolicy:RolePolicy", "aws:glue/catalogTable:CatalogTable"


@pytest.fixture(scope="module")
def program() -> Program:
    return recorded("dev")


@pytest.mark.parametrize("layer", ["silver", "gold"])
def test_iam_lets_the_job_keep_partitions_of_its_own_tables(program: Program, layer: str) -> None:
    [keep, key] = json.loads(one(program, POLICY, f"manifests-{layer}").at("policy"))["Statement"]
    glue = f"arn:aws:glue:{REGION}:{ACCOUNT}"

    assert keep["Action"] == [
        "glue:GetTable", "glue:GetPartitions", "glue:BatchCreatePartition", "glue:BatchDeletePartition"
    ]  # fmt: skip
    assert sorted(keep["Resource"]) == sorted(
        [
            f"{glue}:catalog",
            f"{glue}:database/{DATABASE}",
            *(f"{glue}:table/{DATABASE}/{name}" for name in TABLES[layer]),
        ]
    )
    assert key["Action"] == ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"]


@pytest.mark.parametrize("layer", ["silver", "gold"])
def test_lake_formation_lets_it_too(program: Program, layer: str) -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/shopware-lakehouse-dev-job-{layer}"
    grants = [each for each in program.of(PERMISSIONS) if each.at("principal") == role]

    assert [each.at("permissions") for each in grants if each.at("dataLocation")] == [["DATA_LOCATION_ACCESS"]]
    databases = {each.at("database", "name"): each.at("permissions") for each in grants if each.at("database")}
    assert databases == {DATABASE: ["DESCRIBE"]}
    tables = {each.at("table", "name"): each.at("permissions") for each in grants if each.at("table")}
    assert tables == {name: ["ALTER", "DESCRIBE", "SELECT"] for name in TABLES[layer]}
    opted = [each for each in program.of(OPT_IN) if each.at("principals", 0, "dataLakePrincipalIdentifier") == role]
    assert sorted(each.at("resourceDatas", 0, "table", "name") for each in opted) == TABLES[layer]


def test_every_table_of_manifests_lies_where_delta_writes_them(program: Program) -> None:
    found = {
        each.at("name"): each.at("storageDescriptor", "location")
        for each in program.of(TABLE)
        if each.at("databaseName") == DATABASE
    }
    lake = f"s3://shopware-lakehouse-dev-lake-{ACCOUNT}-{REGION}"
    assert found == {
        name: f"{lake}/{layer}/{name}/_symlink_format_manifest/" for layer, names in TABLES.items() for name in names
    }
