"""How far a silver table had come that the release before this one wrote: that stood in its query's checkpoint.

Nothing is written there any more. Once silver has a commit of this release, the checkpoint is not looked at again.
"""

from dataclasses import dataclass

from lakehouse.delta.table import OwnedTable
from runtime import checkpoints
from runtime.storage import Storage


@dataclass(frozen=True)
class Progress:
    """`taken`: the last version of bronze that was taken in whole (-1: none). `partly`: some of the next one's records
    may be in too. `left_over`: the tag that an unfinished batch's rows have in rejected.
    """

    taken: int = -1
    partly: bool = False
    left_over: str | None = None


def earlier_progress(folder: str, bronze_id: str, silver: OwnedTable, name: str) -> Progress | None:
    """What the checkpoint at `folder` tells of `name`, such as `silver.validated_pos`; None where there is none, or it
    is of another bronze table. Raises CheckpointError for a damaged one.

    A batch that was planned and not noted as finished has happened if silver has its commit, and else not.
    """
    checkpoint = Storage.open(folder)
    if checkpoint.read("metadata") is None:
        return None
    found, identity = checkpoints.progress(checkpoint), checkpoints.checkpoint_id(checkpoint)
    committed = silver.transaction(f"{identity}:{name}")
    done = found.planned if committed is not None and committed >= found.planned else found.finished
    left_over = f"{identity}:{found.planned}" if found.planned > done else None
    offsets = checkpoints.batch_offsets(checkpoint, done)
    if not offsets or offsets[0] is None:
        return Progress(-1, left_over=left_over)
    offset = offsets[0]
    if offset["reservoirId"] != bronze_id:
        return None
    partly = int(offset["index"]) >= 0
    return Progress(int(offset["reservoirVersion"]) - 1, partly, left_over)
