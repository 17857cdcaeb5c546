"""Whether what a gold table holds is what its job put there: only then may silver's changes be added to it."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable

from lakehouse.delta.table import IncompatibleTableError, OwnedTable
from runtime.delta_log import DeltaLog
from runtime.lineage import read_lineage
from runtime.tables import ensure_table, open_table, options

log = logging.getLogger(__name__)
# The property that says of which declarations a table's rows are (`kpi_tables.fingerprint`).
FINGERPRINT = "lakehouse.fingerprint"
_FILES = (b'"add"', b'"remove"')


def fitting_table(
    uri: str, schema: pa.Schema, partitions: Sequence[str], properties: Mapping[str, str], fingerprint: str
) -> OwnedTable:
    """The table at `uri`, made, or brought up to its contract; made anew, in one commit and empty, where its rows are
    of other declarations, and its columns cannot become the contract's.

    Raises IncompatibleTableError for a table of these declarations that somebody altered by hand.
    """
    try:
        return ensure_table(uri, schema, partitions, properties)
    except IncompatibleTableError as error:
        if open_table(uri).properties.get(FINGERPRINT) == fingerprint:
            raise
        log.warning("%s is made anew: %s", uri, error)
    DeltaTable.create(
        uri,
        schema,
        mode="overwrite",
        partition_by=list(partitions),
        configuration=properties,
        raise_if_key_not_exists=False,
        storage_options=options(uri) or None,
        commit_properties=CommitProperties(max_commit_retries=0),
    )
    return ensure_table(uri, schema, partitions, properties)


def misfit(table: OwnedTable, log: DeltaLog, fingerprint: str, taken: Iterable[int | None]) -> str | None:
    """Why the table's rows cannot be gone on with; None where they can.

    `log` is the table's own, `taken` is how far it says that it has taken in each silver table.
    """
    if table.properties.get(FINGERPRINT) != fingerprint:
        return "its rows are not of these KPI declarations, this contract and these silver tables"
    if None in taken:
        return "its commits do not say how far it has taken in silver"
    return _written_by_others(log, table.version)


def _written_by_others(log: DeltaLog, newest: int) -> str | None:
    """Which commit after the job's last one has changed rows. A job commits only after it has looked, and what is
    older than the log is taken for its own.
    """
    table = log.name.partition(".")[2]
    for version in range(newest, -1, -1):
        commit = log.commit(version)
        if commit is None:
            return None
        lineage = read_lineage(commit.metadata)
        if lineage is not None and (lineage.job, lineage.query) == ("gold", table):
            return None
        if who := _changed_by(log.actions(version)):
            return f"version {version} is not of its job ({commit.operation} by {who})"
    return None


def _changed_by(actions: list[bytes]) -> str | None:
    """Who wrote a commit that brought or took rows; None for one that did neither."""
    changes, who = False, "somebody"
    for line in actions:
        if b'"commitInfo"' in line[:40]:
            info = json.loads(line)["commitInfo"]
            who = str(info.get("userName") or info.get("engineInfo") or who)
        elif any(kind in line[:20] for kind in _FILES):
            changes |= any(bool(action.get("dataChange")) for action in json.loads(line).values())
    return who if changes else None
