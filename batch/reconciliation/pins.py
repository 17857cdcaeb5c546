"""At which versions tables belong together, read from the tables themselves while the jobs go on.

A commit's transaction ids tell how far it has read: one of silver the version of bronze, one of gold the version of
each silver table.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lakehouse.contracts import Contract, Contracts
from lakehouse.delta.table import OwnedTable
from lakehouse.errors import LakehouseError
from lakehouse.kpi_tables import fingerprint
from lakehouse.layout import Layout
from runtime.delta_log import DeltaLog
from runtime.lineage import TableInput, read_lineage
from runtime.storage import Storage
from runtime.tables import open_table, table_exists
from streaming.gold_fit import FINGERPRINT

EMPTY = -1


class NotReconcilableError(LakehouseError):
    """There is nothing to hold a table against yet, or no more."""


class NotYetError(NotReconcilableError):
    """A job that is new has taken in nothing: there is nothing to prove yet, and nothing wrong."""


@dataclass(frozen=True)
class SourcePins:
    """Versions of a source's tables after the same batch; -1: before the table held anything.

    `references`: the versions of reference tables that all of silver's rows are known to have been looked up in.
    """

    source: str
    bronze: int
    silver: int
    rejected: int
    references: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class GoldPins:
    """A gold table's version, and the versions of the silver tables that it was made of."""

    table: str
    gold: int
    silver: dict[str, int]


def source_pins(root: str, contracts: Contracts, source: str) -> SourcePins:
    """The newest point at which the source's silver job had finished a batch and begun no other.

    1. The newest silver is behind a finished batch: its commit is where a batch is over. It says which version of
       bronze it has taken in.
    2. Rejected is written before silver, under the same transaction: what a batch under way wrote there is left out.

    Raises NotYetError when the job has taken in nothing yet, and NotReconcilableError when bronze was made anew or a
    redrive is under way.
    """
    layout = Layout(root)
    name = contracts.silver_of(source).name
    _refuse_redrive(layout.checkpoint("silver", name), source)
    bronze = _table(layout, f"bronze.{source}")
    silver = _table(layout, f"silver.{name}")
    # 1
    app_id = f"bronze.{source}@{bronze.id}" if bronze else ""
    taken = silver.transaction(app_id) if silver else None
    if silver is None or taken is None:
        _refuse_other_bronze(silver, source, name)
        raise NotYetError(f"silver.{name} has taken in nothing yet: run `lakehouse stream silver`")
    # 2
    rejected = _before_transaction(DeltaLog(root, f"rejected.{source}"), app_id, taken)
    return SourcePins(source, taken, silver.version, rejected, _looked_up_in(layout, contracts.source(source), silver))


def gold_pins(root: str, contracts: Contracts, table: str, silver: tuple[str, ...]) -> GoldPins:
    """The newest version of the gold `table`, and how far it has read the tables `silver`.

    Raises NotYetError when its query has taken in nothing of the silver tables that are there yet, or has not made the
    table anew since its KPIs were declared otherwise.
    """
    layout = Layout(root)
    gold = _table(layout, f"gold.{table}")
    if gold is None:
        raise NotYetError(f"there is no gold.{table} yet: run `lakehouse stream gold`")
    tables = {source: found for source in silver if (found := _table(layout, source)) is not None}
    taken = {source: gold.transaction(f"{source}@{found.id}") for source, found in tables.items()}
    if all(version is None for version in taken.values()):
        raise NotYetError(f"gold.{table} has taken in nothing yet: run `lakehouse stream gold`")
    if gold.properties.get(FINGERPRINT) != fingerprint(contracts[table], [each.id for each in tables.values()]):
        raise NotYetError(f"gold.{table} is of other KPI declarations than today's: `lakehouse stream gold` renews it")
    versions = {source: EMPTY if (version := taken.get(source)) is None else version for source in silver}
    return GoldPins(table, gold.version, versions)


def pins_before(root: str, contracts: Contracts, now: SourcePins, bronze: int) -> SourcePins:
    """The point at which the source's tables had taken in bronze up to the version `bronze`, or the last one before.

    A redrive that read rejected after that point comes after it too, whatever it moved into silver.

    Raises NotReconcilableError for a version that is not there yet.
    """
    if bronze > now.bronze:
        raise NotReconcilableError(
            f"--since {bronze}: silver has taken in bronze.{now.source} up to version {now.bronze}"
        )
    name = contracts.silver_of(now.source).name
    read = {f"bronze.{now.source}": bronze}
    rejected, other = _before(DeltaLog(root, f"rejected.{now.source}"), now.rejected, read)
    redriven = {f"rejected.{now.source}": rejected}
    silver, first = _before(DeltaLog(root, f"silver.{name}"), now.silver, read, redriven)
    return SourcePins(now.source, min(bronze, first - 1, other - 1), silver, rejected)


def gold_before(root: str, now: GoldPins, silver: Mapping[str, int]) -> GoldPins:
    """The point at which a gold table had taken in some of its silver tables up to the versions `silver`, or the last
    one before, with how far it had read the others then.
    """
    log = DeltaLog(root, f"gold.{now.table}")
    version, _ = _before(log, now.gold, silver)
    read = dict(now.silver)
    for each in range(now.gold, version, -1):
        commit = log.commit(each)
        lineage = read_lineage(commit.metadata) if commit else None
        for found in lineage.inputs if lineage else ():
            if isinstance(found, TableInput) and found.table in read:
                read[found.table] = min(read[found.table], found.first - 1)
    return GoldPins(now.table, version, read)


def _table(layout: Layout, name: str) -> OwnedTable | None:
    uri = layout.table(name)
    return open_table(uri) if table_exists(uri) else None


def _looked_up_in(layout: Layout, source: Contract, silver: OwnedTable) -> dict[str, int]:
    names = {column.reference[0] for column in source.columns if column.reference}
    tables = {name: found for name in sorted(names) if (found := _table(layout, f"silver.{name}")) is not None}
    versions = {name: silver.transaction(f"silver.{name}@{table.id}") for name, table in tables.items()}
    return {name: version for name, version in versions.items() if version is not None}


def _refuse_other_bronze(silver: OwnedTable | None, source: str, name: str) -> None:
    """Silver that was made of another bronze table is not new: nothing tells what it must hold."""
    others = [app_id for app_id in (silver.transactions() if silver else ()) if app_id.startswith(f"bronze.{source}@")]
    if others:
        raise NotReconcilableError(
            f"silver.{name} has taken in another table than the bronze.{source} that is there: put that one back, or "
            "start silver over (docs/operating.md)"
        )


def _before_transaction(log: DeltaLog, app_id: str, number: int) -> int:
    """The newest version before any commit that carries a higher number of the transaction id; -1: no version."""
    newest = log.newest()
    version = EMPTY if newest is None else newest
    for each in range(version, -1, -1):
        numbers = [found for name, found in _transactions(log, each) if name == app_id]
        if numbers and numbers[0] <= number:
            break
        if numbers:
            version = each - 1
    return version


def _transactions(log: DeltaLog, version: int) -> Iterator[tuple[str, int]]:
    for line in log.actions(version):
        if line.startswith(b'{"txn"'):
            found = json.loads(line)["txn"]
            yield str(found["appId"]), int(found["version"])


def _before(
    log: DeltaLog, newest: int, read: Mapping[str, int], redriven: Mapping[str, int] | None = None
) -> tuple[int, int]:
    """The newest version of a log before anything that came of tables after the versions `read`, and the first version
    beyond those that what came later had read.

    What took in tables after the versions `redriven` came later as well, but tells nothing of the versions `read`: a
    batch that was rejected whole is in no commit of silver, only the redrive of its records is.
    """
    found, first = newest, max(read.values(), default=EMPTY) + 1
    for each in range(newest, -1, -1):
        commit = log.commit(each)
        if commit is None:
            told = ", ".join(f"{table} version {version}" for table, version in read.items())
            raise NotReconcilableError(f"the log of {log.name} no longer tells what came after {told}")
        lineage = read_lineage(commit.metadata)
        taken = [i for i in lineage.inputs if isinstance(i, TableInput)] if lineage else []
        if redriven and any(i.last > redriven.get(i.table, i.last) for i in taken):
            found = each - 1
        inputs = [i for i in taken if i.table in read]
        if not inputs:
            continue
        later = [each for each in inputs if each.last > read[each.table]]
        if not later:
            break
        found, first = each - 1, min(first, *(i.first for i in later))
    return found, first


def _refuse_redrive(folder: str, source: str) -> None:
    notes = {each.key for each in Storage.open(f"{folder}_redrive").list()}
    begun = {key.removesuffix(".json") for key in notes if key.endswith(".json")}
    if any(f"{name}.done" not in notes for name in begun):
        raise NotReconcilableError(f"a redrive of {source} is under way or died: let `lakehouse redrive {source}` end")
