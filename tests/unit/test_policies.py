"""Who reads what: each team its KPIs, nobody but the engineers a person's data."""

import re

import duckdb
import pytest

from lakehouse.contracts import ContractError, Contracts, load_contracts
from lakehouse.policies import Access, access, all_access, role_names
from lakehouse.settings import CONTRACTS

KPIS = {
    "sales": {"revenue_by_store", "revenue_by_region", "units_sold", "average_basket", "product_conversion_rate"},
    "finance": {"daily_revenue", "refunds", "discounts", "net_sales"},
    "marketing": {
        *("click_through_rate", "campaign_roi", "funnel_stage"),
        *("session_duration", "bounce_rate", "engagement"),
    },
    "customer_support": {
        *("feedback_score", "interaction_volume", "complaint_share", "resolution_time", "loyalty_activity"),
    },
    "operations": {"stock_availability", "stockouts", "restocks", "inventory_turnover"},
}


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    return load_contracts(CONTRACTS)


def test_roles_are_the_teams_and_the_engineers(contracts: Contracts) -> None:
    assert role_names(contracts) == tuple(sorted([*KPIS, "data_engineer"]))


@pytest.mark.parametrize("team", KPIS)
def test_team_reads_its_own_kpis_and_no_others(contracts: Contracts, team: str) -> None:
    readable: set[str] = set()
    for granted in all_access(contracts):
        if granted.role == team and granted.table.startswith("gold."):
            assert granted.columns == contracts.table(granted.table).column_names
            readable |= set(re.findall(r"'(\w+)'", granted.row_filter or ""))
    assert readable == KPIS[team]


def test_every_kpi_is_somebody_s(contracts: Contracts) -> None:
    gold = (contracts.table(name) for name in contracts.tables if name.startswith("gold."))
    assert {kpi for table in gold for kpi in table.column("kpi_name").enum} == set().union(*KPIS.values())


def test_engineers_read_everything(contracts: Contracts) -> None:
    for table in contracts.tables:
        assert access(contracts, "data_engineer", table) == Access(
            "data_engineer", table, contracts.table(table).column_names, None
        )


def test_nobody_else_reads_what_is_about_a_person(contracts: Contracts) -> None:
    for granted in all_access(contracts):
        personal = {c.stored_as for c in contracts.table(granted.table).columns if c.classification == "pii"}
        if granted.role != "data_engineer":
            assert not personal & set(granted.columns), granted
            assert not granted.table.startswith(("bronze.", "rejected.")), granted


@pytest.mark.parametrize(
    ("table", "personal"),
    [
        ("silver.validated_pos", {"customer_id"}),
        ("silver.customer_interactions", {"customer_id", "message_excerpt"}),
        (
            "silver.sessionized_web_logs",
            {"session_id", "user_id", "client_ip", "user_agent", "visitor_id", "session_key"},
        ),
        ("silver.enriched_inventory", set()),
        ("silver.campaign_spend", set()),
        ("bronze.crm", {"payload", "partition_key"}),
        ("rejected.crm", {"payload", "partition_key", "value", "errors"}),
    ],
)
def test_what_is_about_a_person_is_marked(contracts: Contracts, table: str, personal: set[str]) -> None:
    marked = {c.stored_as for c in contracts.table(table).columns if c.classification == "pii"}
    assert marked == personal


@pytest.mark.parametrize(
    ("team", "tables"),
    [
        ("sales", {"validated_pos", "stores", "products"}),
        ("finance", {"validated_pos", "campaign_spend", "stores", "products"}),
        ("marketing", {"sessionized_web_logs", "campaign_spend", "products"}),
        ("customer_support", {"customer_interactions"}),
        ("operations", {"enriched_inventory", "warehouses", "products"}),
    ],
)
def test_team_reads_the_silver_that_it_owns(contracts: Contracts, team: str, tables: set[str]) -> None:
    silver = {a.table for a in all_access(contracts) if a.role == team and a.table.startswith("silver.")}
    assert silver == {f"silver.{table}" for table in tables}


def test_access_as_a_query_keeps_rows_and_columns(contracts: Contracts) -> None:
    lake = duckdb.connect()
    lake.sql("create schema gold")
    columns = ", ".join(f'"{name}" varchar' for name in contracts.table("gold.sales_kpis").column_names)
    lake.sql(f"create table gold.sales_kpis ({columns})")
    lake.sql("insert into gold.sales_kpis (kpi_name) values ('refunds'), ('units_sold')")
    finance = access(contracts, "finance", "gold.sales_kpis")
    assert finance is not None
    assert [row[0] for row in lake.sql(finance.select()).fetchall()] == ["refunds"]


def test_a_role_that_is_not_named_reads_nothing(contracts: Contracts) -> None:
    assert access(contracts, "sales", "silver.customer_interactions") is None
    assert access(contracts, "intern", "gold.sales_kpis") is None


def test_an_unknown_table_is_told(contracts: Contracts) -> None:
    with pytest.raises(ContractError, match="there is no table 'gold.salaries'"):
        access(contracts, "sales", "gold.salaries")


def test_a_team_that_is_confined_to_regions_sees_their_rows_only(contracts: Contracts) -> None:
    free = {(each.role, each.table): each for each in all_access(contracts)}
    confined = {(each.role, each.table): each for each in all_access(contracts, {"sales": ["north", "d'or"]})}

    assert confined.keys() == free.keys()
    within = "region in ('north', 'd''or')"
    for place, granted in confined.items():
        before = free[place].row_filter
        has_region = "region" in {column.stored_as for column in contracts.table(place[1]).columns}
        wanted = before
        if place[0] == "sales" and has_region:
            wanted = within if before is None else f"({before}) and {within}"
        assert (granted.columns, granted.row_filter) == (free[place].columns, wanted)
    assert confined["sales", "silver.validated_pos"].row_filter == within
    assert (
        confined["sales", "gold.sales_kpis"].row_filter
        == f"({free['sales', 'gold.sales_kpis'].row_filter}) and {within}"
    )
    assert confined["sales", "silver.products"].row_filter is None
