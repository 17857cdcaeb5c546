"""The log of a table that another query writes, read version by version: which rows came, and which went.

Nothing is written here, and no place in the log is remembered but by the caller, who commits it with what it made of
the rows.
"""

import itertools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from lakehouse.delta.deletion_vectors import read_vector
from lakehouse.delta.log import Action, AlteredTableError, of_kind, read_actions, version_key, versions_after
from lakehouse.delta.rows import live_rows, rows_at
from lakehouse.delta.schema import arrow_schema
from lakehouse.delta.snapshot import DataFile, MissingTableError, Snapshot
from lakehouse.delta.store import TableStore
from lakehouse.errors import LakehouseError

__all__ = ["AlteredTableError", "Bite", "LogGoneError", "MissingTableError", "TableLog"]

SIGN = "_sign"
# Of change data that Spark wrote; the images of an update come in pairs.
_SIGN_OF = {"insert": 1, "update_postimage": 1, "delete": -1, "update_preimage": -1}
_CHANGE = "_change_type"
# Versions whose actions are kept, and read at once: a follower that is far behind would wait for each by itself.
MOST_AT_ONCE = 16
MOST_KEPT = 64
# How often it is looked whether the newest version is still there: a table may be deleted under a follower.
SECONDS_BETWEEN_LOOKS = 10.0


class LogGoneError(LakehouseError):
    """Versions that were not yet taken in are no longer in a table's log; the message says which, and what to do."""


@dataclass(frozen=True)
class Bite:
    """What the versions `first` to `last`, both included, did to a table: rows added, or signed rows."""

    first: int
    last: int
    rows: pa.Table


@dataclass(frozen=True)
class _Part:
    """Rows of one file: `deleted_before` and `deleted` are its vectors, of which the difference counts."""

    file: DataFile
    sign: int
    deleted_before: Mapping[str, Any] | None = None
    is_change_data: bool = False
    only_vector: bool = False


class TableLog:
    """Follows the log of one table that another query writes. Not safe between threads."""

    def __init__(self, uri: str, options: Mapping[str, str] | None = None) -> None:
        """Raises MissingTableError where no table is yet."""
        self.uri = uri
        self._store = TableStore(uri, options)
        snapshot = Snapshot.load(self._store)
        snapshot.refuse_unreadable()
        self._newest = snapshot.version
        self._metadata = snapshot.metadata
        self._schema = snapshot.schema
        self._kept: dict[int, list[Action]] = {}
        self._looked = time.monotonic()

    @property
    def id(self) -> str:
        """What tells this table from another that was made in its place."""
        return str(self._metadata["id"])

    @property
    def schema(self) -> pa.Schema:
        """The table's columns as of the newest version that was seen."""
        return self._schema

    def newest(self) -> int:
        """The newest version: one small read when there is nothing new. Raises AlteredTableError, LogGoneError."""
        width = 1
        while found := self._read(range(self._newest + 1, self._newest + 1 + width)):
            for version, actions in found:
                self._take_metadata(version, actions)
                self._newest = version
            width = min(2 * width, MOST_AT_ONCE)
        if time.monotonic() - self._looked > SECONDS_BETWEEN_LOOKS:
            if not self._store.exists(version_key(self._newest)):
                self._refuse_missing(self._newest)
            self._looked = time.monotonic()
        return self._newest

    def added(self, after: int, most_bytes: int) -> Bite | None:
        """The rows of the versions after `after`, at least one version, then until their files have `most_bytes`; None
        where there is none. With `after` -1 and a log that no longer begins at 0 all rows as of the newest version.

        For tables that only grow: raises AlteredTableError where rows went, LogGoneError where versions are missing.
        """
        return self._bite(after, most_bytes, self._added_by, signed=False)

    def changed(self, after: int, most_bytes: int) -> Bite | None:
        """As `added`, for tables whose rows also go: all rows that came or went, with `_sign` 1 or -1."""
        return self._bite(after, most_bytes, self._changed_by, signed=True)

    def _bite(self, after: int, most_bytes: int, parts_of: Any, signed: bool) -> Bite | None:
        newest = self.newest()
        if after > newest:
            raise AlteredTableError(
                f"{self.uri} ends at version {newest}, but version {after} of it was taken in: somebody made it anew "
                "or put an old copy in its place; bring it back, or build what is made of it anew (docs/operating.md)"
            )
        if after == newest:
            return None
        if after == -1 and not self._actions_of(0, newest):
            return self._whole(newest, signed)
        parts: list[_Part] = []
        size, last = 0, after
        while last < newest and (last == after or size < most_bytes):
            found = parts_of(last + 1, self._actions_of(last + 1, newest))
            parts += found
            size += sum(each.file.size for each in found)
            last += 1
        return Bite(after + 1, last, self._rows(parts, signed))

    def _whole(self, newest: int, signed: bool) -> Bite:
        snapshot = Snapshot.load(self._store)
        parts = [_Part(file, 1) for file in snapshot.files.values()]
        self._newest, self._metadata, self._schema = snapshot.version, snapshot.metadata, snapshot.schema
        return Bite(0, max(newest, snapshot.version), self._rows(parts, signed))

    def _added_by(self, version: int, actions: Sequence[Action]) -> list[_Part]:
        self._refuse_restored(version, actions)
        if any(each.get("dataChange") for each in of_kind(actions, "remove")):
            raise AlteredTableError(
                f"{self.uri}: version {version} took rows away, which only grows otherwise ({_written_by(actions)}): "
                f"bring them back with RESTORE TABLE delta.`{self.uri}` TO VERSION AS OF {version - 1}, or build what "
                "is made of this table anew (docs/operating.md)"
            )
        return [_Part(DataFile.of(each), 1) for each in of_kind(actions, "add") if each.get("dataChange")]

    def _changed_by(self, version: int, actions: Sequence[Action]) -> list[_Part]:
        """By the protocol, change data tells all of a version if there is any; else the files that came and went do."""
        self._refuse_restored(version, actions)
        if changes := of_kind(actions, "cdc"):
            return [_Part(DataFile.of(each), 0, is_change_data=True) for each in changes]
        added = _by_key(of_kind(actions, "add"))
        removed = _by_key(of_kind(actions, "remove"))
        parts = [_Part(file, 1) for key, file in added.items() if key not in removed]
        parts += [_Part(file, -1) for key, file in removed.items() if key not in added]
        return parts + [
            _Part(added[key], -1, file.deletion_vector, only_vector=True)
            for key, file in removed.items()
            if key in added
        ]

    def _rows(self, parts: Sequence[_Part], signed: bool) -> pa.Table:
        whole = self._schema.append(pa.field(SIGN, pa.int8())) if signed else self._schema
        tables = [table for some in self._store.each(self._rows_of, parts) for table in some]
        named = [table if signed else table.drop_columns([SIGN]) for table in tables if len(table)]
        return pa.concat_tables([whole.empty_table(), *named]).combine_chunks()

    def _rows_of(self, part: _Part) -> list[pa.Table]:
        partitions = self._metadata["partitionColumns"]
        try:
            if part.is_change_data:
                wider = self._schema.append(pa.field(_CHANGE, pa.string()))
                rows = live_rows(self._store, part.file, wider, partitions)
                signs = [_SIGN_OF[str(each)] for each in rows[_CHANGE].to_pylist()]
                return [rows.drop_columns([_CHANGE]).append_column(SIGN, pa.array(signs, pa.int8()))]
            if not part.only_vector:
                return [_signed(live_rows(self._store, part.file, self._schema, partitions), part.sign)]
            before = read_vector(self._store, part.deleted_before)
            after = read_vector(self._store, part.file.deletion_vector)
            return [
                _signed(rows_at(self._store, part.file, positions, self._schema, partitions), sign)
                for positions, sign in ((after - before, -1), (before - after, 1))
                if positions
            ]
        except FileNotFoundError as error:
            raise LogGoneError(
                f"{self.uri}: {part.file.path} is gone, but was not yet taken in: VACUUM removed it, or somebody did; "
                "build what is made of this table anew (docs/operating.md)"
            ) from error

    def _actions_of(self, version: int, newest: int) -> list[Action]:
        """The actions of a version, those of the next read along with it. Empty for version 0 that is cleaned away."""
        if version not in self._kept:
            self._read(range(version, min(version + MOST_AT_ONCE, newest + 1)))
        if version in self._kept:
            return self._kept[version]
        if version == 0:
            return []
        return self._refuse_missing(version)

    def _read(self, versions: Sequence[int]) -> list[tuple[int, list[Action]]]:
        """The versions of a row that are there, up to the first that is not."""
        asked = [version for version in versions if version not in self._kept]
        answers = self._store.each(lambda version: read_actions(self._store, version), asked)
        self._kept |= {version: actions for version, actions in zip(asked, answers, strict=True) if actions is not None}
        there = list(itertools.takewhile(self._kept.__contains__, versions))
        found = [(version, self._kept[version]) for version in there]
        while len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        return found

    def _take_metadata(self, version: int, actions: Sequence[Action]) -> None:
        for metadata in of_kind(actions, "metaData"):
            if metadata["id"] != self.id:
                raise AlteredTableError(
                    f"{self.uri}: version {version} made another table of it ({_written_by(actions)}): bring it back "
                    f"with RESTORE TABLE delta.`{self.uri}` TO VERSION AS OF {version - 1}, or build what is made of "
                    "this table anew (docs/operating.md)"
                )
            self._metadata = metadata
            self._schema = arrow_schema(metadata["schemaString"])

    def _refuse_restored(self, version: int, actions: Sequence[Action]) -> None:
        if any(each.get("operation") == "RESTORE" for each in of_kind(actions, "commitInfo")):
            raise AlteredTableError(
                f"{self.uri}: version {version} restored an older state ({_written_by(actions)}): bring it back with "
                f"RESTORE TABLE delta.`{self.uri}` TO VERSION AS OF {version - 1}, and build what is made of this "
                "table anew (docs/operating.md)"
            )

    def _refuse_missing(self, version: int) -> list[Action]:
        there = versions_after(self._store, -1)
        later = [each for each in there if each > version]
        if not later:
            raise LogGoneError(
                f"{self.uri}: its version {version} is gone, and nothing is after it: the table is deleted"
            )
        raise LogGoneError(
            f"{self.uri}: version {version} is gone from its log, which begins at {later[0]}, and was not yet taken in:"
            " the log was cleaned before its reader came; build what is made of this table anew (docs/operating.md)"
        )


def _by_key(actions: Sequence[Mapping[str, Any]]) -> dict[str, DataFile]:
    """Files that a commit's actions say came or went, but for those that only moved rows."""
    return {file.key: file for each in actions if each.get("dataChange") for file in [DataFile.of(each)]}


def _signed(rows: pa.Table, sign: int) -> pa.Table:
    return rows.append_column(pa.field(SIGN, pa.int8()), pa.repeat(pa.scalar(sign, pa.int8()), len(rows)))


def _written_by(actions: Sequence[Action]) -> str:
    """Who a commit says that it is of, for a message."""
    info = next(iter(of_kind(actions, "commitInfo")), {})
    told = [f"operation {info.get('operation', 'unknown')}", f"by {info.get('engineInfo', 'an unknown engine')}"]
    if job := _job(info.get("userMetadata")):
        told.append(f"job {job}")
    return ", ".join(told)


def _job(metadata: object) -> str | None:
    try:
        found = json.loads(metadata) if isinstance(metadata, str) else None
    except ValueError:
        return None
    return str(found["job"]) if isinstance(found, dict) and "job" in found else None
