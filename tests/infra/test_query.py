"""Athena: where each reader's results go, and what the saved queries give when they run."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot

from lakehouse.contracts import Contract, load_contracts
from lakehouse.settings import CONTRACTS
from tests.infra.declared import Declared, Program
from tests.infra.recorded_program import ACCOUNT, REGION, STACKS, recorded, with_everything

WORKGROUP, QUERY = "aws:athena/workgroup:Workgroup", "aws:athena/namedQuery:NamedQuery"
POLICY = "aws:iam/rolePolicy:RolePolicy"
INFRA = Path(__file__).resolve().parents[2] / "infra"
CONTRACT = load_contracts(CONTRACTS)
CENTER = "arn:aws:sso:::instance/ssoins-7223f1c2d3e4a5b6"
READERS = ["auditor", "customer-support", "data-engineer", "finance", "marketing", "operations", "sales"]
# By hand from the design: the dimensions that a manager asks for, KPI by KPI, and whose it is.
KPIS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "sales": {
        "revenue_by_store": ("store_id",),
        "revenue_by_region": ("region",),
        "units_sold": ("category",),
        "average_basket": ("store_id",),
        "product_conversion_rate": ("category", "product_id"),
    },
    "finance": {"daily_revenue": (), "refunds": (), "discounts": (), "net_sales": ()},
    "marketing": {
        "click_through_rate": ("campaign_id",),
        "campaign_roi": ("campaign_id",),
        "funnel_stage": ("stage",),
        "session_duration": ("region",),
        "bounce_rate": ("region",),
        "engagement": ("region",),
    },
    "customer_support": {
        "feedback_score": ("channel",),
        "interaction_volume": ("interaction_type", "channel"),
        "complaint_share": ("channel",),
        "resolution_time": ("interaction_type", "statistic"),
        "loyalty_activity": ("channel",),
    },
    "operations": {
        "stock_availability": ("warehouse_id",),
        "stockouts": ("warehouse_id",),
        "restocks": ("warehouse_id",),
        "inventory_turnover": ("category",),
    },
}
MEASURES = ("numerator", "denominator", "value", "contributions")
TEAM_KPIS = [(team, kpi) for team, kpis in KPIS.items() for kpi in kpis]


def statements(program: Program) -> Iterator[dict[str, dict[str, Any]]]:
    """The statements, by name, of every role that may run queries."""
    for each in program.of(POLICY):
        found = {statement["Sid"]: statement for statement in json.loads(each.at("policy"))["Statement"]}
        if "RunQueries" in found:
            yield found


def program_of(stack: str) -> Program:
    """A committed stack with every feature; `people`: dev, with a workgroup for people of IAM Identity Center too."""
    return recorded("dev", identity_center=CENTER) if stack == "people" else with_everything(stack)


@pytest.mark.parametrize("stack", [*STACKS, "people"])
def test_each_reader_asks_in_a_workgroup_whose_results_it_alone_may_keep(stack: str) -> None:
    program = program_of(stack)
    workgroups = {each.at("name"): each for each in program.of(WORKGROUP)}
    folders = {}
    for each in statements(program):
        [arn] = each["RunQueries"]["Resource"]
        name = arn.rpartition("/")[2]
        results = workgroups[name].at("configuration", "resultConfiguration", "outputLocation")
        assert results.endswith("/"), name
        assert each["KeepOwnResults"]["Resource"] == [results.replace("s3://", "arn:aws:s3:::") + "*"]
        bucket, _, folder = results.removeprefix("s3://").partition("/")
        assert each["FindOwnResults"]["Resource"] == [f"arn:aws:s3:::{bucket}"]
        assert each["FindOwnResults"]["Condition"] == {"StringLike": {"s3:prefix": [f"{folder}*"]}}
        folders[name] = folder
    readers = sorted(name.removeprefix("shopware-lakehouse-").partition("-")[2] for name in folders)
    assert readers == sorted([*READERS, *(["people"] if stack == "people" else [])])
    assert folders.keys() == workgroups.keys()
    assert len(set(folders.values())) == len(folders), "two readers would read each other's results"


@pytest.mark.parametrize("stack", STACKS)
def test_no_reader_has_a_right_to_another_one_s_results(stack: str) -> None:
    bucket = f"arn:aws:s3:::shopware-lakehouse-{stack}-query-results-{ACCOUNT}-euc1"
    for each in statements(with_everything(stack)):
        rights = {
            (action, resource)
            for statement in each.values()
            for action in statement["Action"]
            for resource in statement["Resource"]
            if action.startswith("s3:") and resource.startswith(bucket)
        }
        own = each["KeepOwnResults"]["Resource"][0]
        assert rights == {
            *((f"s3:{action}", own) for action in ("GetObject", "PutObject", "AbortMultipartUpload")),
            ("s3:ListMultipartUploadParts", own),
            *((f"s3:{action}", bucket) for action in ("ListBucket", "GetBucketLocation")),
            ("s3:ListBucketMultipartUploads", bucket),
        }


def test_a_reader_may_do_what_the_console_and_the_drivers_call() -> None:
    catalog = f"arn:aws:athena:{REGION}:{ACCOUNT}:datacatalog/AwsDataCatalog"
    for each in statements(with_everything("dev")):
        assert set(each["RunQueries"]["Action"]) == {
            "athena:StartQueryExecution", "athena:StopQueryExecution", "athena:GetQueryExecution",
            "athena:BatchGetQueryExecution", "athena:ListQueryExecutions", "athena:GetQueryResults",
            "athena:GetQueryResultsStream", "athena:GetQueryRuntimeStatistics", "athena:GetWorkGroup",
            "athena:ListNamedQueries", "athena:GetNamedQuery", "athena:BatchGetNamedQuery",
        }  # fmt: skip
        assert each["BrowseCatalog"]["Resource"] == [catalog]
        assert set(each["BrowseCatalog"]["Action"]) == {
            "athena:GetDataCatalog", "athena:ListDatabases", "athena:GetDatabase", "athena:ListTableMetadata",
            "athena:GetTableMetadata",
        }  # fmt: skip
        assert each["ListPlaces"]["Action"] == ["athena:ListWorkGroups", "athena:ListDataCatalogs"]


@pytest.mark.parametrize("stack", STACKS)
def test_a_workgroup_goes_though_queries_ran_in_it_and_cannot_be_loosened(stack: str) -> None:
    limits = {}
    for each in with_everything(stack).of(WORKGROUP):
        assert each.at("forceDestroy") is True, each
        assert each.at("configuration", "enforceWorkgroupConfiguration") is True
        encryption = each.at("configuration", "resultConfiguration", "encryptionConfiguration")
        assert encryption == {
            "encryptionOption": "SSE_KMS", "kmsKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/keys-lake",
        }  # fmt: skip
        limits[each.at("name").removeprefix(f"shopware-lakehouse-{stack}-")] = each.at(
            "configuration", "bytesScannedCutoffPerQuery"
        )
    gigabyte = 1024**3
    assert limits == {**dict.fromkeys(READERS, 10 * gigabyte), "auditor": 200 * gigabyte}


@pytest.fixture(scope="module")
def program() -> Program:
    return with_everything("dev")


@pytest.fixture(scope="module")
def lake() -> Iterator[duckdb.DuckDBPyConnection]:
    """Gold with a row of today and one of 40 days ago for each KPI, in tables with the contracts' columns."""
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    for table in CONTRACT.tables:
        if table.startswith("gold."):
            _fill(connection, CONTRACT.table(table))
    yield connection
    connection.close()


def _fill(connection: duckdb.DuckDBPyConnection, contract: Contract) -> None:
    types = [sqlglot.exp.DataType.build(each.type, dialect="spark").sql("duckdb") for each in contract.columns]
    columns = ", ".join(f'"{name}" {kind}' for name, kind in zip(contract.column_names, types, strict=True))
    connection.execute(f'create table "{contract.name}" ({columns})')
    today = connection.sql("select current_date").fetchall()[0][0]
    for kpi in contract.column("kpi_name").enum:
        for day in (today, today - timedelta(40)):
            row = [
                _example(kpi, day, name, each.type)
                for name, each in zip(contract.column_names, contract.columns, strict=True)
            ]
            connection.execute(f'insert into "{contract.name}" values ({", ".join("?" * len(row))})', row)


def _example(kpi: str, day: date, column: str, kind: str) -> object:
    known: dict[str, object] = {
        "kpi_name": kpi, "month": f"{day:%Y-%m}", "period_start": day,
        "numerator": Decimal(3), "denominator": Decimal(2), "value": Decimal("1.5"), "contributions": 4,
    }  # fmt: skip
    return known.get(column, 7 if kind == "int" else f"a {column}")


def athena(sql: str) -> str:
    """Athena's SQL as DuckDB's."""
    [statement] = sqlglot.transpile(sql, read="athena", write="duckdb")
    return statement


def query_of(program: Program, title: str) -> Declared:
    [found] = [each for each in program.of(QUERY) if each.at("name") == title]
    return found


def test_every_team_has_a_saved_query_for_each_of_its_kpis_and_auditors_theirs(program: Program) -> None:
    wanted = {(f"{team}: {kpi}, last 30 days", team.replace("_", "-"), "gold") for team, kpi in TEAM_KPIS}
    assert len(wanted) == 24
    questions = {
        "Who read column X in the last 30 days",
        "Who read files of a table past Lake Formation in the last 30 days",
        "What was refused to whom in the last 7 days",
    }
    wanted |= {(title, "auditor", "audit") for title in questions}
    assert wanted == {
        (
            each.at("name"),
            each.at("workgroup").removeprefix("shopware-lakehouse-dev-"),
            each.at("database").removeprefix("shopware_lakehouse_dev_"),
        )
        for each in program.of(QUERY)
    }


@pytest.mark.parametrize(("team", "kpi"), TEAM_KPIS)
def test_a_saved_query_gives_the_kpi_s_last_days_with_its_dimensions(
    program: Program, lake: duckdb.DuckDBPyConnection, team: str, kpi: str
) -> None:
    found = lake.sql(athena(query_of(program, f"{team}: {kpi}, last 30 days").at("query")))
    today = lake.sql("select current_date").fetchall()[0][0]
    dimensions = KPIS[team][kpi]
    assert tuple(found.columns) == ("period_start", *dimensions, *MEASURES)
    examples = [7 if name in ("store_id", "warehouse_id") and found.types[place] == "INTEGER" else f"a {name}"
                for place, name in enumerate(dimensions, start=1)]  # fmt: skip
    assert found.fetchall() == [(today, *examples, Decimal(3), Decimal(2), Decimal("1.5"), 4)]


# Columns of some contract whose names are plain English: alone, and outside of SQL, they say nothing of a table.
ORDINARY = {"batch", "column", "date", "month", "name", "region", "source", "type", "value"}
# AWS's own fields, and a parameter of a Glue table, that are called as some column is.
OTHERWISE: Mapping[str, tuple[str, ...]] = {
    "audit_questions.py": ("column", "region"),
    "audit_tables.py": ("referrer", "user_agent"),
    "catalog.py": ("contract_version",),
    "withdraw.sql": ("name",),
}


def test_no_column_of_a_contract_is_typed_under_infra() -> None:
    columns = {
        name
        for contract in [*CONTRACT.values(), *map(CONTRACT.table, CONTRACT.tables)]
        for column in contract.columns
        for name in (column.name, column.stored_as)
    }
    typed: dict[str, set[str]] = {}
    for file in sorted(INFRA.rglob("*.py")):
        for text in _literals(file):
            typed.setdefault(file.name, set()).update(_columns_in(text, columns))
    for file in sorted(INFRA.rglob("*.sql")):
        typed[file.name] = set(re.findall(r"\w+", file.read_text(encoding="utf-8"))) & columns
    left = {name: sorted(words - set(OTHERWISE.get(name, ()))) for name, words in typed.items()}
    assert {name: words for name, words in left.items() if words} == {}


def test_a_typed_column_is_found(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text(
        '"""Of period_start."""\nA = "period_start"\nB = f"SELECT region FROM {A}"\nC = {"region": "name"}\n'
    )
    words = [word for text in _literals(file) for word in _columns_in(text, {"period_start", "region", "name"})]
    assert sorted(words) == ["period_start", "region"]


def _columns_in(text: str, columns: set[str]) -> set[str]:
    """Of SQL every word; else the whole text, and words that no prose has."""
    if re.search(r"\b(SELECT|WHERE|FROM|VALUES|GROUP BY)\b", text):
        return set(re.findall(r"\w+", text)) & columns
    return ({text} - ORDINARY | {word for word in re.findall(r"\w+", text) if "_" in word}) & columns


def _literals(file: Path) -> Iterator[str]:
    """All texts of a file but the docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    prose = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value
