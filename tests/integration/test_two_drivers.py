"""Two drivers that pass by the leases and write the same tables: the log store loses none of their commits.

With Delta's own store for S3 in its place (`S3SingleDriverLogStore`) they overwrite each other's: docs/adr/0016.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lakehouse.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DRIVERS, COMMITS = ("first", "second"), 6
LONGEST_SECONDS = 300


@pytest.mark.timeout(4 * LONGEST_SECONDS)
def test_two_drivers_that_append_and_merge_lose_no_commit(emulator: Settings, bucket: str, tmp_path: Path) -> None:
    root = f"s3://{bucket}/lake"
    driver(["make", root, str(tmp_path)]).communicate(timeout=LONGEST_SECONDS)
    written_side_by_side(root, tmp_path)
    shown, errors = driver(["read", root, str(tmp_path)]).communicate(timeout=LONGEST_SECONDS)
    assert shown, errors[-3000:]
    assert json.loads(shown.splitlines()[-1]) == {
        "rows": sorted([name, number] for name in DRIVERS for number in range(COMMITS)),
        "counter": len(DRIVERS) * COMMITS,
    }


def written_side_by_side(root: str, folder: Path) -> None:
    """Both begin at the same moment, once both are ready."""
    running = {name: driver(["write", root, str(folder), name, str(COMMITS)]) for name in DRIVERS}
    try:
        deadline = time.monotonic() + LONGEST_SECONDS
        while not all((folder / f"{name} is ready").exists() for name in DRIVERS):
            assert time.monotonic() < deadline, "the drivers do not start"
            time.sleep(0.05)
        (folder / "go").touch()
        for name, process in running.items():
            _, errors = process.communicate(timeout=LONGEST_SECONDS)
            assert process.returncode == 0, f"{name}: {errors[-3000:]}"
    finally:
        for process in running.values():
            process.kill()


def driver(arguments: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.writing_driver", *arguments],
        cwd=ROOT,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
