"""`lakehouse quality [SOURCE]`: why records are rejected, what is wrong with whole files first."""

from rich.text import Text

from lakehouse.contracts import load_contracts
from lakehouse.settings import Settings
from local.rejected_files import RejectReason, reject_reasons
from local.rendering import json_text, standard_console, visible
from local.sql import Lake

MOST_SHOWN = 50


def run(*, source: str | None, json: bool, settings: Settings) -> None:
    """Prints the reasons of one source or all: those of files, then those of single records, most records first.

    Raises LakehouseError for a source that has no contract and for a lake that cannot be read.
    """
    contracts = load_contracts(settings.contracts_directory)
    sources = (contracts.source(source).name,) if source else contracts.sources
    with Lake(settings.root) as lake:
        found = [each for name in sources for each in reject_reasons(lake, contracts.source(name))]
    if json:
        print(json_text([vars(each) for each in found]))
        return
    console = standard_console()
    if not found:
        console.print("No record is rejected, duplicates aside.")
        return
    for title, of_file in (("Whole files", True), ("Single records", False)):
        _print_some(title, [each for each in found if each.of_file is of_file])


def _print_some(title: str, reasons: list[RejectReason]) -> None:
    if not reasons:
        return
    console = standard_console()
    console.print(title)
    for each in reasons[:MOST_SHOWN]:
        console.print(Text(f"  {visible(str(each))}"))
    if len(reasons) > MOST_SHOWN:
        console.print(f"  and {len(reasons) - MOST_SHOWN} more: --json lists all")
