"""Tables that somebody put back to an older version, behind the back of the job that writes them.

RESTORE takes rows away and keeps transaction ids: the job would go on after a gap that nobody sees.
"""

from lakehouse.errors import LakehouseError
from runtime.delta_log import Commit, DeltaLog
from runtime.lineage import read_lineage

RESTORE = "RESTORE"
# What makes a table, or empties it: nothing that was before counts any more.
MAKING = ("CREATE", "REPLACE")
# A job looks before it writes, so a RESTORE that it has not seen lies before no more than the last of its commits.
UNSEEN = 2
# A table's property: a person has put right what RESTOREs up to this version took away.
SETTLED = "lakehouse.settledRestores"


class RestoredTableError(LakehouseError):
    """A table lacks rows that its job has written; the message says how to bring them back."""


class Restores:
    """Looks whether a table still holds all that its job wrote: when the job starts, and before each batch."""

    def __init__(self, log: DeltaLog) -> None:
        self._log = log
        # Up to this version nothing is missing.
        self._good: int | None = None

    def refuse(self) -> None:
        """Raises RestoredTableError for a table that lacks what its job wrote. As long as nothing was written since the
        last time, this is one small read.

        A table that was restored and brought back, or restored to its job's last version, passes. So does one whose
        log no longer tells.
        """
        newest = self._newest()
        if newest is None:
            return
        good = _known_good(self._log, newest) if self._good is None else self._good
        lost = _lost(self._log, newest, newest, good)
        if lost:
            raise RestoredTableError(self._refusal(newest, good, lost))
        self._good = newest

    def _newest(self) -> int | None:
        """The newest version. A log of months is listed once only."""
        if self._good is None:
            return self._log.newest()
        newest = self._good
        while self._log.commit(newest + 1) is not None:
            newest += 1
        return newest

    def _refusal(self, newest: int, good: int, lost: list[int]) -> str:
        uri, last = self._log.uri, next(each for each in range(newest, -1, -1) if _written(self._log.commit(each)))
        told = f"{uri} was restored to an older state, and "
        if not _lost(self._log, newest, last, good):
            return (
                f"{told}its job would never write again what is gone: bring it back with RESTORE TABLE delta.`{uri}` "
                f"TO VERSION AS OF {last} (docs/operating.md)"
            )
        return (
            f"{told}written since: it lacks version {', '.join(map(str, lost))}. Start it over, or put in what that "
            f"version added and then ALTER TABLE delta.`{uri}` SET TBLPROPERTIES ('{SETTLED}' = '{newest}') "
            "(docs/operating.md)"
        )


def _known_good(log: DeltaLog, newest: int) -> int:
    """The version up to which an earlier process has looked, or a person has put things right; -1 for none."""
    left, settled, version = UNSEEN, -1, newest
    while version > settled and (commit := log.commit(version)) is not None:
        told = (commit.configuration or {}).get(SETTLED, "")
        settled = max(settled, int(told)) if told.isdecimal() else settled
        left -= _written(commit)
        if left == 0:
            return version
        version -= 1
    return settled


def _lost(log: DeltaLog, newest: int, content: int, good: int) -> list[int]:
    """What was written up to version `newest`, and is not in the rows of version `content`: versions, oldest first."""
    held, lowest = _held(log, content, good)
    lost: list[int] = []
    for version in range(newest, max(lowest, 0) - 1, -1):
        commit = log.commit(version)
        # What is at or below a good version is there, or gone, as a whole.
        if commit is None or (lost and version <= good):
            break
        if _written(commit) and version not in held:
            lost.append(version)
    return lost[::-1]


def _held(log: DeltaLog, content: int, good: int) -> tuple[set[int], int]:
    """What the rows of version `content` are made of, by following each RESTORE to where it led, and the version down
    to which that was followed: what they hold there has everything before it.
    """
    held: set[int] = set()
    version = content
    while version != good and (commit := log.commit(version)) is not None:
        if _written(commit):
            held.add(version)
            if version < good or commit.operation.startswith(MAKING):
                return held, version
        version = _restored_to(commit) if commit.operation == RESTORE else version - 1
    return held, version + 1 if version == good else version


def _written(commit: Commit | None) -> bool:
    """Whether the commit made the table, or is one of a job."""
    return commit is not None and (commit.operation.startswith(MAKING) or read_lineage(commit.metadata) is not None)


def _restored_to(commit: Commit) -> int:
    """Restored to a time, a commit does not say to which version: taken for the one before everything."""
    told = commit.parameters.get("version")
    return int(told) if told is not None and told.lstrip("-").isdecimal() else -1
