"""At which versions tables belong together, read from checkpoints and logs while the jobs go on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lakehouse.contracts import Contracts
from lakehouse.errors import LakehouseError
from lakehouse.layout import Layout
from runtime.checkpoints import Progress, batch_offsets, delta_version, progress
from runtime.delta_log import DeltaLog
from runtime.lineage import TableInput, read_lineage
from runtime.storage import Storage

# Batches that the newest whole one may lie back: Spark keeps no more of them either.
MOST_STEPS_BACK = 90
EMPTY = -1


class NotReconcilableError(LakehouseError):
    """There is nothing to hold a table against yet, or no more."""


class NotYetError(NotReconcilableError):
    """A job that is new has finished no batch: there is nothing to prove yet, and nothing wrong."""


@dataclass(frozen=True)
class SourcePins:
    """Versions of a source's tables after the same batch; -1: before the table held anything."""

    source: str
    batch: int
    bronze: int
    silver: int
    rejected: int


@dataclass(frozen=True)
class GoldPins:
    """A gold table's version, and the versions of the silver tables that it was made of."""

    table: str
    gold: int
    silver: dict[str, int]


def source_pins(root: str, contracts: Contracts, source: str) -> SourcePins:
    """The newest point at which the source's silver job had finished a batch and begun no other.

    1. Find the newest finished batch that ended with a whole version of bronze.
    2. What the job wrote later (a batch under way commits to rejected before it commits to silver) is left out: the
       versions are those before the first commit of a later batch.

    Raises NotYetError when the job has finished no batch yet, and NotReconcilableError when its checkpoint is gone or a
    redrive is under way.
    """
    silver = contracts.silver_of(source)
    folder = Layout(root).checkpoint("silver", silver.name)
    _refuse_redrive(folder, source)
    checkpoint = Storage.open(folder)
    # 1
    found = progress(checkpoint)
    batch = _whole_batch(checkpoint, found, [DeltaLog(root, f"bronze.{source}")])
    if batch is None:
        _refuse_orphan(DeltaLog(root, f"silver.{silver.name}"), silver.name, checkpoint, found)
        raise NotYetError(f"silver.{silver.name} has finished no batch yet: run `lakehouse stream silver`")
    bronze = delta_version(checkpoint, batch)
    # 2
    written = _last_of(DeltaLog(root, f"silver.{silver.name}"), silver.name, batch)
    rejected = _last_of(DeltaLog(root, f"rejected.{source}"), silver.name, batch)
    return SourcePins(source, batch, bronze, written, rejected)


def gold_pins(root: str, contracts: Contracts, table: str, silver: tuple[str, ...]) -> GoldPins:
    """The newest point at which the query of the gold `table` had finished a batch, and how far it had read `silver`.

    Raises NotYetError when it has finished none yet, and NotReconcilableError when its checkpoint is gone.
    """
    log = DeltaLog(root, f"gold.{table}")
    folder = _newest_checkpoint(Layout(root).checkpoint("gold", table), log)
    checkpoint = Storage.open(folder)
    found = progress(checkpoint)
    batch = _whole_batch(checkpoint, found, [DeltaLog(root, source) for source in silver])
    if batch is None:
        _refuse_orphan(log, table, checkpoint, found)
        raise NotYetError(f"gold.{table} has finished no batch yet: run `lakehouse stream gold`")
    versions = {source: delta_version(checkpoint, batch, number) for number, source in enumerate(silver)}
    return GoldPins(table, _last_of(log, table, batch), versions)


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
    return SourcePins(now.source, now.batch, min(bronze, first - 1, other - 1), silver, rejected)


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


def _whole_batch(checkpoint: Storage, found: Progress, read: Sequence[DeltaLog]) -> int | None:
    """The newest finished batch that ended with whole versions of all the tables that it `read`."""
    for batch in range(found.finished, max(-1, found.finished - MOST_STEPS_BACK), -1):
        offsets = batch_offsets(checkpoint, batch)
        if offsets and all(
            offset is None or _whole(log, offset["reservoirVersion"], offset["index"])
            for log, offset in zip(read, offsets, strict=True)
        ):
            return batch
    return None


def _refuse_orphan(log: DeltaLog, query: str, checkpoint: Storage, found: Progress) -> None:
    """A table that its query has written is not new: a checkpoint without any batch was lost, or moved away."""
    if found.planned >= 0:
        return
    newest = log.newest()
    for version in range(-1 if newest is None else newest, -1, -1):
        commit = log.commit(version)
        lineage = read_lineage(commit.metadata) if commit else None
        if lineage is not None and lineage.query == query:
            raise NotReconcilableError(
                f"batch {lineage.batch} of {log.name} is in the table and not in its checkpoint {checkpoint.uri}: put "
                "the checkpoint back, or start the table over (docs/operating.md)"
            )


def _whole(log: DeltaLog, version: int, index: int) -> bool:
    """An offset ends before all files of a version (index below 0), or with the one at the index: is that the last?

    A change feed counts the files with changes where the commit has such, else those added and removed. Delta never
    splits the former, but may end with their last instead of before the next version.
    """
    if index < 0:
        return True
    kinds = [line[:12] for line in log.actions(version)]
    changes = sum(kind.startswith(b'{"cdc"') for kind in kinds)
    return index >= (changes or sum(kind.startswith((b'{"add"', b'{"remove"')) for kind in kinds)) - 1


def _last_of(log: DeltaLog, query: str, batch: int) -> int:
    """The newest version before any commit of a later batch of the query."""
    newest = log.newest()
    if newest is None:
        raise NotReconcilableError(f"there is no table {log.name} at {log.uri}: start its job first")
    version = newest
    for each in range(newest, -1, -1):
        commit = log.commit(each)
        if commit is None:
            break
        lineage = read_lineage(commit.metadata)
        if lineage is None or lineage.query != query:
            continue
        if lineage.batch <= batch:
            break
        version = each - 1
    return version


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


def _newest_checkpoint(folder: str, log: DeltaLog) -> str:
    """The folder of the table's generation, by the property that its newest commit of properties set."""
    newest = log.newest()
    if newest is None:
        raise NotYetError(f"there is no {log.name} yet: run `lakehouse stream gold`")
    for version in range(newest, -1, -1):
        commit = log.commit(version)
        if commit is None:
            break
        if commit.configuration is not None and (generation := commit.configuration.get("lakehouse.fingerprint")):
            return f"{folder}/{generation}"
    raise NotReconcilableError(f"{log.name} has no generation yet: run `lakehouse stream gold`")
