"""A streaming job as a process: it ends with its JVM, keeps a second one out, and ends as it is told to."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from streaming.job import LISTENING
from tests.e2e.processes import LAKEHOUSE, lakehouse

PATIENCE_SECONDS = 120.0
# What a user would still call at once; the watch over the JVM needs 6 at the most.
PROMPT_SECONDS = 15.0
# The last table that the job makes before its queries run.
LAST_TABLE = "silver/sessionized_web_logs/_delta_log/00000000000000000000.json"


@dataclass
class Driver:
    """`lakehouse stream silver` on a lake in a folder."""

    process: "subprocess.Popen[bytes]"
    folder: Path

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    def jvm(self) -> psutil.Process | None:
        """The JVM of the session, once it is there."""
        for each in psutil.Process(self.process.pid).children(recursive=True):
            try:
                command = each.cmdline()
            except psutil.NoSuchProcess:
                continue
            if "org.apache.spark.deploy.SparkSubmit" in command and "org.apache.spark.launcher.Main" not in command:
                return each
        return None

    def running(self) -> bool:
        """Whether the queries run, as far as a look from outside can tell."""
        return (self.lake / LAST_TABLE).exists()

    def wait_for(self, reached: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not reached():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def ended(self, seconds: float) -> int:
        return self.process.wait(seconds)


@contextmanager
def driver(folder: Path) -> Iterator[Driver]:
    folder.mkdir()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [LAKEHOUSE, "stream", "silver", "--root", str(folder / "lake")],
            env={**os.environ, **environment(folder)},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield Driver(process, folder)
    finally:
        for each in [*psutil.Process(process.pid).children(recursive=True)] if process.poll() is None else []:
            each.kill()
        process.kill()
        process.wait()


STARTING = "while it started: mend what it says above (or in the system's log)"
KILLED = "by SIGKILL: if nobody killed it, the system ran out of memory: lower driver_memory or end other programs"


def environment(folder: Path) -> dict[str, str]:
    return {"LAKEHOUSE_STATE_DIRECTORY": str(folder / "state")}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("moment", "how"),
    [
        (lambda driver: driver.jvm(), STARTING),
        (lambda driver: "NativeCodeLoader" in driver.log, KILLED),
        (lambda driver: driver.running(), KILLED),
    ],
    ids=["as soon as it is there", "while the session is made", "while the queries run"],
)
def test_a_driver_whose_jvm_dies_ends_at_once_with_one_line(
    tmp_path: Path, moment: Callable[[Driver], object], how: str
) -> None:
    with driver(tmp_path / "job") as job:
        job.wait_for(lambda: moment(job))
        jvm = job.jvm()
        assert jvm is not None
        jvm.kill()
        assert job.ended(PROMPT_SECONDS) == 1
        assert job.log.splitlines()[-1] == (
            f"lakehouse: Spark's JVM ended {how}, and start again: every job goes on where it was"
        )
        assert "Traceback" not in job.log


@pytest.mark.timeout(300)
def test_a_second_job_is_refused_with_who_writes_and_since_when(tmp_path: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    with driver(tmp_path / "job") as job:
        job.wait_for(job.running)
        second = lakehouse(["stream", "silver", "--root", str(job.lake)], environment(job.folder), job.folder)
        assert (second.returncode, second.stdout) == (1, "")
        *listening, told = second.stderr.splitlines()
        assert [line.partition(" INFO ")[2] for line in listening] == [LISTENING]
        found = re.fullmatch(
            rf"lakehouse: (silver\.\w+) is written by stream silver \(process {job.process.pid} on "
            rf"{os.uname().nodename}\) "
            r"since (\S+ \S+) UTC \(token 1\): only one process may write a table\. Stop that job first; should it be "
            r"dead, its lease ends 60 s after its last sign",
            told,
        )
        assert found is not None, told
        since = datetime.strptime(found[2], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        assert before <= since <= datetime.now(UTC)
        # Spark takes Ctrl-C for itself when its session begins.
        job.process.send_signal(signal.SIGINT)
        assert job.ended(PATIENCE_SECONDS) == 0, job.log
        assert "Traceback" not in job.log
