"""Who may change the partitions that Redshift Spectrum reads: each layer's job its own tables', and nobody else."""

import json

import pytest

from tests.infra.operations import one
from tests.infra.recorded_program import ACCOUNT, REGION, recorded

DATABASE = "shopware_lakehouse_{}_spectrum"
# In dev one job writes all layers.
JOBS = [("dev", "all", ("silver", "gold")), ("prod", "silver", ("silver",)), ("prod", "gold", ("gold",))]
TABLES = {
    "gold": ["customer_insights", "marketing_funnel", "operations_kpis", "sales_kpis"],
    "silver": ["campaign_spend", "customer_interactions", "enriched_inventory", "products", "sessionized_web_logs",
               "stores", "validated_pos", "warehouses"],
}  # fmt: skip
PERMISSIONS, OPT_IN = "aws:lakeformation/permissions:Permissions", "aws:lakeformation/optIn:OptIn"
POLICY, TABLE = "aws:iam/rolePolicy:RolePolicy", "aws:glue/catalogTable:CatalogTable"


@pytest.mark.parametrize(("stack", "job", "layers"), JOBS)
def test_iam_lets_a_job_keep_partitions_of_its_own_tables(stack: str, job: str, layers: tuple[str, ...]) -> None:
    [keep, key] = json.loads(one(recorded(stack), POLICY, f"manifests-{job}").at("policy"))["Statement"]
    glue, database = f"arn:aws:glue:{REGION}:{ACCOUNT}", DATABASE.format(stack)

    assert keep["Action"] == [
        "glue:GetTable", "glue:GetPartitions", "glue:BatchCreatePartition", "glue:BatchDeletePartition"
    ]  # fmt: skip
    tables = [f"{glue}:table/{database}/{name}" for layer in layers for name in TABLES[layer]]
    assert sorted(keep["Resource"]) == sorted([f"{glue}:catalog", f"{glue}:database/{database}", *tables])
    assert key["Action"] == ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"]


@pytest.mark.parametrize(("stack", "job", "layers"), JOBS)
def test_lake_formation_lets_it_too(stack: str, job: str, layers: tuple[str, ...]) -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/shopware-lakehouse-{stack}-job-{job}-euc1"
    program, names = recorded(stack), sorted(name for layer in layers for name in TABLES[layer])
    grants = [each for each in program.of(PERMISSIONS) if each.at("principal") == role]

    assert [each.at("permissions") for each in grants if each.at("dataLocation")] == [["DATA_LOCATION_ACCESS"]]
    databases = {each.at("database", "name"): each.at("permissions") for each in grants if each.at("database")}
    assert databases == {DATABASE.format(stack): ["DESCRIBE"]}
    tables = {each.at("table", "name"): each.at("permissions") for each in grants if each.at("table")}
    assert tables == {name: ["ALTER", "DESCRIBE", "SELECT"] for name in names}
    opted = [each for each in program.of(OPT_IN) if each.at("principals", 0, "dataLakePrincipalIdentifier") == role]
    assert sorted(each.at("resourceDatas", 0, "table", "name") for each in opted) == names


def test_the_job_of_bronze_has_no_part_in_it() -> None:
    named = {each.name for each in recorded("prod").of(POLICY) if each.name.startswith("manifests-")}
    assert named == {"manifests-silver", "manifests-gold"}


def test_every_table_of_manifests_lies_where_delta_writes_them() -> None:
    found = {
        each.at("name"): each.at("storageDescriptor", "location")
        for each in recorded("dev").of(TABLE)
        if each.at("databaseName") == DATABASE.format("dev")
    }
    lake = f"s3://shopware-lakehouse-dev-lake-{ACCOUNT}-euc1"
    assert found == {
        name: f"{lake}/{layer}/{name}/_symlink_format_manifest/" for layer, names in TABLES.items() for name in names
    }
