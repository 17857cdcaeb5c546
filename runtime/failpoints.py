"""Points at which a job can be made to die by SIGKILL, for the tests that prove that it may die anywhere.

`LAKEHOUSE_DIE_AT=silver.after_rejected` kills the job with its JVM and its Python workers when it comes there;
`silver.after_rejected@3` at the third time. This file is the one place that reads the variable; without it a point
is an empty function.
"""

import os
import signal
from typing import NoReturn

import psutil

from lakehouse.errors import LakehouseError

VARIABLE = "LAKEHOUSE_DIE_AT"
# The process whose family dies; Python workers of Spark inherit it from the driver.
DRIVER = "LAKEHOUSE_DIE_WITH"

POINTS = {
    "kinesis.planned": "an epoch is planned, Spark's offset log does not have it yet",
    "ledger.before_write": "a shard is read, nobody has written down what",
    "ledger.after_write": "the ledger says what was read, no row is in bronze",
    "bronze.started": "Spark's offset log has the batch, nothing is read",
    "bronze.before_commit": "Spark's offset log has the batch, bronze does not",
    "bronze.after_commit": "bronze has the batch, Spark's commit log does not",
    "bronze.done": "the batch is over, compaction too, Spark's commit log does not have it",
    "kinesis.committed": "Spark's commit log has the batch",
    "files.before_commit": "files are read, bronze does not have them",
    "files.after_commit": "bronze has the files, the plan of the batch is still there",
    "silver.started": "bronze has what silver has not, nothing is computed",
    "silver.before_rejected": "everything is computed, nothing is written",
    "silver.after_rejected": "rejected has the batch's rows, silver does not",
    "silver.after_merge": "silver has the batch, nobody was told",
    "silver.done": "the batch is over, compaction too, nobody was told",
    "silver.before_manifest": "silver is compacted, its manifests name older files",
    "silver.after_manifest": "silver's manifests are new, the catalog has not heard of new partitions",
    "gold.replaced": "a gold table is built anew, its fingerprint does not say so yet",
    "gold.started": "silver has what gold has not, nothing is computed",
    "gold.before_merge": "the batch's sums are computed, gold does not have them",
    "gold.after_merge": "gold has the batch, its manifests do not",
    "gold.done": "the batch is over, its manifests are written",
    "gold.before_manifest": "gold has no manifest yet",
    "maintenance.before_compaction": "small files are chosen, none is rewritten",
    "maintenance.after_compaction": "small files are rewritten, the old ones are not removed",
}


class UnknownPointError(LakehouseError):
    """The variable names a point that does not exist."""


class Trap:
    """Kills the job at the n-th passing of one point."""

    def __init__(self, wanted: str) -> None:
        """`wanted` is a point's name, with `@n` for the n-th passing. Raises UnknownPointError for another name."""
        self._name, _, times = wanted.partition("@")
        if self._name not in POINTS or not (times or "1").isdecimal():
            raise UnknownPointError(
                f"{VARIABLE}={wanted}: write one of {', '.join(POINTS)}, and @n for the n-th passing"
            )
        self._left = int(times or "1")
        os.environ.setdefault(DRIVER, str(os.getpid()))

    def passed(self, name: str) -> None:
        """Dies if this is the point, and its time has come."""
        if name == self._name:
            self._left -= 1
            if self._left == 0:
                die()


def die() -> NoReturn:
    """Kills the driver and everything that it started, at once and without warning."""
    driver = psutil.Process(int(os.environ.get(DRIVER, os.getpid())))
    own = os.getpid()
    for process in [driver, *driver.children(recursive=True)]:
        if process.pid != own:
            process.kill()
    os.kill(own, signal.SIGKILL)
    raise AssertionError("a process does not survive SIGKILL")


def _nothing(name: str) -> None:
    """What a point does when nobody has to die."""


failpoint = Trap(os.environ[VARIABLE]).passed if os.environ.get(VARIABLE) else _nothing
