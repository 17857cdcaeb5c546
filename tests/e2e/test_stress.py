"""A short, fixed part of `make stress`: jobs die at named points while shards split and merge and S3 fails."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.settings import Settings
from tests.e2e.processes import processes_of

# Two deaths of the batch job, then one of each streaming job; `make stress` comes to each point once.
SEED, KILLS = 7, 5
LONGEST_SECONDS = 1500
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(LONGEST_SECONDS + 60)
def test_a_lake_is_exact_after_its_jobs_died_again_and_again(emulator: Settings, tmp_path: Path) -> None:
    state = tmp_path / "state"
    done = subprocess.run(
        [sys.executable, "-m", "local.stress", "--seed", str(SEED), "--kills", str(KILLS)],
        env={**os.environ, "LAKEHOUSE_STATE_DIRECTORY": str(state)},
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
    )
    logs = "".join(f"\n--- {log.name}\n{log.read_text()[-3000:]}" for log in state.glob("stress/*.log"))
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{logs}"
    last = done.stdout.strip().splitlines()[-1]
    told = rf"{KILLS} kills, \d+ reshards survived: 0 lost, 0 duplicated, 0 KPI differences \(seed {SEED}, \d+ s\)"
    assert re.fullmatch(told, last), done.stdout
    assert processes_of(state) == {}
