"""Tables that somebody put back to an older version, behind the back of the job that writes them.

RESTORE takes rows away and keeps transaction ids: the job would go on after a gap that nobody sees.
"""

from lakehouse.errors import LakehouseError
from runtime.delta_log import Commit, DeltaLog
from runtime.lineage import read_lineage

RESTORE = "RESTORE"


class RestoredTableError(LakehouseError):
    """A table lacks rows that its job has written; the message says how to bring them back."""


def refuse_restored(log: DeltaLog) -> None:
    """Raises RestoredTableError for a table whose content is not what its job wrote last.

    A table that was restored and brought back, or restored to its job's last version, passes. So does one whose log no
    longer tells.
    """
    newest = log.newest()
    if newest is None:
        return
    written = _last_written(log, newest)
    if written is not None and _content(log, newest) != written:
        raise RestoredTableError(
            f"{log.uri} was restored to an older state, and its job would never write again what is gone: bring it "
            f"back with RESTORE TABLE delta.`{log.uri}` TO VERSION AS OF {written} (docs/operating.md)"
        )


def _last_written(log: DeltaLog, newest: int) -> int | None:
    """The newest version that a job wrote, whatever the table holds now."""
    version = newest
    while (commit := log.commit(version)) is not None:
        if _of_a_job(commit):
            return version
        version -= 1
    return None


def _content(log: DeltaLog, newest: int) -> int | None:
    """The newest version of a job whose rows the table holds, by following each RESTORE to where it led."""
    version = newest
    while (commit := log.commit(version)) is not None:
        if _of_a_job(commit):
            return version
        version = _restored_to(commit) if commit.operation == RESTORE else version - 1
    return None


def _of_a_job(commit: Commit) -> bool:
    return read_lineage(commit.metadata) is not None


def _restored_to(commit: Commit) -> int:
    """Restored to a time, a commit does not say to which version: taken for the one before everything."""
    told = commit.parameters.get("version")
    return int(told) if told is not None and told.lstrip("-").isdecimal() else -1
