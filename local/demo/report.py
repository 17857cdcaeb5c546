"""What the demo prints at its end: KPIs per team, data quality, the proof, and where to look next."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from lakehouse.contracts import Contracts
from lakehouse.kpis import KPIS
from local.oracle.comparison import Comparison
from local.sql import Lake

SHOWN_DIFFERENCES = 10
MONEY = "£{:,.2f}"
TEAMS: Mapping[str, Sequence[tuple[str, str, str, str, str]]] = {
    # title, gold table, KPI, dimension to show it by, format
    "Sales": (
        ("Revenue", "sales_kpis", "revenue_by_region", "region", MONEY),
        ("Average basket", "sales_kpis", "average_basket", "store_id", MONEY),
    ),
    "Finance": (
        ("Daily revenue", "sales_kpis", "daily_revenue", "period_start", MONEY),
        ("Refunds", "sales_kpis", "refunds", "period_start", MONEY),
        ("Discounts", "sales_kpis", "discounts", "period_start", MONEY),
        ("Net sales", "sales_kpis", "net_sales", "period_start", MONEY),
    ),
    "Marketing": (
        ("Funnel", "marketing_funnel", "funnel_stage", "stage", "{:,.0f}"),
        ("Click-through rate", "marketing_funnel", "click_through_rate", "campaign_id", "{:.1%}"),
        ("Campaign ROI", "marketing_funnel", "campaign_roi", "campaign_id", "{:.2f}"),
    ),
    "Support": (
        ("Feedback score", "customer_insights", "feedback_score", "channel", "{:.2f}"),
        ("Complaint share", "customer_insights", "complaint_share", "channel", "{:.1%}"),
    ),
    "Operations": (
        ("Stock availability", "operations_kpis", "stock_availability", "warehouse_id", "{:.1%}"),
        ("Stockouts", "operations_kpis", "stockouts", "warehouse_id", "{:,.0f}"),
        ("Restocks", "operations_kpis", "restocks", "warehouse_id", "{:,.0f}"),
    ),
}


def rows_by_source(lake: Lake, contracts: Contracts) -> dict[str, dict[str, int]]:
    """For each source the number of its records in bronze, silver and rejected."""
    present = set(lake.tables())

    def count(table: str) -> int:
        return int(lake.query(f"SELECT count(*) AS n FROM {table}")[0]["n"]) if table in present else 0  # noqa: S608 - names from code

    return {
        source: {
            "bronze": count(f"bronze.{source}"),
            "silver": count(f"silver.{contracts.silver_of(source).name}"),
            "rejected": count(f"rejected.{source}"),
        }
        for source in contracts.sources
    }


def print_kpis(lake: Lake, console: Console) -> None:
    """A table per team: each KPI over all days, by its most telling dimension."""
    for team, kpis in TEAMS.items():
        table = Table(title=team, title_justify="left", title_style="bold cyan", show_header=False, expand=False)
        table.add_column("KPI", style="bold")
        table.add_column("figures")
        for title, gold, kpi, dimension, style in kpis:
            table.add_row(title, ", ".join(_figures(lake, gold, kpi, dimension, style)) or "no data")
        console.print(table)


def _figures(lake: Lake, gold: str, kpi: str, dimension: str, style: str) -> list[str]:
    """A KPI whose contributions have no denominator adds up; a ratio is numerators over denominators."""
    declared = next(each for each in KPIS if each.name == kpi)
    adds = all(contribution.denominator is None for contribution in declared.contributions)
    statement = (
        f"SELECT {dimension} AS key, sum(numerator) AS up, sum(denominator) AS down FROM gold.{gold} "  # noqa: S608
        "WHERE kpi_name = ? GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 6"
    )
    shown = []
    for row in lake.query(statement, [kpi]):
        if row["down"]:
            name = "other" if row["key"] is None else row["key"]
            shown.append(f"{name} {style.format(row['up'] if adds else row['up'] / row['down'])}")
    return shown


def print_quality(lake: Lake, rows: Mapping[str, Mapping[str, int]], console: Console) -> None:
    """Bronze = silver + rejected for every source, and the rules that rejected."""
    present = set(lake.tables())
    table = Table(title="Data quality", title_justify="left", title_style="bold cyan", expand=False)
    for heading in ("source", "bronze", "= silver", "+ rejected"):
        table.add_column(heading, justify="left" if heading == "source" else "right")
    table.add_column("rejected by rule")
    for source, counts in rows.items():
        rules = []
        if f"rejected.{source}" in present:
            rules = lake.query(f"SELECT rule, count(*) AS n FROM rejected.{source} GROUP BY 1 ORDER BY 2 DESC, 1")  # noqa: S608 - names from code
        balanced = counts["bronze"] == counts["silver"] + counts["rejected"]
        table.add_row(
            source,
            f"{counts['bronze']:,}",
            f"{counts['silver']:,}",
            f"{counts['rejected']:,}" + ("" if balanced else " [bold red]does not add up[/]"),
            ", ".join(f"{row['rule']} {row['n']}" for row in rules),
        )
    console.print(table)


def print_proof(comparison: Comparison, killed: str, console: Console) -> None:
    """The proof's three figures, and the first differences if there are any."""
    style = "bold green" if comparison.exact else "bold red"
    console.print(
        f"Proof, by an independent oracle over the producer's ledger (the {killed} job was killed half-way):",
        style="bold cyan",
        highlight=False,
    )
    console.print(
        f"records lost {len(comparison.lost)}, duplicated {len(comparison.duplicated)}, "
        f"KPIs that differ {len(comparison.kpi)}",
        style=style,
        highlight=False,
    )
    others = len(comparison.differences) - len(comparison.lost) - len(comparison.duplicated) - len(comparison.kpi)
    if others:
        console.print(f"{others} further differences", style="bold red")
    for difference in comparison.differences[:SHOWN_DIFFERENCES]:
        console.print(f"  {difference}", markup=False, highlight=False)


def print_next(root: str, console: Console) -> None:
    """Where to look next."""
    console.print("Look next:")
    for command in (
        f'lakehouse sql "select * from gold.sales_kpis limit 10" --root {root}',  # noqa: S608 - names from code
        f'lakehouse sql "select rule, value, payload from rejected.pos limit 10" --root {root}',  # noqa: S608 - names from code
        f"lakehouse lineage gold.sales_kpis --root {root}",
        f"lakehouse dashboard --root {root}",
    ):
        console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
