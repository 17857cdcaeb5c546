"""The lake's Delta tables from wherever a job runs: endpoint and Region come from the environment (`AWS_*`)."""

import os
from collections.abc import Mapping, Sequence

import pyarrow as pa
from deltalake import DeltaTable

from lakehouse.delta.delta_rs import answer
from lakehouse.delta.follow import TableLog
from lakehouse.delta.store import storage_options
from lakehouse.delta.table import OwnedTable
from runtime.region import region


def options(uri: str) -> dict[str, str]:
    """What the libraries need to reach a table, but for credentials, which they find themselves."""
    if not uri.startswith("s3://"):
        return {}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return storage_options(uri, endpoint, region() or "us-east-1")


def table_exists(uri: str) -> bool:
    """Whether there is a Delta table at `uri`."""
    return OwnedTable.exists(uri, options(uri))


def open_table(uri: str) -> OwnedTable:
    """The table at `uri`. Raises MissingTableError where no table is."""
    return OwnedTable.open(uri, options(uri))


def open_log(uri: str) -> TableLog:
    """The log of a table that somebody else writes. Raises MissingTableError where no table is."""
    return TableLog(uri, options(uri))


def ensure_table(uri: str, schema: pa.Schema, partitions: Sequence[str], properties: Mapping[str, str]) -> OwnedTable:
    """The table at `uri`, made, or brought up to `schema`; raises IncompatibleTableError as `OwnedTable.ensure`."""
    return OwnedTable.ensure(uri, schema, partitions, properties, options(uri))


def table_version(uri: str) -> int:
    """The newest version of the table at `uri`; -1 where no table is."""
    return open_table(uri).version if table_exists(uri) else -1


def read_version(uri: str, version: int) -> pa.Table:
    """All rows of the table at `uri` as of a version that its log still has."""
    table = DeltaTable(uri, version=version, storage_options=options(uri) or None)
    return answer(table, "SELECT * FROM t").cast(open_table(uri).schema)
