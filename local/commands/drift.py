"""`lakehouse drift`: which fields come in records that no contract declares, how often, and since when."""

from dataclasses import dataclass
from datetime import datetime

from rich.table import Table
from rich.text import Text

from lakehouse.contracts import Contracts, load_contracts
from lakehouse.settings import Settings
from local.rendering import json_text, standard_console, visible
from runtime.delta_log import DeltaLog
from runtime.lineage import Input, TableInput, read_lineage


@dataclass
class Drift:
    """An undeclared field of a source: in how many records it came, and when the first and last of them were judged."""

    source: str
    field: str
    records: int
    first: datetime
    last: datetime


def run(*, source: str | None, commits: int, json: bool, settings: Settings) -> None:
    """Prints the undeclared fields of one source or all, most frequent first, as a table or as a JSON array.

    Raises LakehouseError for a source that has no contract and for a log that cannot be read.
    """
    contracts = load_contracts(settings.contracts_directory)
    sources = (contracts.source(source).name,) if source else contracts.sources
    found = [each for name in sources for each in drift_of(contracts, settings.root, name, commits)]
    if json:
        print(json_text([vars(each) for each in found]))
        return
    console = standard_console()
    if not found:
        console.print("No record had a field that its contract does not declare.")
        return
    table = Table(header_style="bold", show_edge=False, pad_edge=False)
    for name in ("source", "field", "records", "first judged", "last judged"):
        table.add_column(name, justify="right" if name == "records" else "left", overflow="fold")
    for each in found:
        times = (f"{time:%Y-%m-%d %H:%M:%S}Z" for time in (each.first, each.last))
        table.add_row(*map(Text, (each.source, visible(each.field), f"{each.records:,}", *times)))
    console.print(table)


def drift_of(contracts: Contracts, root: str, source: str, commits: int) -> list[Drift]:
    """The undeclared fields of a source by the newest `commits` commits of its silver and its rejected table.

    A batch tells its drift in each of the one or two commits that it makes: its records count once. Those of a redrive
    were counted when they came.
    """
    batches: dict[tuple[Input, ...], tuple[datetime, dict[str, int]]] = {}
    for table in (f"rejected.{source}", f"silver.{contracts.silver_of(source).name}"):
        log = DeltaLog(root, table)
        newest = log.newest()
        for version in range(-1 if newest is None else newest, -1, -1)[:commits]:
            commit = log.commit(version)
            lineage = read_lineage(commit.metadata) if commit else None
            if commit and lineage and all(_is_bronze(each) for each in lineage.inputs):
                batches.setdefault(lineage.inputs, (commit.committed_at, dict(lineage.drift)))
    found: dict[str, Drift] = {}
    for time, drift in batches.values():
        for field, records in drift.items():
            known = found.setdefault(field, Drift(source, field, 0, time, time))
            known.records += records
            known.first, known.last = min(known.first, time), max(known.last, time)
    return sorted(found.values(), key=lambda each: (-each.records, each.field))


def _is_bronze(found: Input) -> bool:
    return isinstance(found, TableInput) and found.table.startswith("bronze.")
