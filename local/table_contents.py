"""What a row of each table is, in a few words for lists of tables. Text only."""

from lakehouse.contract_model import Contracts
from lakehouse.kpis import KPIS


def content_of(table: str, contracts: Contracts) -> str:
    """What a row of a table is; of a gold table, which KPIs it has. Raises ContractError where there is no contract."""
    layer, _, name = table.partition(".")
    contract = contracts.table(table)
    if layer == "gold":
        return f"KPIs: {', '.join(kpi.name for kpi in KPIS if kpi.table == table)}"
    if layer == "silver":
        return contract.description
    as_it_came = "As it came" if layer == "bronze" else "Rejected, with the reason"
    return f"{as_it_came}: {contracts[name].description[0].lower()}{contracts[name].description[1:]}"
