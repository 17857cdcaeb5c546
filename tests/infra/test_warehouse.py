"""The warehouse: what each team can read in it by AWS' rules, and that its SQL is run once and by nobody's leave."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from infra.warehouse_sql import Provider, WarehouseSqlError, run
from lakehouse.contracts import load_contracts
from lakehouse.policies import access, role_names
from lakehouse.settings import CONTRACTS
from tests.infra.declared import Program
from tests.infra.operations import one
from tests.infra.recorded_program import ACCOUNT, REGION, recorded, with_everything

CONTRACT = load_contracts(CONTRACTS)
SQL, WORKGROUP = "pulumi-python:dynamic/lakehouse:WarehouseSql", "aws:redshiftserverless/workgroup:Workgroup"
NAMESPACE, GROUP = "aws:redshiftserverless/namespace:Namespace", "aws:cloudwatch/logGroup:LogGroup"
SUBNET, POLICY = "aws:ec2/subnet:Subnet", "aws:iam/rolePolicy:RolePolicy"
PERMISSIONS, OPT_IN = "aws:lakeformation/permissions:Permissions", "aws:lakeformation/optIn:OptIn"
FILTER = "aws:lakeformation/dataCellsFilter:DataCellsFilter"
TEAM = f"arn:aws:iam::{ACCOUNT}:role/shopware-lakehouse-dev-team-{{}}-euc1"
DATABASE = "shopware_lakehouse_dev_spectrum"
SCHEMA = re.compile(
    r"CREATE EXTERNAL SCHEMA IF NOT EXISTS (?P<name>\w+) FROM DATA CATALOG DATABASE '(?P<database>\w+)' "
    r"REGION '(?P<region>[\w-]+)' IAM_ROLE '(?P<role>[^']+)' CATALOG_ID '(?P<catalog>\d+)'"
)
READ = [table for table in CONTRACT.tables if table.startswith(("gold.", "silver."))]
Shown = tuple[tuple[str, ...], str | None]


@pytest.fixture(scope="module")
def program() -> Program:
    return with_everything("dev")


def statements(program: Program) -> list[str]:
    return list(one(program, SQL).at("statements"))


def readable(program: Program, team: str) -> Mapping[str, Shown]:
    """Columns and rows of each table that a member of the team reads in the warehouse, by AWS' rules.

    "External tables for Redshift Spectrum": a query needs USAGE on the external schema, which is on all of it, and the
    right to make temporary tables. "Using a federated identity to manage Amazon Redshift access to local resources and
    Amazon Redshift Spectrum external tables": with IAM_ROLE 'SESSION' the catalog is asked as the role that connected
    (redshift-serverless:GetCredentials), else as the one that the schema names. "Using AWS Lake Formation with Amazon
    Redshift Spectrum": what that role is granted of a table, column by column and row by row, is what there is; in
    hybrid access mode, only where it has opted in.
    """
    sql = statements(program)
    [schema] = [found for text in sql if (found := SCHEMA.fullmatch(text))]
    usable = {f"GRANT USAGE ON SCHEMA {schema['name']} TO PUBLIC", "GRANT TEMPORARY ON DATABASE lakehouse TO PUBLIC"}
    may_connect = [each for each in program.of(POLICY) if "redshift-serverless:GetCredentials" in each.at("policy")]
    if not usable <= set(sql) or f"warehouse-{team}" not in {each.name for each in may_connect}:
        return {}
    asker = TEAM.format(team.replace("_", "-")) if schema["role"] == "SESSION" else schema["role"]
    return dict(_granted(program, asker, schema["database"]))


def _granted(program: Program, role: str, database: str) -> Iterator[tuple[str, Shown]]:
    opted = {
        each.at("resourceDatas", 0, "table", "name")
        for each in program.of(OPT_IN)
        if each.at("principals", 0, "dataLakePrincipalIdentifier") == role
        and each.at("resourceDatas", 0, "table", "databaseName") == database
    }
    filters = {
        (each.at("tableData", "databaseName"), each.at("tableData", "name")): each.at("tableData")
        for each in program.of(FILTER)
    }
    for each in program.of(PERMISSIONS):
        columns, cells = each.at("tableWithColumns") or {}, each.at("dataCellsFilter") or {}
        if each.at("principal") != role or "SELECT" not in each.at("permissions"):
            continue
        if columns.get("databaseName") == database and columns["name"] in opted:
            yield columns["name"], (tuple(columns["columnNames"]), None)
        if cells.get("databaseName") == database and cells["tableName"] in opted:
            kept = filters[database, cells["name"]]
            yield cells["tableName"], (tuple(kept["columnNames"]), kept["rowFilter"]["filterExpression"])


@pytest.mark.parametrize("team", role_names(CONTRACT))
def test_a_team_reads_its_columns_and_rows_of_each_table_and_is_denied_all_others(program: Program, team: str) -> None:
    found = readable(program, team)

    for table in READ:
        allowed = access(CONTRACT, team, table)
        wanted = None if allowed is None else (allowed.columns, allowed.row_filter)
        assert found.get(table.partition(".")[2]) == wanted, table
        for column in CONTRACT.table(table).column_names:
            shown = found.get(table.partition(".")[2], ((), None))[0]
            assert (column in shown) == (allowed is not None and column in allowed.columns), f"{table}.{column}"
    assert set(found) <= {table.partition(".")[2] for table in READ}


def test_the_schema_is_that_of_the_manifests_and_asks_as_whoever_asks(program: Program) -> None:
    found = SCHEMA.fullmatch(statements(program)[0])

    assert found is not None
    assert found.groupdict() == {
        "name": "lake",
        "database": DATABASE,
        "region": REGION,
        "role": "SESSION",
        "catalog": ACCOUNT,
    }


def test_no_role_reads_for_everybody(program: Program) -> None:
    """One that the namespace has could be named in a schema or a COPY by whoever may make these."""
    assert one(program, NAMESPACE).at("iamRoles") is None
    assert [each.name for each in program.of("aws:iam/role:Role") if "redshift" in each.at("assumeRolePolicy")] == []


def test_a_confined_team_sees_its_regions_in_the_warehouse_too() -> None:
    confined = recorded("dev", team_regions={"sales": ["north"]}, switches={"warehouse": True})

    assert readable(confined, "sales")["validated_pos"][1] == "region in ('north')"


def test_without_a_warehouse_nothing_is_granted_of_its_tables() -> None:
    [without] = [recorded("dev")]
    granted = {each.at("tableWithColumns", "databaseName") for each in without.of(PERMISSIONS)}

    assert DATABASE not in granted
    assert list(without.of(SQL)) == []


def test_the_sql_is_one_resource_after_the_grants(program: Program) -> None:
    [applied] = program.of(SQL)

    assert len(statements(program)) == 3
    assert [each for each in program.resources if each.type.startswith("aws:redshiftdata/")] == []
    assert applied.at("secret_arn") == f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:redshift!admin"
    assert any(name.startswith("aws:lakeformation/permissions:Permissions governance-sales-") for name in applied.after)


def inputs(**other: Any) -> dict[str, Any]:
    found = {"workgroup": "w", "database": "lakehouse", "secret_arn": "s", "region": REGION, "statements": ["a", "b"]}
    return {**found, **other}


def test_on_a_second_day_there_is_nothing_to_do() -> None:
    """AWS, "Using the Amazon Redshift Data API": results of a statement are kept for 24 hours, and then unknown."""
    provider = Provider()
    seen = provider.read("w/lakehouse", inputs())

    assert (seen.id, seen.outs) == ("w/lakehouse", inputs())
    assert provider.diff("w/lakehouse", inputs(__provider="x"), inputs(__provider="y")).changes is False
    assert provider.diff("w/lakehouse", inputs(), inputs(statements=["a"])).changes is True


def stubbed(*said: tuple[str, str]) -> tuple[Any, Stubber]:
    """A client to which AWS says these: for each statement, how it stands each time that it is asked."""
    client = boto3.client("redshift-data", region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")
    stubber = Stubber(client)
    for number, (text, states) in enumerate(said):
        sent = {
            "WorkgroupName": "lake-dev",
            "Database": "lakehouse",
            "SecretArn": "s",
            "Sql": text,
            "StatementName": "estate",
        }
        stubber.add_response("execute_statement", {"Id": str(number)}, sent)
        for state in states.split():
            stubber.add_response("describe_statement", {"Id": "1", "Status": state, "Error": "no"}, {"Id": str(number)})
    stubber.activate()
    return client, stubber


def test_statements_run_one_after_the_other_as_the_administrator() -> None:
    client, stubber = stubbed(("GRANT a", "SUBMITTED STARTED FINISHED"), ("GRANT b", "FINISHED"))

    run(client, "lake-dev", "lakehouse", "s", ["GRANT a", "GRANT b"], poll=0)

    stubber.assert_no_pending_responses()


def test_a_refused_statement_is_named_with_the_reason_and_nothing_follows() -> None:
    client, _ = stubbed(("GRANT x", "FAILED"))

    with pytest.raises(WarehouseSqlError, match="lake-dev: `GRANT x` FAILED: no"):
        run(client, "lake-dev", "lakehouse", "s", ["GRANT x", "GRANT y"], poll=0)


def test_parameters_that_aws_adds_are_no_difference(program: Program) -> None:
    """terraform-provider-aws #33916, #49939: AWS answers with more parameters than were given, some unknown to it."""
    workgroup = one(program, WORKGROUP)

    given = {each["parameterKey"]: each["parameterValue"] for each in workgroup.at("configParameters")}
    assert given == {"require_ssl": "true", "enable_user_activity_logging": "true"}
    assert workgroup.ignored == {"configParameters"}


def test_logs_that_redshift_exports_end_and_have_our_key(program: Program) -> None:
    """AWS, "Audit logging for Amazon Redshift Serverless": log groups are /aws/redshift/<namespace>/<log>."""
    namespace = one(program, NAMESPACE)
    groups = {each.at("name"): each for each in program.of(GROUP) if each.name.startswith("warehouse-")}

    assert set(groups) == {f"/aws/redshift/{namespace.at('namespaceName')}/{log}" for log in namespace.at("logExports")}
    assert {each.at("retentionInDays") for each in groups.values()} == {30}
    assert {each.at("kmsKeyId").rpartition("/")[2] for each in groups.values()} == {"keys-logs"}
    assert {f"{GROUP} {each.name}" for each in groups.values()} <= namespace.after


def test_the_workgroup_has_the_three_zones_that_it_needs_even_where_the_jobs_have_two(program: Program) -> None:
    zones = sorted(each.at("availabilityZoneId") for each in program.of(SUBNET))

    assert zones == ["euc1-az1", "euc1-az2", "euc1-az3"]
    assert len(one(program, WORKGROUP).at("subnetIds")) == 3
    assert len(list(recorded("dev").of(SUBNET))) == 1


def test_tools_connect_with_a_teams_role_and_no_password(program: Program) -> None:
    told = program.outputs

    assert told["warehouseJdbc"] == "jdbc:redshift:iam://warehouse.example:5439/lakehouse"
    assert told["warehouseOdbc"] == (
        "Driver={Amazon Redshift ODBC Driver (x64)};Server=warehouse.example;Port=5439;Database=lakehouse;IAM=1;"
        "SSLMode=verify-full"
    )
    assert told["warehouseSecret"] == f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:redshift!admin"
