"""What a Delta table is: its columns, partitions and properties, as commits make and change them."""

import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from lakehouse.delta.log import (
    Action,
    CommitConflictError,
    commit,
    commit_info,
    milliseconds,
    of_kind,
    read_actions,
    versions_after,
)
from lakehouse.delta.schema import arrow_schema, delta_json
from lakehouse.delta.snapshot import Snapshot, protocol_for
from lakehouse.delta.store import TableStore

log = logging.getLogger(__name__)


def create(store: TableStore, schema: pa.Schema, partitions: Sequence[str], properties: Mapping[str, str]) -> None:
    """Makes the first version. Where another process is faster, its table is the one."""
    metadata = {
        "id": str(uuid.uuid4()),
        "format": {"provider": "parquet", "options": {}},
        "schemaString": delta_json(schema),
        "partitionColumns": list(partitions),
        "configuration": dict(properties),
        "createdTime": milliseconds(),
    }
    parameters = {
        "partitionBy": json.dumps(list(partitions)),
        "isManaged": "false",
        "properties": json.dumps(dict(properties)),
    }
    info = commit_info("CREATE TABLE", parameters, {}, -1, blind=True)
    try:
        commit(store, 0, [info, {"metaData": metadata}, {"protocol": protocol_for(properties)}])
    except CommitConflictError:
        log.info("%s was made by another process", store.uri)


def changes(
    before: Snapshot, columns: "Sequence[pa.Field[Any]]", properties: Mapping[str, str]
) -> tuple[str, dict[str, str], list[Action]]:
    """The operation, its parameters and the actions that add columns and set properties; no action where all is so."""
    changed = {name: value for name, value in properties.items() if before.properties.get(name) != value}
    operation = "ADD COLUMNS" if columns else "SET TBLPROPERTIES"
    parameters = {"columns": json.dumps([each.name for each in columns]), "properties": json.dumps(changed)}
    if not columns and not changed:
        return operation, parameters, []
    configuration = before.properties | changed
    metadata = before.metadata | {
        "schemaString": delta_json(pa.schema([*before.schema, *columns])),
        "configuration": configuration,
    }
    protocol = protocol_for(configuration, before.protocol)
    actions: list[Action] = [{"metaData": metadata}]
    if protocol != before.protocol:
        actions.append({"protocol": protocol})
    return operation, parameters, actions


def schemas(store: TableStore) -> dict[int, pa.Schema]:
    """The columns as of each version that set any, oldest first, as far back as the log goes."""
    versions = versions_after(store, -1)
    actions = store.each(lambda version: read_actions(store, version) or [], versions)
    return {
        version: arrow_schema(each["schemaString"])
        for version, found in zip(versions, actions, strict=True)
        for each in of_kind(found, "metaData")
    }
