"""Where rows came from: the JSON that every commit of ours carries, and the walk from a commit back to its sources.

`Lineage` is that JSON as a value: jobs write `to_json()` into a commit's userMetadata, `read_lineage` takes it out.
`trace` follows table inputs through the logs of their tables down to Kinesis sequence numbers and landing files. No
Spark, no data files.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lakehouse.errors import LakehouseError
from runtime.delta_log import Commit, DeltaLog


@dataclass(frozen=True)
class TableInput:
    """The versions `first` to `last` (both included) of a table, whose changes the commit took in."""

    table: str
    first: int
    last: int

    def to_json(self) -> dict[str, Any]:
        """The input as the commit's JSON spells it."""
        return {"table": self.table, "from_version": self.first, "to_version": self.last}


@dataclass(frozen=True)
class ShardInput:
    """The records of a Kinesis shard from sequence number `first` to `last`, both included."""

    stream: str
    shard: str
    first: str
    last: str
    records: int

    def to_json(self) -> dict[str, Any]:
        """The input as the commit's JSON spells it."""
        return {
            "stream": self.stream,
            "shard": self.shard,
            "from": self.first,
            "to": self.last,
            "records": self.records,
        }


@dataclass(frozen=True)
class FileInput:
    """A landing file, by its path, with the `size` in bytes and the entity tag it had when it was read."""

    file: str
    records: int
    size: int
    etag: str

    def to_json(self) -> dict[str, Any]:
        """The input as the commit's JSON spells it."""
        return {"file": self.file, "records": self.records, "size": self.size, "etag": self.etag}


Input = TableInput | ShardInput | FileInput


@dataclass(frozen=True)
class Counts:
    """What became of a commit's records. `read` is `in` in JSON; `rejected` has a number for each rule."""

    read: int = 0
    valid: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    duplicate: int = 0
    inserted: int = 0
    updated: int = 0

    def to_json(self) -> dict[str, Any]:
        """The counts as the commit's JSON spells them."""
        return {
            "in": self.read,
            "valid": self.valid,
            "rejected": dict(self.rejected),
            "duplicate": self.duplicate,
            "inserted": self.inserted,
            "updated": self.updated,
        }


@dataclass(frozen=True)
class Lineage:
    """What one commit of ours says of its making. `drift` counts the fields that no contract declares; `gaps` tells in
    words which records may have been lost on the way.
    """

    job: str
    query: str
    batch: int
    code: str
    contract: str
    inputs: tuple[Input, ...] = ()
    counts: Counts = Counts()
    drift: Mapping[str, int] = field(default_factory=dict)
    gaps: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The text for a commit's userMetadata."""
        content = {
            "job": self.job,
            "query": self.query,
            "batch": self.batch,
            "code": self.code,
            "contract": self.contract,
            "inputs": [each.to_json() for each in self.inputs],
            "counts": self.counts.to_json(),
            "drift": dict(self.drift),
        }
        return json.dumps(content | ({"gaps": list(self.gaps)} if self.gaps else {}))


@dataclass(frozen=True)
class TracedCommit:
    """One commit in a walk: `commit` is None when its entry is gone, `lineage` when somebody else wrote it."""

    table: str
    version: int
    commit: Commit | None
    lineage: Lineage | None
    sources: tuple["Source", ...] = ()


@dataclass(frozen=True)
class TracedTable:
    """A table input with its commits, newest first; `omitted` more were left out, `seen` says they stand above."""

    input: TableInput
    commits: tuple[TracedCommit, ...] = ()
    omitted: int = 0
    seen: bool = False


Source = TracedTable | ShardInput | FileInput


def read_lineage(metadata: str | None) -> Lineage | None:
    """The lineage in a commit's userMetadata; None when the text is not one of ours. Unknown fields are ignored."""
    try:
        found = json.loads(metadata or "null")
        if not isinstance(found, dict) or "job" not in found or "inputs" not in found:
            return None
        return Lineage(
            job=str(found["job"]),
            query=str(found.get("query", "")),
            batch=int(found.get("batch") or 0),
            code=str(found.get("code", "")),
            contract=str(found.get("contract", "")),
            inputs=tuple(_input(each) for each in found["inputs"]),
            counts=_counts(found.get("counts") or {}),
            drift={str(name): int(number) for name, number in (found.get("drift") or {}).items()},
            gaps=tuple(str(gap) for gap in found.get("gaps") or ()),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _input(found: Mapping[str, Any]) -> Input:
    if "table" in found:
        return TableInput(str(found["table"]), int(found["from_version"]), int(found["to_version"]))
    if "stream" in found:
        return ShardInput(
            str(found["stream"]),
            str(found["shard"]),
            str(found["from"]),
            str(found["to"]),
            int(found["records"]),
        )
    return FileInput(
        str(found["file"]), int(found["records"]), int(found.get("size") or 0), str(found.get("etag") or "")
    )


def _counts(found: Mapping[str, Any]) -> Counts:
    return Counts(
        read=int(found.get("in") or 0),
        valid=int(found.get("valid") or 0),
        rejected={str(rule): int(number) for rule, number in (found.get("rejected") or {}).items()},
        duplicate=int(found.get("duplicate") or 0),
        inserted=int(found.get("inserted") or 0),
        updated=int(found.get("updated") or 0),
    )


class Tracer:
    """Walks commits of one lake back to their sources."""

    def __init__(self, log: Callable[[str], DeltaLog], limit: int = 0) -> None:
        """`log` gives the log of a table; `limit` is the most commits shown of one input, the newest; 0 shows all."""
        self._log = log
        self._limit = limit

    def trace(self, table: str, version: int) -> TracedCommit:
        """The commit with all that led to it. A table's commits that already stand in the walk are not repeated."""
        return self._trace(table, version, set())

    def _trace(self, table: str, version: int, seen: set[tuple[str, int]]) -> TracedCommit:
        seen.add((table, version))
        commit = self._log(table).commit(version)
        lineage = read_lineage(commit.metadata) if commit else None
        sources = tuple(self._source(each, seen) for each in lineage.inputs) if lineage else ()
        return TracedCommit(table, version, commit, lineage, sources)

    def _source(self, found: Input, seen: set[tuple[str, int]]) -> Source:
        if not isinstance(found, TableInput):
            return found
        try:
            newest = self._log(found.table).newest()
        except LakehouseError:  # its name is none of a lake's: shown as it is
            return TracedTable(found)
        last = found.last if newest is None else min(found.last, newest)
        versions = [each for each in range(last, found.first - 1, -1) if (found.table, each) not in seen]
        shown = versions[: self._limit] if self._limit else versions
        commits = tuple(self._trace(found.table, each, seen) for each in shown)
        return TracedTable(found, commits, len(versions) - len(shown), seen=not versions)


def starting_point(log: DeltaLog, version: int | None) -> tuple[int, list[Commit]]:
    """The version to trace: the one asked for, else the newest that carries lineage and the foreign ones after it.

    When no commit carries lineage it is the newest. Raises LakehouseError where the table or the version is not there.
    """
    newest = log.newest()
    if newest is None:
        raise LakehouseError(f"there is no table {log.name} at {log.uri}")
    if version is not None:
        if not 0 <= version <= newest:
            raise LakehouseError(f"{log.name} has no version {version}: its newest is {newest}")
        return version, []
    foreign: list[Commit] = []
    for each in range(newest, -1, -1):
        commit = log.commit(each)
        if commit is None:
            break
        if read_lineage(commit.metadata) is not None:
            return each, foreign
        foreign.append(commit)
    return newest, []
