"""What an owner does for its tables between batches: few files, and what Redshift Spectrum reads."""

import time
from collections.abc import Sequence

from lakehouse.contracts import Contract
from lakehouse.delta.table import OwnedTable
from lakehouse.settings import Settings
from runtime.compaction import compact
from runtime.manifests import CataloguedPartitions, write_manifests

# How often what no reader needs any more is taken out of a table's log.
CLEANING_SECONDS = 3600.0


class Upkeep:
    """Compacts the tables of one owner once in so many of its batches, in short steps."""

    def __init__(self, settings: Settings, tables: Sequence[OwnedTable], contract: Contract | None = None) -> None:
        """With the `contract` of the first table its manifests are kept too, if the settings ask for them."""
        self._every = settings.compact_batches
        self._tables = tables
        self._manifests = settings.symlink_manifests and contract is not None
        self._partitions = CataloguedPartitions.of(settings, contract, tables[0].uri) if contract else None
        if self._partitions is not None:
            # A job that died after it wrote manifests has told the catalog nothing.
            self._partitions.update()
        self._seen = [table.version for table in tables]
        self._cleaned_at = time.monotonic()

    def run(self) -> bool:
        """Whether any table was compacted: those were that had `compact_batches` commits since the last time."""
        if not self._every:
            return False
        due = [number for number, table in enumerate(self._tables) if table.version - self._seen[number] >= self._every]
        for number in due:
            compact(self._tables[number])
            self._seen[number] = self._tables[number].version
        if due and time.monotonic() - self._cleaned_at > CLEANING_SECONDS:
            self._cleaned_at = time.monotonic()
            for table in self._tables:
                table.clean_log()
        if 0 in due and self._manifests:
            write_manifests(self._tables[0])
            self._seen[0] = self._tables[0].version
        if 0 in due and self._partitions is not None:
            self._partitions.update()
        return bool(due)
