"""Who may read what, written by hand from the customer's document (sections 6 and 9), against what the grants are."""

from collections.abc import Mapping

import pytest

from lakehouse.contracts import load_contracts
from lakehouse.kpis import KPIS
from lakehouse.policies import access, role_names
from lakehouse.settings import CONTRACTS
from tests.infra.access_page import PAGE, ROLE, page, whole_program
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
# What every row of silver has: its record, when that came, and the partition.
RECORD, PARTITION = ("record_id", "arrived_at"), ("region", "month", "type")
# Silver beside: each team its own subject, and prices and places for whoever reckons with them. Column by column: who a
# person is, or what they wrote, no team sees (section 6): no customer, account, cookie, address, browser, visitor made
# of these, or message.
SALE = (*RECORD, "transaction_id", "line_number", "store_id", "product_id", "quantity", "unit_price", "revenue",
        "discount_applied", "event_time", "country", "category", "unit_cost", "basket_key", "is_first_line",
        *PARTITION)  # fmt: skip
VISIT = (*RECORD, "event_id", "page", "event_type", "product_id", "campaign_id", "transaction_id", "order_value",
         "referrer", "country", "event_time", "category", "session_started_at", "position", "seconds_since_previous",
         "landing_page", "last_touch_campaign", *PARTITION)  # fmt: skip
CONTACT = (*RECORD, "interaction_id", "case_id", "interaction_type", "status", "channel", "rating", "event_time",
           "case_key", "case_opened_at", "case_resolved", "resolution_seconds", *PARTITION)  # fmt: skip
STOCK = (*RECORD, "inventory_id", "product_id", "warehouse_id", "stock_level", "restock_threshold", "event_time",
         "stock_key", "country", "previous_level", "seconds_since_previous", "is_restock", "is_stockout",
         *PARTITION)  # fmt: skip
SPEND = (*RECORD, "campaign_id", "name", "channel", "date", "spend", *PARTITION)
PRODUCT = (*RECORD, "product_id", "category", "unit_cost", "valid_from")
STORE = (*RECORD, "store_id", "region", "country", "valid_from")
WAREHOUSE = (*RECORD, "warehouse_id", "region", "country", "valid_from")
# Gold: a KPI's day, its dimensions, and what it is made of.
KEY, MEASURES = ("kpi_name", "month", "period_start"), ("numerator", "denominator", "value", "contributions")
SALES_KPI = (*KEY, "store_id", "region", "category", "product_id", *MEASURES)
COLUMNS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "sales": {
        "silver.validated_pos": SALE, "silver.stores": STORE, "silver.products": PRODUCT, "gold.sales_kpis": SALES_KPI,
    },
    "finance": {
        "silver.validated_pos": SALE, "silver.campaign_spend": SPEND, "silver.stores": STORE,
        "silver.products": PRODUCT, "gold.sales_kpis": SALES_KPI,
    },
    "marketing": {
        "silver.sessionized_web_logs": VISIT, "silver.campaign_spend": SPEND, "silver.products": PRODUCT,
        "gold.marketing_funnel": (*KEY, "campaign_id", "stage", "region", *MEASURES),
    },
    "customer_support": {
        "silver.customer_interactions": CONTACT,
        "gold.customer_insights": (*KEY, "interaction_type", "channel", "statistic", *MEASURES),
    },
    "operations": {
        "silver.enriched_inventory": STOCK, "silver.warehouses": WAREHOUSE, "silver.products": PRODUCT,
        "gold.operations_kpis": (*KEY, "warehouse_id", "region", "category", *MEASURES),
    },
}  # fmt: skip
# And the columns that nobody but the data engineers sees, so that a new one is put on one side by hand.
HIDDEN: Mapping[str, tuple[str, ...]] = {
    "silver.validated_pos": ("customer_id",),
    "silver.sessionized_web_logs": ("session_id", "user_id", "client_ip", "user_agent", "visitor_id", "session_key"),
    "silver.customer_interactions": ("customer_id", "message_excerpt"),
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
@pytest.mark.parametrize("table", CONTRACT.tables)
def test_a_team_reads_exactly_these_columns_and_nothing_below_silver(team: str, table: str) -> None:
    found = access(CONTRACT, team, table)
    wanted = COLUMNS[team].get(table)
    assert (None if found is None else found.columns) == wanted
    if found is not None and not table.startswith("gold."):
        assert found.row_filter is None


@pytest.mark.parametrize("table", [name for name in CONTRACT.tables if name.startswith(("silver.", "gold."))])
def test_every_column_is_a_team_s_or_hidden(table: str) -> None:
    seen = {column for tables in COLUMNS.values() for column in tables.get(table, ())}
    assert seen.isdisjoint(HIDDEN.get(table, ()))
    assert seen | set(HIDDEN.get(table, ())) == set(CONTRACT.table(table).column_names)


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
    declared = (each.inputs["tableData"] for each in program.of("aws:lakeformation/dataCellsFilter:DataCellsFilter"))
    filters = {(each["databaseName"], each["name"]): each for each in declared}
    for each in program.of("aws:lakeformation/permissions:Permissions"):
        if "dataCellsFilter" in each.inputs:
            place = each.inputs["dataCellsFilter"]
            cells = filters[place["databaseName"], place["name"]]
            found[_role(each), cells["databaseName"], cells["tableName"]] = (
                tuple(cells["columnNames"]),
                cells["rowFilter"]["filterExpression"],
            )
    return found


def _role(grant: Declared) -> str:
    return str(grant.inputs["principal"]).rpartition("-team-")[2].removesuffix("-euc1").replace("-", "_")


def databases(table: str) -> tuple[str, ...]:
    """Where a table is found: in its layer, and silver and gold for the warehouse too."""
    layer = table.partition(".")[0]
    return (layer, "spectrum") if layer in ("silver", "gold") else (layer,)


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_lake_formation_grants_exactly_what_the_contracts_say(stack: str) -> None:
    wanted = {
        (role, f"shopware_lakehouse_{stack}_{database}", table.partition(".")[2]): (found.columns, found.row_filter)
        for table in CONTRACT.tables
        for role in role_names(CONTRACT)
        if (found := access(CONTRACT, role, table)) is not None
        for database in databases(table)
    }
    assert granted(stack) == wanted


def test_the_page_is_what_the_contracts_say_and_the_program_declares() -> None:
    program = whole_program()
    text = page(CONTRACT, program)
    assert PAGE.read_text(encoding="utf-8") == text, "run `python -m tests.infra.access_page`"
    roles = {
        line.strip("# `").removeprefix("<name>-").removesuffix("-euc1")
        for line in text.splitlines()
        if line.startswith("## `")
    }
    assert roles == {
        "archive-crm", "archive-web-logs", "athena-people", "auditor", "flow-logs", "job-batch", "job-bronze",
        "job-gold", "job-silver", "lake-formation", "team-customer-support", "team-data-engineer",
        "team-finance", "team-marketing", "team-operations", "team-sales",
    }  # fmt: skip
    assert len(roles) == len([*program.of(ROLE)])
