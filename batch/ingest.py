"""Landing files into bronze, each exactly once: plan, read (large batches on executors), append.

The payload of a record is what `batch.readers` makes of it; nothing is judged here, so that bronze holds what came.
"""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from pyspark.sql import SparkSession

from batch.bronze_table import Appended, BronzeTable, IngestError
from batch.landing import Bounds, Plans, in_batches
from batch.landing_area import LandingArea
from lakehouse.contracts import Contracts
from lakehouse.layout import Layout
from runtime.delta_log import DeltaLog
from runtime.restores import Restores
from runtime.storage import Storage

CHECKPOINT_ID = "metadata.json"


@dataclass(frozen=True)
class Ingested:
    """What one run took in from a source: `unreadable` counts files, of which the rest could not be read.

    `passed_over` counts what lies there and is no delivery: hidden and unfinished files, and what tools leave behind.
    """

    source: str
    batches: int = 0
    files: int = 0
    records: int = 0
    unreadable: int = 0
    refused: tuple[str, ...] = ()
    passed_over: int = 0


def ingest(
    spark: Callable[[], SparkSession],
    contracts: Contracts,
    source: str,
    landing: str,
    root: str,
    now: Callable[[], datetime],
    bounds: Bounds | None = None,
    still_ours: Callable[[], None] = lambda: None,
) -> Ingested:
    """Appends every file of `<landing>/<source>/` that is new to `bronze.<source>`, each exactly once.

    1. The table is there, as its contract says.
    2. The checkpoint has an id, made once: transaction ids carry it, so that the batches of a new checkpoint, which
       begin at 0 again, are not taken for those of the old one.
    3. Batches that are planned but not in the table (this process died, or somebody removed the table) are taken in
       exactly as they were planned.
    4. The landing area is listed: files under a new path are taken in, a known path with other content is refused.
    5. For each batch of new files: its plan is written, put-if-absent, before the first byte is read.
    6. The files are read, counted, and appended in one commit under the transaction id.

    A crash before 5 has done nothing; after 5 or within 6 the next run's step 3 repeats the batch; after 6 the table
    knows it. `still_ours` is asked before each of these writes, and raises when this process may no longer write.

    `spark` gives a session for batches that are too large for this process.

    Raises LakehouseError when the landing area cannot be listed, plan and table contradict each other,
    another process takes in the same source, or a batch cannot be read or written.
    """
    area = LandingArea.open(landing)
    # 1
    table = BronzeTable(spark, contracts, root, source, area, now, still_ours)
    checkpoint = Storage.open(Layout(root).checkpoint("bronze", source))
    # 2
    table.app_id = f"{_checkpoint_id(table, checkpoint)}:{table.name}"
    # 3
    plans = Plans(checkpoint)
    done, unfinished = Ingested(source), _unfinished(table, plans, checkpoint)
    restores = Restores(DeltaLog(root, table.name))
    restores.refuse()
    for batch in unfinished:
        done = _add(done, table.append(batch, plans.files_of(batch)))
    # 4
    look = plans.look(area, source, now())
    for files in in_batches(look.new, bounds or Bounds()):
        # 5
        still_ours()
        batch = plans.add(files)
        # 6
        restores.refuse()
        done = _add(done, table.append(batch, files))
    return replace(done, refused=tuple(map(str, look.refused)), passed_over=look.passed_over)


def _checkpoint_id(table: BronzeTable, checkpoint: Storage) -> str:
    """The checkpoint's id. Raises IngestError for a table that has rows of a checkpoint that is lost."""
    content = checkpoint.read(CHECKPOINT_ID)
    if content is None:
        if table.has_rows():
            raise IngestError(
                f"{checkpoint.uri} has no {CHECKPOINT_ID}, but {table.uri} holds rows: with the plans lost, every file "
                "would go in again. Restore the checkpoint folder, or move the table away to take in all files anew"
            )
        # Two processes may both come here: the one that is too late takes the other's id.
        checkpoint.put_if_absent(CHECKPOINT_ID, json.dumps({"id": str(uuid.uuid4())}).encode())
        content = checkpoint.read(CHECKPOINT_ID)
    try:
        return str(json.loads(content or b"")["id"])
    except (ValueError, KeyError, TypeError) as error:
        raise IngestError(f"{checkpoint.uri}/{CHECKPOINT_ID} is damaged: restore it from a backup") from error


def _unfinished(table: BronzeTable, plans: Plans, checkpoint: Storage) -> range:
    """The batches that are planned and not in the table."""
    last = table.last_batch()
    if last > plans.last:
        raise IngestError(
            f"{table.uri} holds batch {last}, but the newest plan in {checkpoint.uri} is {plans.last}: restore the "
            "checkpoint folder to its newest state, or files would go in twice"
        )
    return range(last + 1, plans.last + 1)


def _add(done: Ingested, more: Appended) -> Ingested:
    return replace(
        done,
        batches=done.batches + 1,
        files=done.files + more.files,
        records=done.records + more.records,
        unreadable=done.unreadable + more.unreadable,
    )
