"""`lakehouse describe NAME`: what a KPI means, or what a table holds, in the terminal."""

import sys
from collections.abc import Mapping
from difflib import get_close_matches

from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from lakehouse.contracts import Contract, Contracts, load_contracts
from lakehouse.errors import LakehouseError
from lakehouse.kpis import KPIS
from lakehouse.policies import readable_columns
from lakehouse.settings import Settings
from local.kpi_docs import describe_json, page
from local.rendering import json_text, length_of_time, standard_console


def run(*, name: str, json: bool, settings: Settings) -> None:
    """Prints the page of a KPI such as `net_sales`, or of a table such as `gold.sales_kpis` or `pos`.

    Raises LakehouseError for any other name, with the names that come near.
    """
    contracts = load_contracts(settings.contracts_directory)
    kpi = next((each for each in KPIS if each.name == name), None)
    if kpi is not None:
        if json:
            print(json_text(describe_json(kpi, contracts)))
        elif sys.stdout.isatty():
            Console().print(Markdown(page(kpi, contracts)))
        else:
            print(page(kpi, contracts), end="")
        return
    table = _table_of(name, contracts)
    if json:
        print(json_text(_table_json(table, contracts.table(table))))
    else:
        _print_table(table, contracts.table(table))


def _table_of(name: str, contracts: Contracts) -> str:
    """The full name of a table that may be given without its layer: the lowest layer that has it."""
    found = [table for table in contracts.tables if name in (table, table.partition(".")[2])]
    if found:
        return found[0]
    known = [kpi.name for kpi in KPIS] + [*contracts.tables]
    near = get_close_matches(name, [*known, *(each.partition(".")[2] for each in contracts.tables)], 4, 0.5)
    hint = f"did you mean {', '.join(dict.fromkeys(near))}? " if near else ""
    raise LakehouseError(
        f"{name!r} is no KPI and no table: {hint}`lakehouse tables` lists the tables, docs/kpis/README.md the KPIs"
    )


def _facts(contract: Contract) -> Mapping[str, str]:
    facts = {
        "owner": contract.owner,
        "contract": f"{contract.name} {contract.version}",
        "identity": ", ".join(contract.identity),
        "partitions": ", ".join(contract.partitions),
        "fresh within": length_of_time(contract.freshness) if contract.freshness else "",
        "KPIs": ", ".join(kpi.name for kpi in KPIS if kpi.table == f"gold.{contract.name}"),
    }
    return {name: text for name, text in facts.items() if text}


def _readers(contract: Contract) -> list[tuple[str, str, str]]:
    """Each role, the columns that it may not see, and the rows that it may."""
    found = []
    for role in contract.roles:
        hidden = [name for name in contract.column_names if name not in readable_columns(contract, role)]
        found.append(
            (role.name, "all columns" + (f" but {', '.join(hidden)}" if hidden else ""), role.row_filter or "")
        )
    return found


def _print_table(name: str, contract: Contract) -> None:
    console = standard_console()
    console.print(Text(name, style="bold"))
    console.print(Text(contract.description))
    for fact, text in _facts(contract).items():
        console.print(Text(f"  {fact:<13} {text}"))
    for role, columns, rows in _readers(contract):
        console.print(Text(f"  {'read by':<13} {role}: {columns}{f', rows where {rows}' if rows else ''}"))
    console.print()
    table = Table(header_style="bold", show_edge=False, pad_edge=False)
    for head in ("column", "type", "what it is", "classification"):
        table.add_column(head, overflow="fold")
    for column in contract.columns:
        table.add_row(*map(Text, (column.stored_as, column.type, column.description, column.classification)))
    console.print(table)


def _table_json(name: str, contract: Contract) -> Mapping[str, object]:
    return {
        "table": name,
        "description": contract.description,
        **{fact.replace(" ", "_"): text for fact, text in _facts(contract).items()},
        "readers": [
            {"role": role, "columns": columns, "rows": rows or None} for role, columns, rows in _readers(contract)
        ],
        "columns": [
            {
                "name": column.stored_as,
                "type": column.type,
                "description": column.description,
                "classification": column.classification,
            }
            for column in contract.columns
        ],
    }
