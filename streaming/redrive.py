"""Rejected records go through again, after a contract or the reference data was mended.

It runs instead of the table's owner, the job that writes silver: `lakehouse redrive` takes the owner's lease.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contracts import Contracts
from lakehouse.delta.table import CommitConflictError
from lakehouse.engine.enrich import values
from lakehouse.engine.schemas import envelope_schema
from lakehouse.errors import LakehouseError
from lakehouse.layout import Layout
from lakehouse.settings import Settings
from runtime.commits import code_version
from runtime.delta_log import DeltaLog
from runtime.lineage import Lineage, TableInput
from runtime.restores import Restores
from runtime.storage import Storage
from runtime.tables import read_version
from streaming.references import References
from streaming.silver import Batch, SilverTable

BEATEN = ("duplicate", "superseded")  # another record stands for these: nothing to mend
# What a rejected row is known by: a record may be rejected by several batches.
KEY = ("record_id", "batch")


@dataclass(frozen=True)
class Redriven:
    """How many rejected records went through again, and how many of them are in silver now."""

    tried: int
    passed: int


class OvertakenError(LakehouseError):
    """Another process changed the silver table while this redrive was at work on it."""


def redrive(
    settings: Settings, contracts: Contracts, source: str, still_ours: Callable[[], None] = lambda: None
) -> Redriven:
    """Moves the rejected records of a source that pass now into silver; the others stay, with today's reasons.

    1. Note the intent with the version of rejected that it reads, put-if-absent; one that was left by a death is
       taken up instead, with its version.
    2. Put those records through the silver batch, under a transaction of this redrive: what fails again is appended to
       rejected with its tag, what passes is committed to silver, at most once, and only as the version after the one
       that it was settled against: whoever came in between has not seen these records, nor they what it wrote.
    3. Take the rows of the noted version out of rejected, once.
    4. Note that the redrive is over.
    A death anywhere repeats the steps with the same outcome: step 2 takes out its own half-done rows, and reads the
    noted version even after step 3 has taken out its rows. Raises LakehouseError where somebody restored a table, what
    `still_ours` raises before a write when this process may no longer write, and OvertakenError.
    """
    table = SilverTable(settings, contracts, source, References(contracts, Layout(settings.root)))
    table.ensure()
    for each in (table.name, f"rejected.{source}"):
        Restores(DeltaLog(settings.root, each)).refuse()
    notes = _notes(table)
    # 1
    name, identity, version = _intent(notes, table.rejected.version)
    old = read_version(table.rejected_uri, version)
    old = old.filter(pc.invert(pc.is_in(old["rule"], pa.array(BEATEN))))
    batch = Batch(f"redrive:{identity}", 0, (TableInput(f"rejected.{source}", version, version),))
    try:
        # 2
        table.process(_envelope(old, contracts), batch, still_ours)
        # 3
        still_ours()
        _take_out(table, old, batch)
    except CommitConflictError as error:
        raise OvertakenError(
            f"{error}: another process wrote while this redrive was at work, and what it had not written yet is not "
            f"written; run `lakehouse redrive {source}` again to take it up"
        ) from error
    # 4
    notes.put_if_absent(f"{name}.done", b"")
    again = table.rejected.read(["record_id"], f"batch = '{batch.tag}'")["record_id"]
    tried = set(values(old["record_id"]))
    return Redriven(len(tried), len(tried - set(values(again))))


def _take_out(table: SilverTable, old: pa.Table, batch: Batch) -> None:
    """Takes the redriven rows out of rejected, in one commit whose transaction makes a second time a no-op."""
    done = f"{batch.tag}:taken out"
    if not old.num_rows or table.rejected.transaction(done) is not None:
        return
    none = table.rejected.schema.empty_table()
    lineage = Lineage("redrive", table.silver.name, 0, code_version(), table.silver.version, batch.inputs)
    table.rejected.replace_rows(old, none, none, KEY, {done: 0}, lineage.to_json())


def _notes(table: SilverTable) -> Storage:
    return Storage.open(f"{table.checkpoint}_redrive")


def _intent(notes: Storage, version: int) -> tuple[str, str, int]:
    """The redrive to carry out: the one that was begun and not finished, else a new one at `version`.

    Gives the note's name, the redrive's identity (numbers begin anew when notes are removed, tables remember) and the
    version of rejected that it reads.
    """
    name, unfinished = _newest(notes)
    if not unfinished:
        name = f"{int(name) + 1:08}"
        intent = {"identity": str(uuid4()), "version": version}
        notes.put_if_absent(f"{name}.json", json.dumps(intent).encode())
    found = json.loads(notes.read(f"{name}.json") or b"{}")
    return name, str(found["identity"]), int(found["version"])


def _newest(notes: Storage) -> tuple[str, bool]:
    """The newest redrive's name (-1 before the first), and whether it is not over."""
    present = {each.key for each in notes.list()}
    name = max((key.removesuffix(".json") for key in present if key.endswith(".json")), default="-1")
    return name, name != "-1" and f"{name}.done" not in present


def _envelope(rejected: pa.Table, contracts: Contracts) -> pa.Table:
    """Rejected rows as the bronze records that they were."""
    known = rejected.append_column("ingested_at", rejected["arrived_at"])
    return known.select(envelope_schema(contracts).names)
