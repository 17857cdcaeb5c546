"""A query for each KPI of a team, to begin with: its last 30 days. The columns are the contract's."""

from lakehouse.contracts import Contract
from lakehouse.kpi_model import Kpi
from lakehouse.kpis import KPIS
from lakehouse.policies import Access

DAYS = 30


def granted_kpis(access: Access, contract: Contract) -> tuple[Kpi, ...]:
    """The KPIs of a gold table that a grant names; none where it does not choose among them."""
    names = contract.column(_kpi_column(contract)).enum
    granted = {name for name in names if f"'{name}'" in (access.row_filter or "")}
    return tuple(kpi for kpi in KPIS if kpi.table == access.table and kpi.name in granted)


def kpi_query(kpi: Kpi, access: Access, contract: Contract) -> str:
    """The KPI's day, dimensions and measures over the last 30 days, as far as the role is granted these columns."""
    day = _day_column(contract)
    keys = [day, *_dimensions(kpi, contract)]
    measures = [name for name in contract.column_names if name not in (*contract.identity, *contract.partitions)]
    shown = [name for name in (*keys, *measures) if name in access.columns]
    order = ["1 DESC", *(str(place) for place in range(2, len(keys) + 1))]
    return (
        f"SELECT {', '.join(map(_quoted, shown))}\n"
        f"FROM {_quoted(contract.name)}\n"
        f"WHERE {_quoted(_kpi_column(contract))} = '{kpi.name}'\n"
        f"  AND {_quoted(day)} >= date_add('day', -{DAYS}, current_date)\n"
        f"ORDER BY {', '.join(order)}"
    )


def _kpi_column(contract: Contract) -> str:
    """The column that says which KPI a row is about: gold is partitioned by it first."""
    return contract.partitions[0]


def _day_column(contract: Contract) -> str:
    """The column that says which day: the only date in the key."""
    [day] = [name for name in contract.identity if contract.column(name).type == "date"]
    return day


def _dimensions(kpi: Kpi, contract: Contract) -> list[str]:
    """The dimensions that a KPI has, in the table's order; the others are null in all its rows."""
    own: set[str] = set().union(*(each.dimensions for each in kpi.contributions))
    return [name for name in contract.column_names if name in own]


def _quoted(name: str) -> str:
    return f'"{name}"'
