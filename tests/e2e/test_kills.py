"""The streaming job is killed again and again while records arrive; the lake ends exactly as the oracle says."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from uuid import uuid4

import boto3
import pytest

from lakehouse.settings import Settings
from local import stack
from local.demo.jobs import Job, Jobs
from local.demo.proof import lake_rows, prove
from local.generator.production import Production, plan
from local.sql import Lake
from tests.e2e.processes import lakehouse, processes_of

SEED = 20
LONGEST_LIVES = (8, 12, 20)  # seconds after the first batch; the later ones reach silver and gold
DAYS, HOURS, VISITS, LOG_LINES, RATE = 1, 1, 12, 60, 6.0
PATIENCE_SECONDS = 240
IDLE_SECONDS = 60


@dataclass(frozen=True)
class Small:
    """A small production and the lake that it goes into."""

    folder: Path
    settings: Settings
    production: Production
    environment: dict[str, str]

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.jsonl"

    def delivered(self) -> int:
        """The stream records that were acknowledged."""
        return self.ledger.read_text().count('"stream"') if self.ledger.exists() else 0

    @property
    def processes(self) -> dict[int, str]:
        return processes_of(self.settings.state_directory)

    def job(self, name: str, *command: str) -> Job:
        return Job(name, command, self.folder / f"{name}.log", self.environment)

    def streaming(self) -> Job:
        return self.job("stream", sys.executable, "-m", "local", "stream", "all")

    def producer(self, rate: float) -> Job:
        options = {"days": DAYS, "seed": SEED, "hours": HOURS, "visits": VISITS, "log-lines": LOG_LINES, "rate": rate}
        streams = [f"--stream={source}={name}" for source, name in self.settings.streams.items()]
        places = ["--ledger", str(self.ledger), "--landing", self.settings.landing]
        given = [f"--{name}={value}" for name, value in options.items()]
        return self.job("producer", sys.executable, "-m", "local.generator.produce", *places, *given, *streams)


@pytest.fixture
def small(emulator: Settings, tmp_path: Path) -> Iterator[Small]:
    streams = {source: f"{name}-{uuid4().hex[:8]}" for source, name in emulator.streams.items()}
    settings = Settings(
        root=str(tmp_path / "lake"),
        landing=str(tmp_path / "landing"),
        streams=streams,
        state_directory=tmp_path / "state",
    )
    stack.ensure_resources(emulator.model_copy(update={"streams": streams}))
    (tmp_path / "landing").mkdir()
    environment = {
        "LAKEHOUSE_ROOT": settings.root,
        "LAKEHOUSE_LANDING": settings.landing,
        "LAKEHOUSE_STREAMS": settings.model_dump_json(include={"streams"})
        .removeprefix('{"streams":')
        .removesuffix("}"),
        "LAKEHOUSE_STATE_DIRECTORY": str(settings.state_directory),
        "PYTHONPATH": os.getcwd(),
    }
    production = plan(DAYS, SEED, hours=HOURS, visits=VISITS, log_lines=LOG_LINES)
    yield Small(tmp_path, settings, production, environment)
    for name in streams.values():
        boto3.client("kinesis").delete_stream(StreamName=name, EnforceConsumerDeletion=True)


@pytest.mark.timeout(900)
def test_kills_at_random_moments_leave_no_trace(small: Small) -> None:
    """1 The producer writes files and begins to put records; the files go into bronze. 2 The job for all layers runs,
    and is killed with all its children at a random moment, three times. 3 The producer starts over and delivers every
    record once more; the job runs, and is told to end in the middle of its work: exit code 0, after the batch that it
    was at. 4 With the producer through, it drains. 5 The lake equals the oracle's.
    """
    random = Random(SEED)
    moments = [random.uniform(0, longest) for longest in LONGEST_LIVES]
    with Jobs() as jobs:
        # 1
        producer, streaming = jobs.add(small.producer(RATE)), jobs.add(small.streaming())
        producer.start()
        until(lambda: small.delivered() > 0, jobs, producer)
        taken_in = lakehouse(["batch", "all"], small.environment, small.folder, PATIENCE_SECONDS)
        assert taken_in.returncode == 0, taken_in.stderr
        # 2
        for moment in moments:
            begin(streaming, jobs)
            time.sleep(moment)
            streaming.check()
            streaming.kill()
            assert [command for command in small.processes.values() if "stream" in command.split()] == []
        until(lambda: not producer.running, jobs, producer)
        # 3
        producer = jobs.add(small.producer(10 * RATE))
        producer.start()
        begun_at = begin(streaming, jobs)
        [job] = [process for process, command in small.processes.items() if "local stream all" in command]
        os.kill(job, signal.SIGTERM)
        assert streaming.wait(PATIENCE_SECONDS), streaming.log.read_text()
        assert "Traceback" not in streaming.log.read_text()[begun_at:], streaming.log.read_text()[begun_at:]
        until(lambda: not producer.running, jobs, producer)
        # 4
        drained = lakehouse(["stream", "all", "--drain"], small.environment, small.folder, PATIENCE_SECONDS)
        assert drained.returncode == 0, drained.stderr
    # 5
    with Lake(small.settings.root) as lake:
        comparison = prove(lake, small.production, small.ledger)
        rows = lake_rows(lake)
    assert [str(each) for each in comparison.differences] == [], f"killed {moments} s after the first batch"
    assert small.delivered() == 2 * len(small.production.records)
    assert len(rows.bronze["web_logs"]) + len(rows.bronze["crm"]) == small.delivered()
    assert small.processes == {}


def begin(streaming: Job, jobs: Jobs) -> int:
    """Starts the job and waits for its first batch, or until there seems to be nothing to do; gives where its part of
    the log begins."""
    begun_at = streaming.log.stat().st_size if streaming.log.exists() else 0
    streaming.start()
    until(lambda: streaming.listening, jobs, streaming)
    begun = time.monotonic()
    until(
        lambda: b" batch " in streaming.log.read_bytes()[begun_at:] or time.monotonic() - begun > IDLE_SECONDS,
        jobs,
        streaming,
    )
    return begun_at


def until(reached: Callable[[], bool], jobs: Jobs, shown: Job) -> None:
    """Waits; a job that fails, or endless waiting, shows the log."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        jobs.check()
        assert time.monotonic() < deadline, shown.log.read_text()
        time.sleep(0.1)
