"""Symlink manifests of a table, for readers that know no Delta: one text file per partition names its data files."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from lakehouse.delta.data_files import partition_folder
from lakehouse.delta.snapshot import DataFile
from lakehouse.delta.store import TableStore
from lakehouse.errors import LakehouseError

FOLDER, MANIFEST = "_symlink_format_manifest", "manifest"


class DeletedRowsError(LakehouseError):
    """A manifest cannot tell that rows of a file are deleted: the table must be rid of them first."""


def partition_of(file: DataFile) -> str:
    """The folder that a file's partition has among the manifests, such as `region=uk/month=2026-11`."""
    return partition_folder({name: value or None for name, value in file.partition_values.items()})


def write_manifests(
    uri: str,
    files: Iterable[DataFile],
    touched: Collection[str] | None = None,
    options: Mapping[str, str] | None = None,
) -> int:
    """Writes the manifests of a table that consists of `files`; of the partitions `touched` only, if it is given.

    A manifest whose content is as it was is left alone, one of a partition that is gone is removed. Returns how many
    were written or removed. Raises DeletedRowsError, with nothing written, for files with deletion vectors.
    """
    store = TableStore(uri, options)
    wanted: dict[str, list[str]] = {}
    for file in files:
        folder = partition_of(file)
        if touched is not None and folder not in touched:
            continue
        if file.deletion_vector is not None:
            raise DeletedRowsError(
                f"{uri}/{file.key} has deleted rows, which a manifest cannot tell of: compact the table with "
                "most_deleted = 0 first"
            )
        wanted.setdefault(folder, []).append(_address(store, file))
    texts = {_key(folder): "".join(f"{line}\n" for line in sorted(lines)) for folder, lines in wanted.items()}
    there = [key for key in store.listing(FOLDER) if key.endswith(f"/{MANIFEST}")]
    asked = None if touched is None else {_key(folder) for folder in touched}
    gone = [key for key in there if key not in texts and (asked is None or key in asked)]
    written = store.each(lambda item: _write(store, *item), texts.items())
    store.delete(gone)
    return sum(written) + len(gone)


def _write(store: TableStore, key: str, text: str) -> bool:
    if store.read(key) == text.encode():
        return False
    store.put(key, text.encode())
    if not store.on_s3:
        # A checksum that Spark wrote beside an earlier one would make this one unreadable to it.
        store.delete([f"{key.removesuffix(MANIFEST)}.{MANIFEST}.crc"])
    return True


def _key(folder: str) -> str:
    return f"{FOLDER}/{folder}/{MANIFEST}" if folder else f"{FOLDER}/{MANIFEST}"


def _address(store: TableStore, file: DataFile) -> str:
    """As Spectrum and Hive want it: a bucket's files by s3, never s3a; those of a folder as Spark writes them."""
    return f"{store.uri}/{file.key}" if store.on_s3 else f"file:{Path(store.uri).absolute()}/{file.key}"
