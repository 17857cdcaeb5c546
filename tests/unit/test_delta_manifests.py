"""Manifests name exactly the live files of each partition, and only what changed is written."""

from pathlib import Path
from urllib.parse import unquote

import pytest

from lakehouse.delta.manifests import FOLDER, DeletedRowsError, partition_of, write_manifests
from lakehouse.delta.store import TableStore
from lakehouse.delta.table import OwnedTable
from tests.unit.delta_tables import KEY, NOTHING, made, row, rows_of, table_of


def manifests(table: OwnedTable) -> dict[str, set[str]]:
    folder = Path(table.uri) / FOLDER
    found = {}
    for file in folder.rglob("manifest"):
        lines = file.read_text(encoding="utf-8").splitlines()
        assert len(set(lines)) == len(lines)
        found[str(file.parent.relative_to(folder))] = set(lines)
    return found


def live(table: OwnedTable) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for file in table.files():
        found.setdefault(partition_of(file), set()).add(f"file:{table.uri}/{unquote(file.path)}")
    return found


def test_each_partition_names_its_files_and_only_what_changed_is_written(tmp_path: Path) -> None:
    table = made(tmp_path / "t", {})
    table.append(table_of([row(1), row(2), row(3, region="a b/c%"), row(4, region=None)]), {}, "")
    table.append(rows_of([5]), {}, "")
    assert write_manifests(table.uri, table.files()) == 4
    assert manifests(table) == live(table)
    assert set(manifests(table)) >= {
        "region=a b%2Fc%25/month=2026-01",
        "region=__HIVE_DEFAULT_PARTITION__/month=2026-01",
    }
    for line in (each for lines in manifests(table).values() for each in lines):
        assert Path(line.removeprefix("file:")).is_file()
    assert write_manifests(table.uri, table.files()) == 0

    table.append(rows_of([7]), {}, "")
    assert write_manifests(table.uri, table.files(), ["region=uk/month=2026-01"]) == 0
    assert write_manifests(table.uri, table.files(), ["region=europe/month=2026-01"]) == 1
    assert manifests(table) == live(table)

    table.overwrite_where("region = 'uk'", NOTHING, {}, "")
    assert write_manifests(table.uri, table.files(), ["region=europe/month=2026-01"]) == 0
    assert write_manifests(table.uri, table.files(), ["region=uk/month=2026-01"]) == 1
    assert manifests(table) == live(table)


def test_a_checksum_that_spark_left_goes(tmp_path: Path) -> None:
    table = made(tmp_path / "t", {})
    table.append(rows_of([1]), {}, "")
    write_manifests(table.uri, table.files())
    (manifest,) = Path(table.uri, FOLDER).rglob("manifest")
    checksum = manifest.with_name(".manifest.crc")
    checksum.write_bytes(b"of an older one")
    table.append(rows_of([3]), {}, "")
    write_manifests(table.uri, table.files())
    assert not checksum.exists()


def test_deleted_rows_are_refused_until_they_are_compacted_away(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    table.append(rows_of(range(10)), {}, "")
    table.replace_rows(rows_of([1]), NOTHING, NOTHING, KEY, {}, "")
    with pytest.raises(DeletedRowsError, match="has deleted rows, which a manifest cannot tell of"):
        write_manifests(table.uri, table.files())
    assert TableStore(table.uri).listing(FOLDER) == {}
    while table.compact(2**20, most_deleted=0) is not None:
        pass
    assert write_manifests(table.uri, table.files()) == 2
