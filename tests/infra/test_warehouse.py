"""The warehouse: what Spectrum may read, and that the SQL can be applied again and grants what the contracts grant."""

import json
import re
from collections import Counter
from collections.abc import Sequence

import pytest
import sqlglot
from sqlglot import expressions

from infra.warehouse import SCHEMA, withdrawal
from lakehouse.contracts import load_contracts
from lakehouse.policies import Access, access, all_access, role_names
from lakehouse.settings import CONTRACTS
from tests.infra.declared import Program
from tests.infra.operations import one
from tests.infra.recorded_program import ACCOUNT, REGION, recorded, with_everything

CONTRACT = load_contracts(CONTRACTS)
STATEMENT, WORKGROUP = "aws:redshiftdata/statement:Statement", "aws:redshiftserverless/workgroup:Workgroup"
SUBNET, POLICY = "aws:ec2/subnet:Subnet", "aws:iam/rolePolicy:RolePolicy"
PERMISSIONS, OPT_IN = "aws:lakeformation/permissions:Permissions", "aws:lakeformation/optIn:OptIn"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/shopware-lakehouse-dev-spectrum"
GOLD = {"customer_insights", "marketing_funnel", "operations_kpis", "sales_kpis"}
SILVER = {"validated_pos", "enriched_inventory", "sessionized_web_logs", "customer_interactions", "campaign_spend",
          "stores", "warehouses", "products"}  # fmt: skip
# In the one external schema no two tables have one name.
LAYER = {**dict.fromkeys(GOLD, "gold"), **dict.fromkeys(SILVER, "silver")}
READ = ("gold.", "silver.")
AGAIN = re.compile(r"CREATE (EXTERNAL )?SCHEMA IF NOT EXISTS |CREATE OR REPLACE PROCEDURE |CALL |GRANT ")


@pytest.fixture(scope="module")
def program() -> Program:
    return with_everything("dev")


@pytest.fixture(scope="module")
def statements(program: Program) -> Sequence[str]:
    found = sorted(program.of(STATEMENT), key=lambda each: each.name)
    return [each.at("sql") for each in found]


def test_every_statement_can_run_again(statements: Sequence[str]) -> None:
    assert statements
    assert [text for text in statements if not AGAIN.match(text)] == []
    made = Counter(found for text in statements for found in re.findall(r"^CREATE [A-Z ]*?(\S+)(?: AS|\(\)|$)", text))
    assert [name for name, times in made.items() if times > 1] == []
    called = {text.removeprefix("CALL ") for text in statements if text.startswith("CALL ")}
    assert called == {text.split()[4] for text in statements if text.startswith("CREATE OR REPLACE PROCEDURE ")}


def test_statements_run_as_the_administrator_one_after_the_other(program: Program) -> None:
    secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:redshift!admin"
    assert {each.at("secretArn") for each in program.of(STATEMENT)} == {secret}


def test_a_changed_procedure_is_called_again(statements: Sequence[str], program: Program) -> None:
    """A call reads the same whatever its procedure does: what differs is the name, made from the whole script."""
    names = {each.at("sql"): each.at("statementName") for each in program.of(STATEMENT)}
    for text in statements:
        if text.startswith("CREATE OR REPLACE PROCEDURE "):
            assert names[text] == names[f"CALL {text.split()[4]}"]


def granted() -> Access:
    return next(each for each in all_access(CONTRACT) if each.table == "gold.sales_kpis")


def test_what_contracts_no_longer_grant_is_dropped_first(statements: Sequence[str]) -> None:
    """Every team's view but those granted now goes, and with a team that is no more its role and schema."""
    schema, procedure, call = statements[:3]
    kept = sorted(f"{each.role}.{each.table.partition('.')[2]}" for each in all_access(CONTRACT)
                  if each.table.startswith(READ))  # fmt: skip
    assert (schema, call) == ("CREATE SCHEMA IF NOT EXISTS estate", "CALL estate.withdraw()")
    views = re.findall(r"viewname NOT IN \((.*)\)", procedure)
    assert [sorted(each.strip("' ") for each in found.split(",")) for found in views] == [kept]
    teams = re.findall(r"nspname NOT IN \((.*)\)", procedure)
    assert [[each.strip("' ") for each in found.split(",")] for found in teams] == [list(role_names(CONTRACT))]
    assert "EXECUTE 'DROP VIEW ' || quote_ident(leftover.team) || '.' || quote_ident(leftover.name);" in procedure
    assert "EXECUTE 'DROP ROLE ' || quote_ident(leftover.team) || ' FORCE';" in procedure


def test_withdrawing_a_grant_drops_its_view() -> None:
    before = [each for each in all_access(CONTRACT) if each.table.startswith(READ)]
    after = [each for each in before if (each.role, each.table) != (granted().role, "gold.sales_kpis")]
    view = f"'{granted().role}.sales_kpis'"
    old, new = (withdrawal(role_names(CONTRACT), each) for each in (before, after))

    assert view in old
    assert view not in new


def test_a_role_is_made_only_where_there_is_none(statements: Sequence[str]) -> None:
    for team in role_names(CONTRACT):
        body = next(text for text in statements if text.startswith(f"CREATE OR REPLACE PROCEDURE {team}.ensure_role"))
        assert f"IF NOT EXISTS (SELECT 1 FROM svv_roles WHERE role_name = '{team}') THEN" in body
        assert f"CALL {team}.ensure_role()" in statements


def test_a_teams_role_may_connect_and_becomes_a_member_of_its_database_role(program: Program) -> None:
    workgroup = f"arn:aws:redshift-serverless:{REGION}:{ACCOUNT}:workgroup/w-1"
    for team in role_names(CONTRACT):
        assert one(program, "aws:iam/role:Role", f"governance-{team}").at("tags", "RedshiftDbRoles") == team
        [allowed] = json.loads(one(program, POLICY, f"warehouse-{team}").at("policy"))["Statement"]
        assert allowed["Action"] == ["redshift-serverless:GetCredentials", "redshift-serverless:GetWorkgroup"]
        assert allowed["Resource"] == [workgroup]


def test_applying_the_program_twice_says_the_same(statements: Sequence[str]) -> None:
    again = recorded("dev", switches={"warehouse": True, "fan_out": True, "object_lock": True})

    assert [each.at("sql") for each in sorted(again.of(STATEMENT), key=lambda each: each.name)] == statements


def test_a_view_shows_a_team_its_columns_and_rows_and_nothing_else(statements: Sequence[str]) -> None:
    views = {}
    for text in statements:
        for view in re.findall(r"  (CREATE VIEW .*) WITH NO SCHEMA BINDING;\n", text):
            parsed = sqlglot.parse_one(view, read="redshift")
            select = parsed.expression
            assert isinstance(select, expressions.Select)
            team, table = parsed.this.db, parsed.this.name
            views[team, f"{LAYER[table]}.{table}"] = [each.name for each in select.selects], select.args["where"].this
            source = select.find(expressions.Table)
            assert source is not None
            assert (source.db, source.name) == (SCHEMA, table)
            # Another set of columns is no replacement: the old view goes, in the same transaction.
            assert text.index(f"DROP VIEW IF EXISTS {team}.{table};") < text.index(view)

    assert set(views) == {(each.role, each.table) for each in all_access(CONTRACT) if each.table.startswith(READ)}
    for (team, table), (columns, rows) in views.items():
        allowed = access(CONTRACT, team, table)
        assert allowed is not None
        assert columns == list(allowed.columns)
        assert rows == sqlglot.parse_one(allowed.row_filter or "true", read="redshift")


def test_a_team_is_granted_its_own_schema_and_views_only(statements: Sequence[str]) -> None:
    schemas = {f"GRANT USAGE ON SCHEMA {team} TO ROLE {team}" for team in role_names(CONTRACT)}
    views = {
        f"GRANT SELECT ON {each.role}.{each.table.partition('.')[2]} TO ROLE {each.role}"
        for each in all_access(CONTRACT)
        if each.table.startswith(READ)
    }

    assert set(re.findall(r"GRANT [^;]*", ";".join(statements))) == schemas | views


def test_spectrum_reads_gold_and_silver_through_lake_formation_and_nothing_else(program: Program) -> None:
    document = json.loads(one(program, POLICY, "warehouse").at("policy"))
    lake = f"arn:aws:s3:::shopware-lakehouse-dev-lake-{ACCOUNT}-{REGION}"
    reads = {each["Sid"]: each["Resource"] for each in document["Statement"]}

    assert reads["ReadTables"] == [f"{lake}/gold/*", f"{lake}/silver/*"]
    assert reads["AskLakeFormation"] == ["*"]
    assert not [each for each in document["Statement"] if {"s3:PutObject", "s3:DeleteObject"} & set(each["Action"])]
    grants = [each for each in program.of(PERMISSIONS) if each.at("principal") == ROLE]
    database = "shopware_lakehouse_dev_spectrum"
    assert [each.at("permissions") for each in grants if each.at("database")] == [["DESCRIBE"]]
    tables = {each.at("table", "name"): each.at("permissions") for each in grants if each.at("table")}
    assert tables == {table: ["DESCRIBE", "SELECT"] for table in GOLD | SILVER}
    assert {each.at("table", "databaseName") for each in grants if each.at("table")} == {database}
    opted = [each for each in program.of(OPT_IN) if each.at("principals", 0, "dataLakePrincipalIdentifier") == ROLE]
    assert sorted(each.at("resourceDatas", 0, "table", "name") for each in opted) == sorted(GOLD | SILVER)


def test_the_workgroup_has_the_three_zones_that_it_needs_even_where_the_jobs_have_two(program: Program) -> None:
    zones = sorted(each.at("availabilityZone") for each in program.of(SUBNET))

    assert zones == [f"{REGION}a", f"{REGION}b", f"{REGION}c"]
    assert len(one(program, WORKGROUP).at("subnetIds")) == 3
    assert len(list(recorded("dev").of(SUBNET))) == 1


def test_tools_connect_with_a_teams_role_and_no_password() -> None:
    told = recorded("dev", switches={"warehouse": True}).outputs

    assert told["warehouseJdbc"] == "jdbc:redshift:iam://warehouse.example:5439/lakehouse"
    assert told["warehouseOdbc"] == (
        "Driver={Amazon Redshift ODBC Driver (x64)};Server=warehouse.example;Port=5439;Database=lakehouse;IAM=1;"
        "SSLMode=verify-full"
    )
    assert told["warehouseSecret"] == f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:redshift!admin"
