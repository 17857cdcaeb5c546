"""A disk that is full in the middle of a batch: it fails, its job says what to do, and then it ends exact."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakehouse.errors import LakehouseError
from streaming import job
from tests.unit.oracle_deliveries import contact, records
from tests.unit.silver_lake import SilverLake

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


# A batch writes to rejected, a data file of silver and its commit, each some blocks of 4 KiB.
@pytest.mark.parametrize("blocks", [0, 2, 4], ids=lambda blocks: f"{blocks} blocks left")
def test_a_batch_that_met_a_full_disk_ends_exact_when_there_is_room(disk: Path, blocks: int) -> None:
    lake = SilverLake(disk)
    lake.process(DELIVERED[:5], 0)
    before = lake.content("crm").silver
    _fill(disk, blocks * 4096)
    with pytest.raises(LakehouseError) as failed:
        lake.process(DELIVERED[5:], 1)
    told = job._reason(failed.value)
    assert told.endswith(": free space there and start again: what was begun is taken up where it stopped")
    assert len(told.splitlines()) == 1

    (disk / "full").unlink()
    assert lake.content("crm").silver == before
    # The process goes on, as its query does, or another one in its place.
    again = lake if blocks == 2 else SilverLake(disk)
    again.process(DELIVERED[5:], 1)
    assert [str(each) for each in again.compared(DELIVERED).differences] == []


def test_a_read_only_disk_is_refused_and_nothing_changes(disk: Path) -> None:
    lake = SilverLake(disk)
    lake.process(DELIVERED[:5], 0)
    before = lake.content("crm")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(LakehouseError) as failed:
        lake.process(DELIVERED[5:], 1)
    told = job._reason(failed.value)
    assert told.endswith(": make it writable, or name another root")
    assert len(told.splitlines()) == 1
    assert lake.content("crm") == before

    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    lake.process(DELIVERED[5:], 1)
    assert [str(each) for each in lake.compared(DELIVERED).differences] == []


def _fill(disk: Path, left: int) -> None:
    """Takes all room on the disk but `left` bytes."""
    with open(disk / "full", "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            size = file.tell()
        file.truncate(max(0, size - left))
