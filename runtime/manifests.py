"""What Redshift Spectrum reads of a Delta table: manifests that name its files, and the partitions that have one.

The owner writes the manifests, `<table>/_symlink_format_manifest/<partition folders>/manifest`. Spectrum opens only
those of partitions that the Glue catalog lists, and nobody lists them by itself: `CataloguedPartitions` does.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from lakehouse.contracts import Contract
from lakehouse.delta import manifests
from lakehouse.delta.manifests import FOLDER, MANIFEST
from lakehouse.delta.table import OwnedTable
from lakehouse.settings import Settings
from runtime.compaction import TARGET_BYTES
from runtime.failpoints import failpoint
from runtime.storage import Storage
from runtime.tables import options

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

# What Glue takes in one call.
MOST_CREATED, MOST_DELETED = 100, 25
log = logging.getLogger(__name__)


def write_manifests(table: OwnedTable) -> None:
    """Writes the manifests of a table as it is now. For its owner, between two batches.

    A manifest cannot tell of deletion vectors: files that have one are written anew without the deleted rows first, in
    commits that change no row. The files that it names stay until `remove_old_files` takes them.
    """
    failpoint("silver.before_manifest")
    while table.compact(TARGET_BYTES, most_deleted=0) is not None:
        pass
    manifests.write_manifests(table.uri, table.files(), options=options(table.uri))
    failpoint("silver.after_manifest")


class CataloguedPartitions:
    """The partitions of one table of manifests in the Glue catalog."""

    def __init__(self, glue: "GlueClient", database: str, contract: Contract, uri: str) -> None:
        """`database` holds a table named as the contract; `uri` is the Delta table."""
        self._glue = glue
        self._database = database
        self._contract = contract
        self._manifests = Storage.open(f"{uri}/{FOLDER}")
        self._known: set[str] | None = None

    @classmethod
    def of(cls, settings: Settings, contract: Contract, uri: str) -> "CataloguedPartitions | None":
        """Those of the settings' catalog; None where the settings name none."""
        if not settings.spectrum_database:
            return None
        return cls(boto3.client("glue", region_name=settings.region), settings.spectrum_database, contract, uri)

    def update(self) -> None:
        """Lists what has a manifest and takes out what has none any more.

        The tables of the lake do not wait for the catalog: what fails is logged, and tried again with the next batch.
        """
        try:
            self._update()
        except (ClientError, BotoCoreError) as error:
            self._known = None
            log.warning(
                "partitions of %s.%s are not up to date for Redshift Spectrum, next try after the next batch: %s",
                self._database, self._contract.name, error,
            )  # fmt: skip

    def _update(self) -> None:
        """1 A manifest for each partition. 2 What the catalog has; asked once, then remembered. 3 Add, 4 take out."""
        # 1
        names = (each.key.rpartition("/") for each in self._manifests.list())
        folders = {folder for folder, _, name in names if name == MANIFEST}
        # 2
        if self._known is None:
            self._known = set(self._listed())
        # 3
        if missing := sorted(folders - self._known):
            table = self._glue.get_table(DatabaseName=self._database, Name=self._contract.name)["Table"]
            for some in _in_parts(missing, MOST_CREATED):
                self._create(some, table["StorageDescriptor"])
        # 4
        for some in _in_parts(sorted(self._known - folders), MOST_DELETED):
            values: list[Any] = [{"Values": partition_values(folder)} for folder in some]
            self._glue.batch_delete_partition(
                DatabaseName=self._database, TableName=self._contract.name, PartitionsToDelete=values
            )
        self._known = folders

    def _listed(self) -> Iterator[str]:
        pages = self._glue.get_paginator("get_partitions").paginate(
            DatabaseName=self._database, TableName=self._contract.name, ExcludeColumnSchema=True
        )
        start = f"{self._manifests.uri}/"
        for page in pages:
            for each in page["Partitions"]:
                yield each["StorageDescriptor"]["Location"].removeprefix(start).strip("/")

    def _create(self, folders: Sequence[str], descriptor: Any) -> None:
        inputs: list[Any] = [
            {
                "Values": partition_values(folder),
                "StorageDescriptor": descriptor | {"Location": f"{self._manifests.uri}/{folder}/"},
            }
            for folder in folders
        ]
        answer = self._glue.batch_create_partition(
            DatabaseName=self._database, TableName=self._contract.name, PartitionInputList=inputs
        )
        for error in answer.get("Errors", []):
            detail = error.get("ErrorDetail", {})
            if detail.get("ErrorCode") != "AlreadyExistsException":
                raise ClientError(
                    {"Error": {"Code": str(detail.get("ErrorCode")), "Message": str(detail.get("ErrorMessage"))}},
                    "BatchCreatePartition",
                )


def partition_values(folder: str) -> list[str]:
    """The values in `kpi_name=units_sold/month=2026-11`, unescaped."""
    return [unquote(part.partition("=")[2]) for part in folder.split("/")]


def _in_parts(names: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    return (names[start : start + most] for start in range(0, len(names), most))
