"""A lake that is filled while its jobs die again and again, and is then held against the oracle."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from rich.console import Console

from lakehouse.errors import LakehouseError
from local.demo.jobs import Job, Jobs
from local.demo.run import Run
from local.demo.stages import lakehouse, producer
from local.stress.deaths import JOBS, Death, drawn
from local.stress.faults import FaultyS3
from local.stress.reshards import Reshards
from runtime.failpoints import VARIABLE

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

# A job that was told to die at a point that it does not reach in this time is killed wherever it is.
LONGEST_LIFE_SECONDS = 90.0
# A point that the run has not died at yet is waited for: the jobs before this one die meanwhile.
LONGEST_WAY_SECONDS = 300.0
POLL_SECONDS = 0.2
# The JVM of a session, and what Spark's start script asks for its command.
SESSION, LAUNCHER = "org.apache.spark.deploy.SparkSubmit", "org.apache.spark.launcher.Main"
# A driver whose JVM is gone has to notice, and to end by itself.
NOTICE_SECONDS = 60.0
DRAIN_SECONDS = 900.0
# What a job need not do and some do: it can die there too.
EVERYTHING_ON = {"LAKEHOUSE_SYMLINK_MANIFESTS": "true", "LAKEHOUSE_COMPACT_BATCHES": "2"}
FILE_POINTS = ("files.before_commit@2", "files.after_commit@3")


class StressError(LakehouseError):
    """A job did not behave as it must when it or a part of it dies."""


class Course:
    """One run: what dies when, and what must happen then."""

    def __init__(
        self, run: Run, seed: int, kills: int, kinesis: "KinesisClient", s3: FaultyS3, console: Console
    ) -> None:
        """The jobs see S3 through `s3`. `points` counts the deaths at each named point."""
        self.survived = 0
        self.reshards = 0
        self.points: Counter[str] = Counter()
        self._run = run
        self._seed = seed
        self._files = [Death("batch", "all", point, 0) for point in FILE_POINTS[: max(0, kills - 1)]]
        self._deaths = drawn(seed, kills - len(self._files))
        self._kinesis = kinesis
        self._s3 = s3
        self._console = console
        self._orphans: list[psutil.Process] = []
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._started = time.monotonic()

    def fill(self) -> None:
        """1 Files go into bronze; that job dies too. 2 Events are produced while three streaming jobs die beside each
        other, and shards split and merge. 3 Everything drains.

        Raises StressError or JobFailedError when a job behaves otherwise than it must.
        """
        with Jobs() as jobs:
            # 1
            for death in self._files:
                self._die_at_point(self._job(jobs, "batch", ["batch", "all"], death.point), death)
            self._complete(self._job(jobs, "batch", ["batch", "all"]))
            # 2
            production = jobs.add(Job("producer", producer(self._run), self._log("producer"), self._run.environment))
            production.start()
            with Reshards(self._kinesis, list(self._run.settings.streams.values()), self._seed) as reshards:
                self._kill_side_by_side(jobs, reshards)
                self._tell("waiting for the producer")
                self._complete(production)
            self.reshards = reshards.done
            # 3
            self._tell("draining")
            self._complete(self._job(jobs, "stream", ["stream", "all", "--drain"]))
        deadline = time.monotonic() + NOTICE_SECONDS
        while (left := [each for each in self._orphans if is_alive(each)]) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        if left:
            raise StressError(f"processes outlive their killed driver by {NOTICE_SECONDS:.0f} s: {left}")

    def _kill_side_by_side(self, jobs: Jobs, reshards: Reshards) -> None:
        """Every job lives and dies at its own pace, until all have died as often as they must. The first failure ends
        all of them.
        """
        with ThreadPoolExecutor(len(JOBS)) as lives:
            done = [lives.submit(self._kill_again_and_again, jobs, reshards, name) for name in JOBS]
            try:
                living = [each.result() for each in as_completed(done)]
            finally:
                self._over.set()
        for job in living:
            job.kill()

    def _kill_again_and_again(self, jobs: Jobs, reshards: Reshards, name: str) -> Job:
        """The deaths of one job, one after the other; gives the job, which then runs on for the sake of the others."""
        job: Job | None = None
        for death in (each for each in self._deaths if each.job == name):
            if job is not None and death.point is not None:
                # It lives on after the death of a worker: a point takes a new start.
                job.kill()
                job = None
            job = job or self._job(jobs, name, ["stream", name], death.point)
            if death.point is None:
                self._die_any_time(job, death)
            else:
                self._die_at_point(job, death)
            reshards.check()
            if self._over.is_set():
                return job
            job = job if death.what == "worker" else None
        return job or self._job(jobs, name, ["stream", name])

    def _die_at_point(self, job: Job, death: Death) -> None:
        """The job dies by itself where it was told to. Where it does not come to a point again it is killed wherever it
        is; a point at which nothing has died yet has to be reached.
        """
        point = (death.point or "").partition("@")[0]
        longest = LONGEST_LIFE_SECONDS if self.points[point] else LONGEST_WAY_SECONDS
        deadline = time.monotonic() + longest
        while job.running and time.monotonic() < deadline and not self._over.is_set():
            time.sleep(POLL_SECONDS)
        if job.running:
            job.kill()
            if not self.points[point] and not self._over.is_set():
                raise StressError(f"{job.name} did not come to {death.point} in {longest:.0f} s: see {job.log}")
            self._told(f"{death}: not reached in {longest:.0f} s, killed")
            return
        if job.exit_code != -signal.SIGKILL:
            raise StressError(f"{job.name} should die at {death.point} and ended with {job.exit_code}: see {job.log}")
        job.kill()
        self.points[point] += 1
        self._told(str(death))

    def _die_any_time(self, job: Job, death: Death) -> None:
        self._over.wait(death.after)
        if not job.running:
            raise StressError(f"{job.name} ended by itself with {job.exit_code}: see {job.log}")
        if death.what == "all":
            job.kill()
        elif death.what == "driver":
            self._orphans += job.family()
            job.kill_driver()
        elif death.what == "worker":
            _kill_one(job, lambda command: "python" in Path(command[0]).name)
        else:
            _kill_jvm(job)
            if not job.wait_for_end(NOTICE_SECONDS):
                raise StressError(
                    f"the driver did not notice in {NOTICE_SECONDS:.0f} s that its JVM is dead: see {job.log}"
                )
        self._told(str(death))

    def _job(self, jobs: Jobs, name: str, arguments: Sequence[str], point: str | None = None) -> Job:
        environment = {
            **self._run.environment,
            **EVERYTHING_ON,
            VARIABLE: point or "",
            "AWS_ENDPOINT_URL_S3": self._s3.endpoint,
        }
        job = jobs.add(Job(name, lakehouse(arguments), self._log(name), environment))
        job.start()
        return job

    def _complete(self, job: Job) -> None:
        if not job.wait(DRAIN_SECONDS):
            raise StressError(f"{job.name} is not through after {DRAIN_SECONDS:.0f} s: see {job.log}")

    def _log(self, name: str) -> Path:
        return self._run.folder / f"{name}.log"

    def _told(self, death: str) -> None:
        with self._lock:
            self.survived += 1
            self._tell(f"kill {self.survived}: {death}")

    def _tell(self, text: str) -> None:
        self._console.print(f"[{time.monotonic() - self._started:5.0f} s] {text}", highlight=False, markup=False)


def _kill_jvm(job: Job) -> None:
    """Kills the job's JVM; a job that has just begun has none yet."""
    deadline = time.monotonic() + NOTICE_SECONDS
    while not _kill_one(job, is_session):
        if not job.running or time.monotonic() > deadline:
            raise StressError(f"{job.name} has no JVM: see {job.log}")
        time.sleep(POLL_SECONDS)


def is_session(command: Sequence[str]) -> bool:
    """Whether a process's command is that of a session's JVM: a job that starts runs others too, which ask Java for its
    version and work out this command.
    """
    return SESSION in command and LAUNCHER not in command


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs: not whether something has its number, which in a long run is another process or a thread."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _kill_one(job: Job, meant: Callable[[Sequence[str]], bool]) -> bool:
    """Kills one process in the job's family whose command is `meant`, but not the driver; False where there is none."""
    for process in job.family():
        try:
            alive = process.pid != job.pid and process.status() != psutil.STATUS_ZOMBIE
            command = process.cmdline() if alive else []
            if command and meant(command):
                process.kill()
                return True
        except psutil.NoSuchProcess:
            continue
    return False
