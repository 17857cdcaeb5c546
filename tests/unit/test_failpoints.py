"""A named point kills the job when a variable says so, and is nothing otherwise."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from runtime import failpoints
from runtime.failpoints import POINTS, Trap, UnknownPointError

REPOSITORY = Path(__file__).resolve().parents[2]


def run(code: str, wanted: str | None) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name != failpoints.VARIABLE}
    if wanted is not None:
        environment[failpoints.VARIABLE] = wanted
    return subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60
    )


THREE_PASSINGS = """
from runtime.failpoints import failpoint
for n in range(3):
    failpoint("silver.after_merge")
    print(n, flush=True)
    failpoint("gold.after_merge")
"""


@pytest.mark.parametrize(
    ("wanted", "printed", "ending"),
    [
        (None, "0\n1\n2\n", 0),
        ("silver.after_merge", "", -signal.SIGKILL),
        ("silver.after_merge@3", "0\n1\n", -signal.SIGKILL),
        ("gold.after_merge@1", "0\n", -signal.SIGKILL),
        ("silver.after_merge@4", "0\n1\n2\n", 0),
    ],
)
def test_a_process_dies_at_the_passing_that_was_asked_for(wanted: str | None, printed: str, ending: int) -> None:
    done = run(THREE_PASSINGS, wanted)
    assert (done.stdout, done.returncode) == (printed, ending), done.stderr


def test_without_the_variable_a_point_is_an_empty_function() -> None:
    done = run("from runtime import failpoints; print(failpoints.failpoint is failpoints._nothing)", "")
    assert done.stdout == "True\n"


def test_the_whole_family_dies_whoever_comes_to_the_point() -> None:
    """The point is passed in a grandchild, as a ledger write is in a Python worker; the parent and a sister die too."""
    code = """
import subprocess, sys
import runtime.failpoints
sister = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(sister.pid, flush=True)
child = "from runtime.failpoints import failpoint; failpoint('ledger.after_write')"
subprocess.run([sys.executable, "-c", child])
print("survived", flush=True)
"""
    done = run(code, "ledger.after_write")
    sister, *more = done.stdout.split()
    assert (more, done.returncode) == ([], -signal.SIGKILL)
    # SIGKILL was sent; on a busy machine the end takes a moment.
    deadline = time.monotonic() + 10
    while lives(sister) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not lives(sister)


def lives(process: str) -> bool:
    try:
        return psutil.Process(int(process)).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("wanted", ["silver.somewhere", "silver.after_merge@often", "@2"])
def test_a_point_that_does_not_exist_is_refused(wanted: str) -> None:
    with pytest.raises(UnknownPointError, match=re.escape(f"LAKEHOUSE_DIE_AT={wanted}: write one of kinesis.planned")):
        Trap(wanted)


def test_every_point_is_passed_somewhere_and_none_is_unknown() -> None:
    code = "\n".join(
        file.read_text()
        for folder in ("runtime", "streaming", "batch")
        for file in sorted((REPOSITORY / folder).rglob("*.py"))
    )
    assert set(re.findall(r'failpoint\("([^"]+)"\)', code)) == set(POINTS)
