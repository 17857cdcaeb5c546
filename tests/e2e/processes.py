"""`lakehouse` commands as users run them, and what they leave behind."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

LAKEHOUSE = str(Path(sys.executable).parent / "lakehouse")


def lakehouse(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path, seconds: float = 400
) -> subprocess.CompletedProcess[str]:
    """One command to its end, run in `folder`, where no lakehouse.toml is."""
    return subprocess.run(
        [LAKEHOUSE, *arguments],
        env={**os.environ, **environment},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def processes_of(state: Path) -> dict[int, str]:
    """The processes that run with this state directory: process id and command line."""
    found = {}
    for process in psutil.process_iter():
        try:
            if process.environ().get("LAKEHOUSE_STATE_DIRECTORY") == str(state):
                found[process.pid] = " ".join(process.cmdline())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
