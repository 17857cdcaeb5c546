"""The demo's jobs as processes of their own: started, killed, drained, and never left behind."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import psutil

from lakehouse.errors import LakehouseError
from streaming.job import LISTENING

END_SECONDS = 90


class JobFailedError(LakehouseError):
    """A job of the demo ended with an error; the message names its log."""


class Job:
    """One command in a process of its own, with its output in a log file."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._begun_at = 0

    def start(self) -> None:
        """Starts the process, out of reach of the terminal's Ctrl-C: who started it ends it."""
        self._begun_at = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self._environment,
                start_new_session=True,
            )  # fmt: skip

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """What the process ended with, minus the number of the signal that killed it; None while it runs."""
        return self._process.poll() if self._process is not None else None

    def check(self) -> None:
        """Raises JobFailedError when the process has ended with an error."""
        if self._process is not None and self._process.poll() not in (None, 0):
            raise JobFailedError(f"{self.name} ended with exit code {self._process.returncode}: see {self.log}")

    def kill(self) -> None:
        """SIGKILL to the process and all its children, as a machine that is switched off would."""
        if self._process is None:
            return
        for each in _family(self._process.pid):
            each.kill()
        self._process.wait()
        self._process = None

    def kill_driver(self) -> None:
        """SIGKILL to the process alone; its JVM is left to notice."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None

    @property
    def pid(self) -> int | None:
        """The process id of what was started last."""
        return self._process.pid if self._process is not None else None

    def family(self) -> list[psutil.Process]:
        """The process and its descendants."""
        return _family(self._process.pid) if self._process is not None else []

    def wait_for_end(self, seconds: float) -> bool:
        """Waits for the end, whatever the exit code, and leaves nothing of the family; False when it has not come."""
        if self._process is None:
            return True
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._process = None
        return True

    @property
    def listening(self) -> bool:
        """Whether the streaming job has said that it takes signals; before, one would just end it."""
        return self.running and LISTENING.encode() in self.log.read_bytes()[self._begun_at :]

    def drain(self) -> None:
        """Asks the streaming job, which must be `listening`, to end once it has read everything that is there."""
        if self._process is not None:
            self._process.send_signal(signal.SIGUSR1)

    def wait(self, seconds: float) -> bool:
        """Waits for the end; False when it has not come. Raises JobFailedError for an error."""
        if self._process is None:
            return True
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self.check()
        return True

    def end(self) -> None:
        """Ends the process whatever it does: SIGTERM first, SIGKILL when that is not heard."""
        if self._process is None:
            return
        family = _family(self._process.pid)
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for each in family:
            if each.is_running():
                each.kill()
        self._process = None


class Jobs:
    """Jobs that end together: leaving the `with` block, however it is left, leaves none behind."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []

    def add(self, job: Job) -> Job:
        """Takes charge of a job."""
        self._jobs.append(job)
        return job

    def check(self) -> None:
        """Raises JobFailedError for the first job that has ended with an error."""
        for job in self._jobs:
            job.check()

    def __enter__(self) -> "Jobs":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for job in self._jobs:
            # A demo that was interrupted does not wait for the batches that run.
            job.end() if error is None else job.kill()


def _family(pid: int) -> list[psutil.Process]:
    """The process and its descendants, Spark's JVM and Python workers among them."""
    try:
        parent = psutil.Process(pid)
        return [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        return []
