"""A process whose JVM is gone ends, even when its main thread waits for ever."""

import subprocess
import sys

import pytest

from runtime import jvm

# Stands in for a session: what `runtime.jvm` looks at, without Spark.
PROGRAM = """
import subprocess, sys, threading, types
from runtime import jvm
jvm.POLL_SECONDS, jvm.WAY_OUT_SECONDS = 0.01, 0.2
process = subprocess.Popen([sys.executable, "-c", {program!r}], stdin=subprocess.PIPE)
gateway = types.SimpleNamespace(proc=process)
sys.modules["pyspark.core.context"] = types.SimpleNamespace(SparkContext=types.SimpleNamespace(_gateway=gateway))
jvm.watch()
{then}
"""
TOLD = "Spark's JVM ended {}, and start again: every job goes on where it was"
ENDED = "with exit code 3: mend what it says above (or in the system's log)"
KILLED = "by SIGKILL: if nobody killed it, the system ran out of memory: lower driver_memory or end other programs"


def run(program: str, then: str) -> subprocess.CompletedProcess[str]:
    code = PROGRAM.format(program=program, then=then)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("program", "how"),
    [
        ("import os; os.kill(os.getpid(), 9)", KILLED),
        ("raise SystemExit(3)", ENDED),
    ],
)
def test_a_process_that_waits_for_ever_ends_with_its_jvm(program: str, how: str) -> None:
    ran = run(program, "threading.Event().wait()")
    assert (ran.returncode, ran.stderr) == (1, f"lakehouse: {TOLD.format(how)}\n")


def test_a_process_that_waits_for_a_thread_at_its_end_ends_with_its_jvm() -> None:
    ran = run("raise SystemExit(3)", "threading.Thread(target=threading.Event().wait).start()")
    assert (ran.returncode, ran.stderr) == (1, f"lakehouse: {TOLD.format(ENDED)}\n")


def test_a_process_that_finds_its_own_way_out_is_left_to_it() -> None:
    """The lines of `local.cli.main`: whatever failed, failed because the JVM is gone."""
    ran = run("raise SystemExit(3)", "print(jvm.gone())")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{TOLD.format(ENDED)}\n", "")


def test_a_jvm_that_runs_is_not_gone() -> None:
    ran = run("input()", "jvm.CLOSING_SECONDS = 0.1\nprint(jvm.gone())")
    assert (ran.returncode, ran.stdout) == (0, "None\n")


def test_without_a_session_there_is_no_jvm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pyspark.core.context", raising=False)
    assert jvm.gone() is None


def test_a_call_that_finds_no_jvm_leaves_no_stack_in_the_log() -> None:
    """py4j logs it to the root logger before it raises it."""
    ran = run(
        "import sys; sys.stdin.read()",
        "import logging\nlogging.basicConfig(format='%(message)s')\n"
        "logging.error('Exception while sending command.')\nlogging.error('another')",
    )
    assert (ran.returncode, ran.stderr) == (0, "another\n")
