"""Who may read what, written by hand from the customer's document (sections 6 and 9), against what the grants are."""

from collections.abc import Mapping

import pytest

from infra.access_page import PAGE, page
from lakehouse.contracts import load_contracts
from lakehouse.kpis import KPIS
from lakehouse.policies import access, role_names
from lakehouse.settings import CONTRACTS
from tests.infra.declared import Declared
from tests.infra.recorded_program import with_everything

CONTRACT = load_contracts(CONTRACTS)
# Section 9: which team each KPI is produced for.
TEAMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "sales": (
        "gold.sales_kpis",
        ("revenue_by_store", "revenue_by_region", "units_sold", "average_basket", "product_conversion_rate"),
    ),
    "finance": ("gold.sales_kpis", ("daily_revenue", "refunds", "discounts", "net_sales")),
    "marketing": (
        "gold.marketing_funnel",
        ("click_through_rate", "campaign_roi", "funnel_stage", "session_duration", "bounce_rate", "engagement"),
    ),
    "customer_support": (
        "gold.customer_insights",
        ("feedback_score", "interaction_volume", "complaint_share", "resolution_time", "loyalty_activity"),
    ),
    "operations": ("gold.operations_kpis", ("stock_availability", "stockouts", "restocks", "inventory_turnover")),
}
# Silver beside: each team its own subject, without personal data; prices and places for whoever reckons with them.
SILVER: Mapping[str, tuple[str, ...]] = {
    "sales": ("validated_pos", "stores", "products"),
    "finance": ("validated_pos", "campaign_spend", "stores", "products"),
    "marketing": ("sessionized_web_logs", "campaign_spend", "products"),
    "customer_support": ("customer_interactions",),
    "operations": ("enriched_inventory", "warehouses", "products"),
}
# Who a person is, or what they wrote: no team sees it.
PERSONAL: Mapping[str, tuple[str, ...]] = {
    "validated_pos": ("customer_id",),
    "sessionized_web_logs": ("user_id", "client_ip", "user_agent", "session_id"),
    "customer_interactions": ("customer_id", "message_excerpt"),
}


def kpis_readable(team: str, table: str) -> set[str]:
    """The KPIs of a table that the rows a team sees are about."""
    found = access(CONTRACT, team, table)
    if found is None:
        return set()
    assert found.row_filter is not None, f"{team} sees all rows of {table}"
    return {kpi.name for kpi in KPIS if kpi.table == table and f"'{kpi.name}'" in found.row_filter}


def test_there_is_a_role_for_each_team_and_one_that_repairs_the_lake() -> None:
    assert set(role_names(CONTRACT)) == {*TEAMS, "data_engineer"}


@pytest.mark.parametrize("team", TEAMS)
@pytest.mark.parametrize("table", sorted({kpi.table for kpi in KPIS}))
def test_a_team_reads_its_own_kpis_and_no_others(team: str, table: str) -> None:
    own_table, own = TEAMS[team]
    assert kpis_readable(team, table) == (set(own) if table == own_table else set())


@pytest.mark.parametrize("team", TEAMS)
@pytest.mark.parametrize("table", [name for name in CONTRACT.tables if not name.startswith("gold.")])
def test_a_team_reads_its_own_tables_without_persons_and_nothing_below_silver(team: str, table: str) -> None:
    layer, _, name = table.partition(".")
    found = access(CONTRACT, team, table)
    if layer != "silver" or name not in SILVER[team]:
        assert found is None
        return
    assert found is not None
    columns = CONTRACT.table(table).column_names
    assert set(columns) - set(found.columns) >= set(PERSONAL.get(name, ()))
    assert found.row_filter is None


@pytest.mark.parametrize("table", CONTRACT.tables)
def test_data_engineers_read_everything(table: str) -> None:
    found = access(CONTRACT, "data_engineer", table)
    assert found is not None
    assert (found.columns, found.row_filter) == (CONTRACT.table(table).column_names, None)


def granted(stack: str) -> dict[tuple[str, str, str], tuple[tuple[str, ...], str | None]]:
    """What the program grants: by role, database and table the columns and the condition."""
    program = with_everything(stack)
    found: dict[tuple[str, str, str], tuple[tuple[str, ...], str | None]] = {}
    for each in program.of("aws:lakeformation/permissions:Permissions"):
        if "tableWithColumns" in each.inputs:
            table = each.inputs["tableWithColumns"]
            found[_role(each), table["databaseName"], table["name"]] = tuple(table["columnNames"]), None
    filters = {each.inputs["tableData"]["name"]: each.inputs["tableData"] for each in
               program.of("aws:lakeformation/dataCellsFilter:DataCellsFilter")}  # fmt: skip
    for each in program.of("aws:lakeformation/permissions:Permissions"):
        if "dataCellsFilter" in each.inputs:
            cells = filters[each.inputs["dataCellsFilter"]["name"]]
            found[_role(each), cells["databaseName"], cells["tableName"]] = (
                tuple(cells["columnNames"]),
                cells["rowFilter"]["filterExpression"],
            )
    return found


def _role(grant: Declared) -> str:
    return str(grant.inputs["principal"]).rpartition("-team-")[2].replace("-", "_")


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_lake_formation_grants_exactly_what_the_contracts_say(stack: str) -> None:
    wanted = {
        (role, f"shopware_lakehouse_{stack}_{table.partition('.')[0]}", table.partition(".")[2]): (
            found.columns,
            found.row_filter,
        )
        for table in CONTRACT.tables
        for role in role_names(CONTRACT)
        if (found := access(CONTRACT, role, table)) is not None
    }
    assert granted(stack) == wanted


def test_the_page_is_what_the_contracts_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(CONTRACT), "run `python -m infra.access_page`"
