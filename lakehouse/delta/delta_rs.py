"""What delta-rs does for an owned table: SQL over its rows, overwriting by a predicate, and checkpoints of its log."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, QueryBuilder, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError

from lakehouse.delta.log import CommitConflictError


def answer(table: DeltaTable, query: str) -> pa.Table:
    """What a query of SQL on the table `t` finds in the handle's version.

    Taken in by Arrow: delta-rs itself would let no other thread of the process run until the store has answered.
    """
    found = QueryBuilder().register("t", table).execute(query)
    return pa.RecordBatchReader.from_stream(found).read_all()


class DeltaRs:
    """One table's handle of delta-rs, kept between uses: to take in what is new costs little."""

    def __init__(self, uri: str, options: Mapping[str, str]) -> None:
        self._uri = uri
        self._options = dict(options)
        self._handle: DeltaTable | None = None

    def query(self, version: int, columns: Sequence[str], predicate: str | None) -> pa.Table:
        """Columns of the rows that the predicate holds for, as of a version."""
        chosen = ", ".join(f'"{name}"' for name in columns)
        # The predicate is the caller's code, never a user's.
        query = f"SELECT {chosen} FROM t" + (f" WHERE {predicate}" if predicate else "")  # noqa: S608
        return answer(self._at(version), query)

    def overwrite(
        self, version: int, predicate: str, rows: pa.Table, transactions: Mapping[str, int], metadata: str
    ) -> None:
        """Makes the version after `version`, with the rows in place of those that the predicate holds for.

        Raises CommitConflictError if there is one.
        """
        properties = CommitProperties(
            custom_metadata={"userMetadata": metadata},
            app_transactions=[Transaction(app_id, number) for app_id, number in transactions.items()],
            max_commit_retries=0,
        )
        handle = self._newest()
        if handle.version() != version:
            raise CommitConflictError(f"{self._uri}: version {version + 1} was written by somebody else")
        try:
            write_deltalake(handle, rows, mode="overwrite", predicate=predicate, commit_properties=properties)
        except CommitFailedError as error:
            said = str(error).partition("\n")[0]
            raise CommitConflictError(f"{self._uri}: version {version + 1} was not written: {said}") from error

    def checkpoint(self, version: int) -> None:
        """Writes a checkpoint of a version of the log, from which readers start."""
        self._at(version).create_checkpoint()

    def clean_log(self, version: int) -> None:
        """Removes versions that are older than the table's `delta.logRetentionDuration` and in a checkpoint."""
        self._at(version).cleanup_metadata()

    def _at(self, version: int) -> DeltaTable:
        handle = self._newest()
        if handle.version() > version:
            self._handle = None
            handle.load_as_version(version)
        return handle

    def _newest(self) -> DeltaTable:
        if self._handle is None:
            self._handle = DeltaTable(self._uri, storage_options=self._options or None)
        else:
            self._handle.update_incremental()
        return self._handle
