"""A Delta table as of one version: columns, properties, how far its writers have come, and its data files."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.delta.log import (
    LAST_CHECKPOINT,
    Action,
    UnreadableLogError,
    last_checkpoint,
    of_kind,
    read_actions,
    version_key,
    versions_after,
)
from lakehouse.delta.schema import arrow_schema
from lakehouse.delta.store import TableStore
from lakehouse.errors import LakehouseError

# What a table may use to be written here. Of the others each would have to be kept by us, and none is in use.
_KNOWN_FEATURES = {"appendOnly", "invariants", "deletionVectors", "changeDataFeed", "vacuumProtocolCheck"}
# What the writer versions without a list of features stand for. Of these, only constraints would have to be kept.
_LEGACY_FEATURES = {
    1: [],
    2: ["appendOnly", "invariants"],
    3: ["appendOnly", "invariants", "checkConstraints"],
    4: ["appendOnly", "invariants", "checkConstraints", "changeDataFeed", "generatedColumns"],
}
_MAPPING_READER = 2
_FEATURE_READER, _FEATURE_WRITER = 3, 7
# What a property asks of every writer, and some of it of readers.
_FEATURE_OF = {"delta.enableDeletionVectors": "deletionVectors", "delta.enableChangeDataFeed": "changeDataFeed"}
_READER_FEATURES = {"deletionVectors"}
_CHECKPOINT_COLUMNS = ["add", "txn", "metaData", "protocol"]


def is_table(store: TableStore) -> bool:
    """Whether there is a Delta table. The whole log is only listed where neither of its usual marks is there."""
    return store.exists(version_key(0)) or store.exists(LAST_CHECKPOINT) or bool(versions_after(store, -1))


class MissingTableError(LakehouseError):
    """There is no Delta table at an address."""


@dataclass(frozen=True)
class DataFile:
    """A live file of a table: what the log's `add` says of it. `path` is as it stands in the log, URL-encoded."""

    path: str
    partition_values: Mapping[str, str | None]
    size: int
    modified: int
    stats_text: str | None = None
    deletion_vector: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, action: Mapping[str, Any]) -> "DataFile":
        """From the content of an `add`, `remove` or `cdc`."""
        values = action.get("partitionValues") or {}
        return cls(
            action["path"],
            dict(values),
            int(action.get("size") or 0),
            int(action.get("modificationTime") or 0),
            action.get("stats"),
            action.get("deletionVector"),
        )

    @property
    def key(self) -> str:
        """The object's key below the table's address."""
        return unquote(self.path)

    @cached_property
    def stats(self) -> Mapping[str, Any]:
        """Row count and bounds by column, as far as the writer gave them."""
        found: Mapping[str, Any] = json.loads(self.stats_text) if self.stats_text else {}
        return found

    @property
    def rows(self) -> int | None:
        """How many rows lie in the file, deleted ones included."""
        found = self.stats.get("numRecords")
        return None if found is None else int(found)

    @property
    def deleted(self) -> int:
        """How many of its rows are deleted."""
        return int(self.deletion_vector["cardinality"]) if self.deletion_vector else 0


class Snapshot:
    """What the log adds up to at `version`. `apply` takes in the next version."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.version = -1
        self.files: dict[str, DataFile] = {}
        self.transactions: dict[str, int] = {}
        self.protocol: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.schema = pa.schema([])

    @classmethod
    def load(cls, store: TableStore) -> "Snapshot":
        """The table's newest version. Raises MissingTableError where no table is."""
        snapshot = cls(store.uri)
        if not is_table(store):
            raise MissingTableError(f"there is no Delta table at {store.uri}")
        whole = store.exists(version_key(0)) and not store.exists(LAST_CHECKPOINT)
        checkpoint = None if whole else last_checkpoint(store)
        if checkpoint is not None:
            version, keys = checkpoint
            for actions in store.each(lambda key: _checkpoint_actions(store, key), keys):
                snapshot._take(actions)
            snapshot.version = version
        snapshot.catch_up(store, versions_after(store, snapshot.version))
        return snapshot

    def catch_up(self, store: TableStore, listed: Iterable[int] = ()) -> None:
        """Takes in all newer versions; those that are known to be there (`listed`) are read at once."""
        versions = list(listed)
        for version, actions in zip(
            versions, store.each(lambda each: read_actions(store, each), versions), strict=True
        ):
            if version != self.version + 1 or actions is None:
                raise UnreadableLogError(f"{self.uri}: version {self.version + 1} is missing from its log")
            self.apply(version, actions)
        while (actions := read_actions(store, self.version + 1)) is not None:
            self.apply(self.version + 1, actions)

    def apply(self, version: int, actions: Iterable[Action]) -> None:
        """Takes in the actions of the next version."""
        self._take(list(actions))
        self.version = version

    def _take(self, actions: list[Action]) -> None:
        # A file that gets another deletion vector is removed and added by one commit, in any order. By their keys, for
        # two writers may encode one path in two ways.
        for removed in of_kind(actions, "remove"):
            self.files.pop(unquote(removed["path"]), None)
        for added in of_kind(actions, "add"):
            file = DataFile.of(added)
            self.files[file.key] = file
        for transaction in of_kind(actions, "txn"):
            self.transactions[transaction["appId"]] = int(transaction["version"])
        for protocol in of_kind(actions, "protocol"):
            self.protocol = protocol
        for metadata in of_kind(actions, "metaData"):
            self.metadata = metadata
            self.schema = arrow_schema(metadata["schemaString"])

    @property
    def id(self) -> str:
        """What tells this table from another that was made in its place."""
        return str(self.metadata["id"])

    @property
    def partitions(self) -> list[str]:
        """The names of the partition columns."""
        return list(self.metadata["partitionColumns"])

    @property
    def properties(self) -> dict[str, str]:
        """The table's properties."""
        return dict(self.metadata.get("configuration") or {})

    def refuse_unreadable(self) -> None:
        """Raises UnreadableLogError for a table whose rows would be misread from here."""
        unknown = sorted({*(self.protocol.get("readerFeatures") or ())} - _KNOWN_FEATURES)
        if unknown or self.protocol["minReaderVersion"] == _MAPPING_READER:
            told = ", ".join(unknown) or "column mapping"
            raise UnreadableLogError(
                f"{self.uri} uses {told}, which the lake's jobs do not: make the table anew without"
            )

    def refuse_unknown(self) -> None:
        """Raises UnreadableLogError for a table that uses what a commit from here would break."""
        unknown = [name for name in self.properties if name.startswith("delta.constraints.")]
        writer = int(self.protocol["minWriterVersion"])
        if writer >= _FEATURE_WRITER:
            features = {*(self.protocol.get("readerFeatures") or ()), *(self.protocol.get("writerFeatures") or ())}
            unknown += sorted(features - _KNOWN_FEATURES)
        elif writer not in _LEGACY_FEATURES:
            unknown.append(f"writer version {writer}")
        if unknown:
            raise UnreadableLogError(
                f"{self.uri} uses {', '.join(unknown)}, which the lake's jobs do not: make the table anew without"
            )


def protocol_for(properties: Mapping[str, str], present: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The protocol that a table with these properties needs, `present` being the one that it has."""
    before = dict(present or {"minReaderVersion": 1, "minWriterVersion": 2})
    asked = [name for name, value in properties.items() if name in _FEATURE_OF and value.lower() == "true"]
    writers = list(before.get("writerFeatures") or _LEGACY_FEATURES[before["minWriterVersion"]])
    missing = [feature for name in asked if (feature := _FEATURE_OF[name]) not in writers]
    if not missing:
        return before
    readers = [*before.get("readerFeatures", ()), *(each for each in missing if each in _READER_FEATURES)]
    needed = {"minWriterVersion": _FEATURE_WRITER, "writerFeatures": writers + missing}
    if not readers:
        return {"minReaderVersion": before["minReaderVersion"], **needed}
    return {"minReaderVersion": _FEATURE_READER, "readerFeatures": readers, **needed}


def _checkpoint_actions(store: TableStore, key: str) -> list[Action]:
    with pq.ParquetFile(store.open(key, store.size(key) or 0), pre_buffer=store.on_s3) as file:
        present = [name for name in _CHECKPOINT_COLUMNS if name in file.schema_arrow.names]
        rows = file.read(columns=present)
    actions: list[Action] = []
    for name in present:
        column = rows[name].drop_null()
        actions += [{name: _plain(each)} for each in cast("list[dict[str, Any]]", column.to_pylist())]
    return actions


def _plain(action: dict[str, Any]) -> dict[str, Any]:
    """An action as the log's JSON has it: maps are lists of pairs in Arrow, and what is null is left out."""
    maps = {"partitionValues", "tags", "configuration"}
    found = {name: dict(value) if name in maps and value else value for name, value in action.items()}
    if isinstance(found.get("format"), dict):
        found["format"] = {**found["format"], "options": dict(found["format"].get("options") or ())}
    if found.get("deletionVector") is not None:
        vector = found["deletionVector"]
        found["deletionVector"] = {name: value for name, value in vector.items() if value is not None}
    return {name: value for name, value in found.items() if value is not None}
