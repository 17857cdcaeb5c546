"""A disk that is full in the middle of a batch: it fails, its job says what to do, and then it ends exact."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from lakehouse.errors import LakehouseError
from streaming import job
from tests.unit.oracle_deliveries import contact, records
from tests.unit.silver_lake import SilverLake

FAILURES = (PySparkException, Py4JJavaError, LakehouseError)
DELIVERED = records(
    "crm",
    *(contact(f"i{number}", f"2010-12-01T09:{number:02}:00Z") for number in range(30)),
    b"{",
    contact("i1", "2010-12-01T09:01:00Z"),
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"only root can make a small disk: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("left", [0, 12_000, 40_000], ids=lambda left: f"{left} bytes left")
def test_a_batch_that_met_a_full_disk_ends_exact_when_there_is_room(spark: SparkSession, disk: Path, left: int) -> None:
    lake = SilverLake(spark, disk)
    lake.process(DELIVERED[:5], 0)
    _fill(disk, left)
    with pytest.raises(FAILURES) as failed:
        lake.process(DELIVERED[5:], 1)
    told = job._reason(failed.value)
    assert told.endswith(": free space there and start again: what was begun is taken up where it stopped")
    assert len(told.splitlines()) == 1

    (disk / "full").unlink()
    again = SilverLake(spark, disk)
    again.process(DELIVERED[5:], 1, recover=True)
    assert [str(each) for each in again.compared(DELIVERED).differences] == []


def test_a_read_only_disk_is_refused_and_nothing_changes(spark: SparkSession, disk: Path) -> None:
    lake = SilverLake(spark, disk)
    lake.process(DELIVERED[:5], 0)
    before = lake.content("crm")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(FAILURES) as failed:
        lake.process(DELIVERED[5:], 1)
    told = job._reason(failed.value)
    assert told.endswith(": make it writable, or name another root")
    assert len(told.splitlines()) == 1
    assert lake.content("crm") == before

    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    again = SilverLake(spark, disk)
    again.process(DELIVERED[5:], 1, recover=True)
    assert [str(each) for each in again.compared(DELIVERED).differences] == []


def _fill(disk: Path, left: int) -> None:
    """Takes all room on the disk but `left` bytes."""
    with open(disk / "full", "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            size = file.tell()
        file.truncate(max(0, size - left))
