"""What is new in the landing area: the plans of a source's batches, which make each file go in exactly once.

A plan names the files of one batch and the version of each. It is written, once and for all, before the first byte is
read; so after a crash the same batch is read again, whatever has arrived since. A path that is in a plan is never
planned again.
"""

import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from batch.landing_area import LandingArea, LandingAreaError, LandingFile
from lakehouse.errors import LakehouseError
from runtime.storage import Storage

FOLDER = "files"
SNAPSHOT = ".snapshot.json.gz"
PLAN = ".json"
TICK = timedelta(microseconds=1)


class PlanError(LakehouseError):
    """The plans of a source are damaged, or another process writes them too."""


@dataclass(frozen=True)
class Bounds:
    """The most that one batch takes; a file that is larger goes in a batch of its own."""

    files: int = 1000
    bytes: int = 1024 * 1024 * 1024


class Look(NamedTuple):
    """What a look at the landing area found: `passed_over` counts what is no delivery, `refused` waits for somebody."""

    new: list[LandingFile]
    refused: list["Refusal | LandingAreaError"]
    passed_over: int


@dataclass(frozen=True)
class Refusal:
    """A file whose content is not the version that batch `batch` took in under its name."""

    known: LandingFile
    found: LandingFile
    batch: int

    def __str__(self) -> str:
        return (
            f"{self.found.record_path}: refused, for batch {self.batch} took {self.known.version} and now it is "
            f"{self.found.version}: deliver the correction under a new name"
        )


class Plans:
    """The plans of one source, kept in the `files` folder of its checkpoint.

    `<batch>.json` is a list of {path, size, etag, modified, delivered, digest, seen}, the last one the time of the look
    that found the file. Every `snapshot_every` batches `<batch>.snapshot.json.gz`
    takes them all together, each file with its batch, so that a start reads few objects; plans that two snapshots
    hold are removed.
    """

    def __init__(self, checkpoint: Storage, snapshot_every: int = 50) -> None:
        """Reads what is there. Raises PlanError for a plan that is missing or damaged."""
        self._storage = checkpoint
        self._snapshot_every = snapshot_every
        self._files: dict[str, tuple[LandingFile, int]] = {}
        self._seen: datetime | None = None
        self._looked: datetime | None = None
        self.last = -1
        """The newest batch that has a plan; -1 for none."""
        self._plans, self._snapshots = self._stored()
        if self._snapshots:
            self.last = self._snapshots[-1]
            for entry in self._content(f"{self.last}{SNAPSHOT}"):
                self._remember(entry, entry.get("batch"))
        for batch in self._plans:
            if batch <= self.last:
                continue
            if batch != self.last + 1:
                raise PlanError(f"{checkpoint.uri}/{FOLDER}/{self.last + 1}{PLAN} is missing: restore it from a backup")
            for entry in self._content(f"{batch}{PLAN}"):
                self._remember(entry, batch)
            self.last = batch

    def files_of(self, batch: int) -> list[LandingFile]:
        """The files that a batch's plan names, by path."""
        return [file for file, planned in self._files.values() if planned == batch]

    def look(self, area: LandingArea, source: str, now: datetime) -> Look:
        """What lies in the landing area now: new files in the order of their delivery, and what is no new file.

        A new file was not there at the look before, and is there now: that its delivery lies between is noted, once
        and for all, whatever the clock of the disk says. A known file that was touched, its bytes the same, is known.
        """
        listing = area.listing(source)
        new, changed = self.compare(listing.files)
        refused: list[Refusal | LandingAreaError] = [each for each in changed if not self._is_touched(each, area)]
        readable: list[LandingFile] = []
        for file in new:
            try:
                readable.append(replace(file, digest=area.digest(file)))
            except LandingAreaError as error:
                refused.append(error)
        self._looked = now
        return Look(self._delivered(readable, area, now), refused, listing.passed_over)

    def compare(self, listed: Iterable[LandingFile]) -> tuple[list[LandingFile], list[Refusal]]:
        """The files that are new, and those that are another version of a file that is planned already."""
        new, refused = [], []
        for file in listed:
            if file.path not in self._files:
                new.append(file)
                continue
            known, batch = self._files[file.path]
            if not known.same_content(file):
                refused.append(Refusal(known, file, batch))
        return new, refused

    def _is_touched(self, changed: Refusal, area: LandingArea) -> bool:
        known, found = changed.known, changed.found
        return bool(known.digest) and known.size == found.size and area.digest(found) == known.digest

    def _delivered(self, new: list[LandingFile], area: LandingArea, now: datetime) -> list[LandingFile]:
        """The files with the times of their delivery: none before the last look, none after this one."""
        earliest = self._seen
        if earliest is not None:
            # A bucket tells whole seconds.
            earliest = earliest.replace(microsecond=0) if area.is_bucket else earliest + TICK
        files: list[LandingFile] = []
        before = last = None
        for file in sorted(new, key=lambda each: (each.arrived_at, each.path)):
            delivered = min(file.arrived_at, now)
            if earliest is not None:
                delivered = max(delivered, earliest)
            if before is not None and last is not None and delivered <= last and file.arrived_at > before:
                delivered = last + TICK
            before, last = file.arrived_at, delivered
            files.append(replace(file, delivered=delivered))
        return files

    def add(self, files: Iterable[LandingFile]) -> int:
        """Writes the plan of the next batch and gives its number.

        Raises PlanError if another process has just written another plan. The same plan may be our own, whose answer
        was lost; were it another's, it would be the same batch under the same transaction, which goes in once.
        """
        batch = self.last + 1
        entries = [_entry(file, self._looked) for file in files]
        key, content = f"{FOLDER}/{batch}{PLAN}", _to_bytes(entries)
        if not self._storage.put_if_absent(key, content) and self._storage.read(key) != content:
            raise PlanError(
                f"another process wrote {self._storage.uri}/{key}: only one may take in a source at a "
                "time; wait for it to end and run this again"
            )
        for entry in entries:
            self._remember(entry, batch)
        self.last = batch
        self._plans.append(batch)
        if (batch + 1) % self._snapshot_every == 0:
            self._compact()
        return batch

    def _compact(self) -> None:
        """1 Write the snapshot. 2 Remove what the snapshot before it held too, so that one more can be lost."""
        # 1
        entries = [_entry(file, self._seen) | {"batch": batch} for file, batch in self._files.values()]
        content = gzip.compress(_to_bytes(entries), mtime=0)
        self._storage.put_if_absent(f"{FOLDER}/{self.last}{SNAPSHOT}", content)
        # 2
        if self._snapshots:
            before = self._snapshots[-1]
            for batch in [each for each in self._plans if each <= before]:
                self._storage.delete(f"{FOLDER}/{batch}{PLAN}")
                self._plans.remove(batch)
            for batch in self._snapshots[:-1]:
                self._storage.delete(f"{FOLDER}/{batch}{SNAPSHOT}")
            self._snapshots = [before]
        self._snapshots.append(self.last)

    def _stored(self) -> tuple[list[int], list[int]]:
        """The batches of the plans and of the snapshots that are there."""
        plans: list[int] = []
        snapshots: list[int] = []
        for stored in self._storage.list(FOLDER):
            name = stored.key.rpartition("/")[2]
            number, dot, suffix = name.partition(".")
            if number.isdecimal() and dot + suffix in (PLAN, SNAPSHOT):
                (plans if dot + suffix == PLAN else snapshots).append(int(number))
        return sorted(plans), sorted(snapshots)

    def _content(self, name: str) -> Iterator[Any]:
        content = self._storage.read(f"{FOLDER}/{name}")
        try:
            content = gzip.decompress(content or b"") if name.endswith(".gz") else content
            yield from json.loads(content or b"")
        except (ValueError, TypeError, EOFError, OSError) as error:
            raise PlanError(
                f"{self._storage.uri}/{FOLDER}/{name} is damaged ({error}): restore it from a backup"
            ) from error

    def _remember(self, entry: Any, batch: Any) -> None:
        try:
            modified = datetime.fromisoformat(entry["modified"])
            delivered = datetime.fromisoformat(entry["delivered"]) if "delivered" in entry else None
            digest = str(entry.get("digest", ""))
            file = LandingFile(str(entry["path"]), int(entry["size"]), str(entry["etag"]), modified, delivered, digest)
            self._files[file.path] = file, int(batch)
            if "seen" in entry:
                # Files that the disk's clock puts into the future stand a tick apart, behind the time of the look.
                seen = max(datetime.fromisoformat(entry["seen"]), file.arrived_at)
                self._seen = seen if self._seen is None else max(self._seen, seen)
        except (KeyError, TypeError, ValueError) as error:
            raise PlanError(
                f"{self._storage.uri}/{FOLDER} holds an entry that is no file ({entry!r}): restore it from a backup"
            ) from error


def in_batches(files: Iterable[LandingFile], bounds: Bounds) -> Iterator[list[LandingFile]]:
    """The files in their order, cut into batches within the bounds; every batch has at least one."""
    batch: list[LandingFile] = []
    size = 0
    for file in files:
        if batch and (len(batch) >= bounds.files or size + file.size > bounds.bytes):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch


def _entry(file: LandingFile, seen: datetime | None) -> dict[str, Any]:
    entry = {"path": file.path, "size": file.size, "etag": file.etag, "modified": file.modified.isoformat()}
    if file.delivered is not None:
        entry["delivered"] = file.delivered.isoformat()
    if file.digest:
        entry["digest"] = file.digest
    if seen is not None:
        entry["seen"] = seen.isoformat()
    return entry


def _to_bytes(entries: list[dict[str, Any]]) -> bytes:
    # ASCII only: a name that is no UTF-8 has half surrogates, which are kept as escapes.
    return json.dumps(entries).encode()
