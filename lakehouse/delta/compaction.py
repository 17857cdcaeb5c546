"""Small files of a table into few, a bite at a time: readers and commits cost by the number of files.

Files are merged by tiers of size, each some times larger than the one before: a row is rewritten once for each tier,
not with every compaction. Rows stay what they are, so a commit of it changes no data and nobody downstream sees it.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from lakehouse.delta.data_files import write_files
from lakehouse.delta.log import Action
from lakehouse.delta.replace import remove_action
from lakehouse.delta.rows import live_rows
from lakehouse.delta.snapshot import DataFile
from lakehouse.delta.store import TableStore

# Up to here a file is of the first tier; each further one is so many times larger.
FIRST_TIER_BYTES, TIERS_APART = 64 * 1024, 8
# So many files of one tier are merged, or fewer once nothing more comes to their partition.
FILES_OF_TIER = 8
QUIET_SECONDS = 3600.0
# A file with a larger share of deleted rows is written anew without them.
MOST_DELETED = 0.2
# What one compaction reads at most, unless a single merge is more: about a second of one core.
BITE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Merge:
    """Files of one partition that become one."""

    files: Sequence[DataFile]

    @property
    def size(self) -> int:
        """Bytes to be read."""
        return sum(each.size for each in self.files)


def merges(
    files: Iterable[DataFile], target_bytes: int, most_bytes: int = BITE_BYTES, most_deleted: float = MOST_DELETED
) -> list[Merge]:
    """What to merge now, oldest first, `most_bytes` in all but one merge at least. Files of `target_bytes` are not."""
    by_partition: dict[tuple[tuple[str, str | None], ...], list[DataFile]] = {}
    for file in files:
        key = tuple((name, value or None) for name, value in sorted(file.partition_values.items()))
        by_partition.setdefault(key, []).append(file)
    now = time.time() * 1000
    wanted = [
        merge
        for of_partition in by_partition.values()
        for merge in _of_partition(
            sorted(of_partition, key=lambda each: each.modified), target_bytes, most_deleted, now
        )
    ]
    chosen: list[Merge] = []
    for merge in sorted(wanted, key=lambda each: each.files[0].modified):
        if chosen and sum(each.size for each in chosen) + merge.size > most_bytes:
            break
        chosen.append(merge)
    return chosen


def merged(
    store: TableStore,
    chosen: Sequence[Merge],
    schema: pa.Schema,
    partitions: Sequence[str],
    sort_by: Sequence[str] = (),
) -> list[Action]:
    """Writes the merged files, their rows in order of `sort_by`; the actions put them in place of those they are of."""
    actions: list[Action] = []
    for merge in chosen:
        rows = pa.concat_tables(store.each(lambda file: live_rows(store, file, schema, partitions), merge.files))
        if sort_by:
            rows = rows.sort_by([(name, "ascending") for name in sort_by])
        actions += [remove_action(file, data_change=False) for file in merge.files]
        actions += write_files(store, rows, partitions, compress=True, data_change=False)
    return actions


def _of_partition(files: Sequence[DataFile], target_bytes: int, most_deleted: float, now: float) -> list[Merge]:
    """The merges of a partition's files, which come oldest first."""
    small = [each for each in files if each.size < target_bytes // 2]
    quiet = bool(small) and now - small[-1].modified > QUIET_SECONDS * 1000
    tiers: dict[int, list[DataFile]] = {}
    for file in small:
        tiers.setdefault(_tier(file.size), []).append(file)
    full = [tier for tier, of_tier in tiers.items() if len(of_tier) >= FILES_OF_TIER]
    highest = max(tiers) if quiet and len(small) > 1 else max(full, default=-1)
    found = [Merge(some) for some in _parts([each for each in small if _tier(each.size) <= highest], target_bytes)]
    taken = {each.path for merge in found for each in merge.files}
    return found + [Merge([each]) for each in files if each.path not in taken and _share(each) > most_deleted]


def _parts(files: Sequence[DataFile], target_bytes: int) -> list[list[DataFile]]:
    """The files in rows of about `target_bytes`, those of a single file left out."""
    parts: list[list[DataFile]] = []
    size = target_bytes
    for file in files:
        if size >= target_bytes:
            parts.append([])
            size = 0
        parts[-1].append(file)
        size += file.size
    return [part for part in parts if len(part) > 1]


def _tier(size: int) -> int:
    tier = 0
    while size > FIRST_TIER_BYTES:
        size //= TIERS_APART
        tier += 1
    return tier


def _share(file: DataFile) -> float:
    return file.deleted / file.rows if file.rows else float(file.deleted > 0)
