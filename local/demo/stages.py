"""The demo's course: events and files in, a crash on the way, everything drained."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console, RenderableType
from rich.live import Live

from lakehouse.contracts import load_contracts
from lakehouse.errors import LakehouseError
from local.demo.jobs import Job, Jobs
from local.demo.progress import Progress
from local.demo.run import Run

# The one job that streams all layers.
STREAM = "stream"
POLL_SECONDS = 0.5
# Looking at the lake asks the emulator for every table's log: each second, that would take a fifth of two cores.
REFRESH_SECONDS = 2.0
TELL_SECONDS = 10.0
LONGEST_SECONDS = 1800


class DemoError(LakehouseError):
    """The demo cannot go on; the message says why and what to do."""


def fill_lake(run: Run, records: int, environment: Mapping[str, str], console: Console) -> str:
    """Runs producer, batch and streaming jobs until all that was produced is in gold; gives the name of the job that
    was killed on the way. The files must have landed; `records` is the number of stream records to come.

    Raises JobFailedError when a job ends with an error, DemoError when it takes absurdly long.
    """
    with Jobs() as jobs:
        course = Course(run, jobs, records, environment, console)
        if not console.is_terminal:
            return course.run()
        with Live(get_renderable=course.picture, console=console, refresh_per_second=4, transient=True):
            return course.run()


class Course:
    """The jobs of one demo and the order in which things happen to them."""

    def __init__(self, run: Run, jobs: Jobs, records: int, environment: Mapping[str, str], console: Console) -> None:
        self._run = run
        self._records = records
        self._console = console
        self._started = self._told = self._refresh_at = time.monotonic()
        self._progress = Progress(run, load_contracts(run.settings.contracts_directory))
        names = {STREAM: ["stream", "all"], "batch": ["batch", "all"]}
        self._jobs = {
            name: jobs.add(Job(name, lakehouse(arguments), run.folder / f"{name}.log", environment))
            for name, arguments in names.items()
        }
        self._jobs["producer"] = jobs.add(Job("producer", producer(run), run.folder / "producer.log", environment))
        self._all = jobs
        self._states = dict.fromkeys(self._jobs, "waiting")

    def run(self) -> str:
        """1 Files go into bronze while events are produced. 2 One job streams them through bronze, silver and gold.
        3 Half-way it is killed without warning, and started again. 4 When the producer is through, the job drains.
        """
        # 1
        self._stage("taking in files, producing events")
        for name in ("batch", "producer"):
            self._start(name)
        self._until(lambda: all(self._progress.bronze[name] for name in self._progress.contracts.references))
        # 2
        self._stage("bronze, silver and gold are starting")
        self._start(STREAM)
        self._until(lambda: sum(self._progress.silver.values()) > 0)
        self._stage("bronze, silver and gold are running")
        # 3
        self._until(lambda: self._half_way() and self._gold_has_committed())
        self._stage("the streaming job was killed (SIGKILL) and starts again")
        self._jobs[STREAM].kill()
        self._states[STREAM] = "killed"
        self._start(STREAM, "restarted")
        self._until(lambda: not self._jobs["producer"].running and not self._jobs["batch"].running)
        # 4
        self._stage("everything is produced: draining")
        self._until(lambda: self._jobs[STREAM].listening)
        self._jobs[STREAM].drain()
        self._states[STREAM] = "draining"
        self._until(lambda: not self._jobs[STREAM].running)
        self._states[STREAM] = "drained"
        return STREAM

    def picture(self) -> RenderableType:
        """What a terminal shows at the moment."""
        return self._progress.render(self._states)

    def _start(self, name: str, state: str = "running") -> None:
        self._jobs[name].start()
        self._states[name] = state

    def _half_way(self) -> bool:
        return sum(self._progress.produced.values()) >= self._records // 2

    def _gold_has_committed(self) -> bool:
        return self._progress.gold_commits > len(self._progress.gold_names)

    def _stage(self, text: str) -> None:
        self._progress.stage = text
        if not self._console.is_terminal:
            self._console.print(f"[{time.monotonic() - self._started:5.0f} s] {text}", highlight=False, markup=False)

    def _until(self, reached: Callable[[], bool]) -> None:
        """Waits, keeps the picture up to date, and notices a job that failed."""
        while True:
            time.sleep(POLL_SECONDS)
            if time.monotonic() >= self._refresh_at:
                self._progress.refresh()
                self._refresh_at = time.monotonic() + REFRESH_SECONDS
            self._all.check()
            for name, job in self._jobs.items():
                if self._states[name] == "running" and not job.running:
                    self._states[name] = "done"
            now = time.monotonic()
            if not self._console.is_terminal and now - self._told >= TELL_SECONDS:
                self._told = now
                self._console.print(
                    f"[{now - self._started:5.0f} s] {self._progress.line()}", highlight=False, markup=False
                )
            if reached():
                return
            if now - self._started > LONGEST_SECONDS:
                raise DemoError(f"not through after {LONGEST_SECONDS} s: see the logs in {self._run.folder}")


def lakehouse(arguments: Sequence[str]) -> list[str]:
    """The command line of a `lakehouse` command in this Python."""
    return [sys.executable, "-m", "local", *arguments]


def producer(run: Run) -> list[str]:
    """The command line that puts the production's events on the streams."""
    streams = [f"--stream={source}={name}" for source, name in run.settings.streams.items()]
    options = {"--ledger": run.ledger, "--rate": run.rate, "--days": run.days, "--seed": run.seed}
    given = [str(part) for pair in options.items() for part in pair]
    return [sys.executable, "-m", "local.generator.produce", *given, *streams]
