"""Who may read what: the roles in the contracts, compiled per role and table. No AWS here: `infra` grants from this.

What is not granted is denied; a role that a contract does not name sees nothing of its table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lakehouse.contracts import Contract, Contracts, Role

# The column by which a team may be confined to some regions.
REGION = "region"
NOWHERE: Mapping[str, Sequence[str]] = {}


@dataclass(frozen=True)
class Access:
    """What one role may read of one table: these columns, in the rows that `row_filter` keeps (None: all rows)."""

    role: str
    table: str
    columns: tuple[str, ...]
    row_filter: str | None

    def select(self) -> str:
        """The rows and columns as a SQL query."""
        columns = ", ".join(f'"{column}"' for column in self.columns)
        rows = "" if self.row_filter is None else f" where {self.row_filter}"
        return f"select {columns} from {self.table}{rows}"  # noqa: S608 - every part is from a contract


def role_names(contracts: Contracts) -> tuple[str, ...]:
    """Every role that some table names, in alphabetical order."""
    return tuple(sorted({access.role for access in all_access(contracts)}))


def access(contracts: Contracts, role: str, table: str) -> Access | None:
    """What a role may read of a table such as `gold.sales_kpis`; None when nothing.

    Raises ContractError when there is no such table.
    """
    contract = contracts.table(table)
    for granted in contract.roles:
        if granted.name == role:
            return Access(role, table, readable_columns(contract, granted), granted.row_filter)
    return None


def all_access(contracts: Contracts, regions: Mapping[str, Sequence[str]] = NOWHERE) -> tuple[Access, ...]:
    """Every grant of the lake, table by table in the order of `Contracts.tables`.

    A role that `regions` names sees only the rows of its regions, in every table that has the column `region`; rows
    that belong to no region are not its to see there.
    """
    return tuple(
        Access(
            role.name,
            table,
            readable_columns(contracts.table(table), role),
            _confined(role.row_filter, contracts.table(table), regions.get(role.name, ())),
        )
        for table in contracts.tables
        for role in contracts.table(table).roles
    )


def _confined(row_filter: str | None, contract: Contract, regions: Sequence[str]) -> str | None:
    """The condition of the contract, and the regions too."""
    if not regions or REGION not in {column.stored_as for column in contract.columns}:
        return row_filter
    names = ", ".join("'" + name.replace("'", "''") + "'" for name in regions)
    within = f"{REGION} in ({names})"
    return within if row_filter is None else f"({row_filter}) and {within}"


def readable_columns(contract: Contract, role: Role) -> tuple[str, ...]:
    """The columns that a role may read, in table order: those that it names, without what it must not see."""
    return tuple(
        column.stored_as
        for column in contract.columns
        if (role.columns is None or column.stored_as in role.columns) and column.classification not in role.excluded
    )
