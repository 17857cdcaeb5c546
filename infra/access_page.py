"""docs/access.md: who may read what, from the contracts. `python -m infra.access_page` writes it."""

from pathlib import Path

from lakehouse.contracts import Contracts, load_contracts
from lakehouse.policies import all_access, role_names
from lakehouse.settings import CONTRACTS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "access.md"
TOP = """# Who may read what

Written from the roles in `contracts/` by `python -m infra.access_page`; a test keeps it equal. Lake Formation grants
exactly this (`infra/governance.py`), the warehouse's views show exactly this (`infra/warehouse.py`). What is not listed
is denied.
"""


def page(contracts: Contracts) -> str:
    """The page: for each role its tables with columns and rows."""
    parts = [TOP]
    for role in role_names(contracts):
        parts.append(f"\n## {role}\n\n| table | columns | rows |\n| --- | --- | --- |\n")
        for access in all_access(contracts):
            if access.role == role:
                names = contracts.table(access.table).column_names
                hidden = [name for name in names if name not in access.columns]
                columns = "all" if not hidden else f"all but {', '.join(f'`{name}`' for name in hidden)}"
                rows = "all" if access.row_filter is None else f"`{access.row_filter}`"
                parts.append(f"| `{access.table}` | {columns} | {rows} |\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(load_contracts(CONTRACTS)), encoding="utf-8")
