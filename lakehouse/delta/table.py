"""A Delta table as the one process that writes it sees it.

Every commit is exactly the version after the newest that was taken in, or it is not made: what a caller decides on what
it has seen, and the transaction numbers in it, holds for the table that it is written to.
"""

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

from lakehouse.delta import definition
from lakehouse.delta.compaction import BITE_BYTES, MOST_DELETED, merged, merges
from lakehouse.delta.data_files import fitted, split, write_files, write_parts
from lakehouse.delta.delta_rs import DeltaRs
from lakehouse.delta.log import (
    Action,
    AlteredTableError,
    CommitConflictError,
    commit,
    commit_info,
    of_kind,
    read_actions,
    transaction_actions,
)
from lakehouse.delta.replace import find_rows, removal_actions, remove_action
from lakehouse.delta.rows import live_rows
from lakehouse.delta.schema import (
    IncompatibleTableError,
    additions,
    delta_json,
    lost_columns,
    refuse_lost,
    refuse_partitions,
)
from lakehouse.delta.snapshot import DataFile, MissingTableError, Snapshot, is_table
from lakehouse.delta.store import TableStore
from lakehouse.errors import LakehouseError

__all__ = ["AlteredTableError", "CommitConflictError", "IncompatibleTableError", "MissingTableError", "OwnedTable"]

log = logging.getLogger(__name__)
# Delta's own default; the lake's tables set theirs.
CHECKPOINT_INTERVAL = 10
# Tables with the columns that they were found to have, or given, in this process. A column that one has more by now was
# added under the running job, by somebody who knows a newer contract: its restarting queries go on without it.
_FITTED: set[tuple[str, str]] = set()


class OwnedTable:
    """A Delta table as the one process that writes it sees it. Not safe between threads: its owner serialises."""

    def __init__(self, store: TableStore, snapshot: Snapshot, options: Mapping[str, str]) -> None:
        self.uri = store.uri
        self._store = store
        self._snapshot = snapshot
        self._delta_rs = DeltaRs(store.uri, options)

    @classmethod
    def open(cls, uri: str, options: Mapping[str, str] | None = None) -> "OwnedTable":
        """The table at `uri` in its newest version. Raises MissingTableError where no table is."""
        store = TableStore(uri, options)
        snapshot = Snapshot.load(store)
        snapshot.refuse_unknown()
        return cls(store, snapshot, options or {})

    @staticmethod
    def exists(uri: str, options: Mapping[str, str] | None = None) -> bool:
        """Whether there is a Delta table at `uri`."""
        return is_table(TableStore(uri, options))

    @classmethod
    def ensure(
        cls,
        uri: str,
        schema: pa.Schema,
        partitions: Sequence[str],
        properties: Mapping[str, str],
        options: Mapping[str, str] | None = None,
    ) -> "OwnedTable":
        """The table at `uri`, made, or brought up to `schema` without rewriting it. Comments are the fields' metadata.

        A nullable column that is new in `schema` is added; one that came to a table which fitted `schema` before in
        this process stays. Raises IncompatibleTableError for a column whose type changed, that is gone, that is new
        and required, that somebody took out of the table, or for other partitions.
        """
        if not cls.exists(uri, options):
            definition.create(TableStore(uri, options), schema, partitions, properties)
        table = cls.open(uri, options)
        table._bring_up_to(schema, partitions, properties)
        return table

    @property
    def id(self) -> str:
        """What tells this table from another that was made in its place: Delta's metadata id."""
        return self._snapshot.id

    @property
    def version(self) -> int:
        """The newest version that was taken in."""
        return self._snapshot.version

    @property
    def schema(self) -> pa.Schema:
        """The table's columns."""
        return self._snapshot.schema

    @property
    def partitions(self) -> list[str]:
        """The names of the partition columns."""
        return self._snapshot.partitions

    @property
    def properties(self) -> dict[str, str]:
        """The table's properties."""
        return self._snapshot.properties

    def refresh(self) -> int:
        """Takes in what others have written; returns the newest version."""
        self._snapshot.catch_up(self._store)
        self._snapshot.refuse_unknown()
        return self.version

    def transaction(self, app_id: str) -> int | None:
        """The number that the last commit with this app id carries; None if there is none."""
        return self._snapshot.transactions.get(app_id)

    def transactions(self) -> dict[str, int]:
        """The numbers of all app ids."""
        return dict(self._snapshot.transactions)

    def files(self) -> Collection[DataFile]:
        """The files that hold the table's rows, with their statistics."""
        return self._snapshot.files.values()

    def live_files(self) -> int:
        """How many files hold the table's rows."""
        return len(self._snapshot.files)

    def refuse_altered(self, schema: pa.Schema) -> None:
        """Raises IncompatibleTableError where somebody took a column of `schema` out of the table or changed its type:
        writing on would cast values or lose them.
        """
        if lost_columns(self.schema, schema):
            refuse_lost(self.uri, self.schema, schema, definition.schemas(self._store))

    def append(self, rows: pa.Table, transactions: Mapping[str, int], metadata: str) -> int:
        """Adds the rows; without any it is a commit of the transactions alone. Returns the new version.

        Raises CommitConflictError, with nothing written, if the table has a newer version than was taken in.
        """
        added = write_files(self._store, fitted(self.uri, rows, self.schema), self.partitions)
        return self._commit("WRITE", {"mode": "Append", "partitionBy": "[]"}, added, transactions, metadata, blind=True)

    def replace_rows(
        self,
        old: pa.Table,
        new: pa.Table,
        inserts: pa.Table,
        key: Sequence[str],
        transactions: Mapping[str, int],
        metadata: str,
    ) -> int:
        """Puts `new` in place of the rows `old`, and adds `inserts`, in one commit. Returns the new version.

        The rows whose `key` columns equal those of `old` (whole rows as they were, or at least their key and partition
        columns) leave by deletion vectors: files are not written anew. Raises AlteredTableError unless each is there
        exactly once, and CommitConflictError as `append` does; nothing is changed then.
        """
        if self.properties.get("delta.enableDeletionVectors") != "true":
            raise IncompatibleTableError(f"{self.uri} has no deletion vectors: rows of it cannot be replaced")
        found = find_rows(self._store, self._snapshot.files.values(), old, key, self.partitions) if len(old) else []
        rows = pa.concat_tables([fitted(self.uri, each, self.schema) for each in (new, inserts)])
        added = write_files(self._store, rows, self.partitions)
        actions = [*removal_actions(self._store, found), *added]
        return self._commit("MERGE", {"predicate": json.dumps(list(key))}, actions, transactions, metadata)

    def read_file(self, file: DataFile) -> pa.Table:
        """The rows of one of `files`, whole."""
        return live_rows(self._store, file, self.schema, self.partitions)

    def replace_files(
        self, files: Collection[DataFile], parts: Sequence[pa.Table], transactions: Mapping[str, int], metadata: str
    ) -> list[DataFile]:
        """Puts rows in place of whole files: each of `parts` holds rows of one partition, and becomes the file that is
        returned in its place. For a table without deletion vectors, whose owner keeps related rows together.

        Raises CommitConflictError as `append` does.
        """
        whole = [list(split(fitted(self.uri, part, self.schema), self.partitions)) for part in parts]
        assert all(len(each) == 1 for each in whole), "each part holds rows of one partition"
        added = write_parts(self._store, [each for (each,) in whole])
        removed = [remove_action(file) for file in files]
        self._commit("WRITE", {"mode": "Overwrite", "partitionBy": "[]"}, [*removed, *added], transactions, metadata)
        return [DataFile.of(each["add"]) for each in added]

    def overwrite_where(self, predicate: str, rows: pa.Table, transactions: Mapping[str, int], metadata: str) -> int:
        """Puts the rows in place of those that the SQL `predicate` holds for; all of `rows` must satisfy it.

        Raises CommitConflictError as `append` does. Files that also hold other rows are written anew.
        """
        if not all(each.path.isascii() for each in self.files()):
            # delta-rs spells such a path in another way when it removes the file, so that it would stay.
            raise LakehouseError(f"{self.uri} has files in folders of other alphabets: its rows cannot be overwritten")
        self._delta_rs.overwrite(self.version, predicate, fitted(self.uri, rows, self.schema), transactions, metadata)
        made = self.version + 1
        actions = read_actions(self._store, made)
        assert actions is not None, "a version that was just written is there"
        self._snapshot.apply(made, actions)
        return made

    def read(self, columns: Sequence[str], predicate: str | None = None) -> pa.Table:
        """The rows of the version that was taken in, those only that the SQL `predicate` holds for.

        The predicate prunes files by their partitions and statistics.
        """
        found = self._delta_rs.query(self.version, columns, predicate)
        return found.cast(pa.schema([self.schema.field(name) for name in columns]))

    def compact(
        self,
        target_bytes: int,
        sort_by: Sequence[str] = (),
        most_bytes: int = BITE_BYTES,
        most_deleted: float = MOST_DELETED,
    ) -> int | None:
        """Merges small files and rewrites those with many deleted rows, as far as one bite goes. Rows stay the same.

        With `most_deleted` 0 every file that has deleted rows. Returns the new version; None where nothing is to be
        done. Raises CommitConflictError as `append` does.
        """
        chosen = merges(self._snapshot.files.values(), target_bytes, most_bytes, most_deleted)
        if not chosen:
            return None
        actions = merged(self._store, chosen, self.schema, self.partitions, sort_by)
        return self._commit("OPTIMIZE", {"predicate": "[]", "zOrderBy": "[]", "auto": "false"}, actions, {}, None)

    def clean_log(self) -> None:
        """Removes versions from the log that are older than `delta.logRetentionDuration` says and in a checkpoint.

        It lists the whole log: for now and then, not for each commit, since no commit does it by itself.
        """
        self._delta_rs.clean_log(self.version)

    def set_property(self, name: str, value: str) -> int:
        """Sets a property of the table; returns the new version, or the old one where it was so already."""
        return self._alter([], {name: value})

    def _bring_up_to(self, schema: pa.Schema, partitions: Sequence[str], properties: Mapping[str, str]) -> None:
        fitting = (self.uri, delta_json(schema))
        self.refuse_altered(schema)
        new = additions(self.uri, self.schema, schema, more=fitting in _FITTED)
        refuse_partitions(self.uri, self.partitions, partitions)
        self._alter(new, properties)
        _FITTED.add(fitting)

    def _alter(self, columns: "Sequence[pa.Field[Any]]", properties: Mapping[str, str]) -> int:
        """One commit that adds columns and sets properties; none where nothing changes."""
        operation, parameters, actions = definition.changes(self._snapshot, columns, properties)
        return self._commit(operation, parameters, actions, {}, None) if actions else self.version

    def _commit(
        self,
        operation: str,
        parameters: Mapping[str, str],
        actions: Sequence[Action],
        transactions: Mapping[str, int],
        metadata: str | None,
        blind: bool = False,
    ) -> int:
        """Makes the next version. Files that nobody will see are taken away again."""
        made = self.version + 1
        added = of_kind(actions, "add")
        metrics = {
            "numFiles": len(added),
            "numRemovedFiles": len(of_kind(actions, "remove")),
            "numOutputBytes": sum(each["size"] for each in added),
        }
        info = commit_info(operation, parameters, metrics, self.version, metadata, blind)
        whole = [info, *transaction_actions(transactions), *actions]
        try:
            commit(self._store, made, whole)
        except CommitConflictError:
            known = {each.key for each in self.files()}
            self._store.delete(key for each in added if (key := DataFile.of(each).key) not in known)
            raise
        self._snapshot.apply(made, whole)
        self._checkpoint_if_due()
        return made

    def _checkpoint_if_due(self) -> None:
        """Readers start from a checkpoint; without one they read every version since the last."""
        interval = int(self.properties.get("delta.checkpointInterval", CHECKPOINT_INTERVAL))
        if self.version and self.version % interval == 0:
            try:
                self._delta_rs.checkpoint(self.version)
            except Exception as error:  # the commit is made; the next checkpoint makes up for this one
                log.warning("%s has no checkpoint of version %s: %s", self.uri, self.version, error)
