"""`lakehouse tables`: what tables the lake holds, how much is in them, how old it is, and what a row of each is."""

from datetime import datetime

from rich.table import Table
from rich.text import Text

from lakehouse.contracts import Contracts, load_contracts
from lakehouse.settings import Settings
from local.dashboard.health import Health, TableHealth
from local.dashboard.readings import Readings
from local.rendering import json_text, standard_console
from local.table_contents import content_of

COLUMNS = ("table", "rows", "version", "newest", "last commit", "owner", "what a row is")


def run(*, json: bool, settings: Settings) -> None:
    """Prints every table of the contracts that the lake holds, layer by layer, as a table or a JSON array.

    Rows and ages come from the tables' logs: no data file is read. Raises LakehouseError when there is no lake.
    """
    contracts = load_contracts(settings.contracts_directory)
    readings = Readings(settings.root)
    try:
        found = Health(readings, contracts).tables()
    finally:
        readings.close()
    if json:
        print(json_text([_values(each, contracts) for each in found]))
        return
    console = standard_console()
    table = Table(header_style="bold", show_edge=False, pad_edge=False)
    for name in COLUMNS:
        numeric = name in ("rows", "version")
        table.add_column(name, justify="right" if numeric else "left", overflow="fold", no_wrap=name != COLUMNS[-1])
    for each in found:
        table.add_row(*map(Text, _line(each, contracts)))
    console.print(table)
    missing = [name for name in contracts.tables if name not in {each.name for each in found}]
    if missing:
        console.print(Text(f"not there yet: {', '.join(missing)}", style="dim"))


def _line(table: TableHealth, contracts: Contracts) -> tuple[str, ...]:
    contract = contracts.table(table.name)
    committed = table.commits[0].committed_at if table.commits else None
    newest = table.newest
    shown = _minute(newest) if isinstance(newest, datetime) else "" if newest is None else newest.isoformat()
    return (
        table.name,
        f"{table.rows:,}",
        str(table.version),
        shown,
        _minute(committed) if committed else "",
        contract.owner,
        content_of(table.name, contracts),
    )


def _values(table: TableHealth, contracts: Contracts) -> dict[str, object]:
    contract = contracts.table(table.name)
    return {
        "table": table.name,
        "rows": table.rows,
        "version": table.version,
        "newest": table.newest,
        "committed_at": table.commits[0].committed_at if table.commits else None,
        "owner": contract.owner,
        "description": content_of(table.name, contracts),
    }


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}Z"
