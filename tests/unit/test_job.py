"""A job of queries without Spark: failures, restarts, drains and stops."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, cast

import pytest
from pyspark.errors import PySparkException, StreamingQueryException
from pyspark.sql.streaming.query import StreamingQuery

from runtime.checkpoints import CheckpointError
from runtime.storage import StorageError
from streaming import job
from streaming.job import Declaration, Job, QueryFailedError, Requests

PAUSE = 0.05
PATIENCE_SECONDS = 10.0


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "FIRST_PAUSE_SECONDS", PAUSE)
    monkeypatch.setattr(job, "LONGEST_PAUSE_SECONDS", 4 * PAUSE)
    monkeypatch.setattr(job, "POLL_SECONDS", 0.002)


class FakeQuery:
    """A query that does what the test tells it; `processAllAvailable` returns once `through` is set."""

    def __init__(self, events: list[str], name: str) -> None:
        self.events = events
        self.name = name
        self.isActive = True
        self.lastProgress: dict[str, Any] | None = None
        self.status = {"isTriggerActive": False}
        self.failure: Exception | None = None
        self.through = threading.Event()
        self.may_be_torn = False

    def fail(self, message: str = "no such bucket") -> None:
        self.failure = cast(Callable[..., Exception], StreamingQueryException)(message)
        self.isActive = False
        self.through.set()

    def exception(self) -> Exception | None:
        return self.failure

    def processAllAvailable(self) -> None:  # noqa: N802
        self.through.wait(PATIENCE_SECONDS)
        if self.failure is not None:
            raise self.failure
        self.events.append(f"{self.name} is through")

    def stop(self) -> None:
        assert self.may_be_torn or not self.status["isTriggerActive"], "stopped in the middle of a batch"
        self.isActive = False
        self.events.append(f"{self.name} stopped")


class Fakes:
    """Declarations of fake queries, and everything that happened to them in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.started: dict[str, list[tuple[float, FakeQuery]]] = {}

    def declare(
        self,
        name: str,
        stage: int = 0,
        begin: Callable[[FakeQuery], None] = lambda query: None,
    ) -> Declaration:
        def start() -> StreamingQuery:
            query = FakeQuery(self.events, name)
            self.events.append(f"{name} started")
            self.started.setdefault(name, []).append((time.monotonic(), query))
            begin(query)
            return cast(StreamingQuery, query)

        return Declaration(name, stage, start)

    def query(self, name: str) -> FakeQuery:
        """The latest query of that name, waited for."""
        until(lambda: bool(self.started.get(name)))
        return self.started[name][-1][1]

    def happened(self, *names: str) -> list[str]:
        """The events about queries of these names."""
        return [event for event in self.events if event.split()[0] in names]


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


@contextmanager
def running(*declarations: Declaration, max_restarts: int = 3, drain: bool = False) -> Iterator["Background"]:
    background = Background(Job(declarations, max_restarts, requests := Requests(drain)), requests)
    background.thread.start()
    try:
        yield background
    finally:
        requests.stop.set()
        background.thread.join(PATIENCE_SECONDS)
        assert not background.thread.is_alive()


class Background:
    """A job that runs beside the test."""

    def __init__(self, under_test: Job, requests: Requests) -> None:
        self.requests = requests
        self.failure: Exception | None = None
        self.thread = threading.Thread(target=self._run, args=(under_test,))

    def _run(self, under_test: Job) -> None:
        try:
            under_test.run()
        except Exception as failure:
            self.failure = failure

    def ended(self) -> None:
        self.thread.join(PATIENCE_SECONDS)
        assert not self.thread.is_alive(), "the job goes on"


def test_a_failing_query_starts_again_after_growing_pauses_while_its_neighbour_goes_on() -> None:
    fakes = Fakes()
    failing = fakes.declare("bad", begin=lambda query: query.fail() if len(fakes.started["bad"]) < 4 else None)

    with running(failing, fakes.declare("good")) as background:
        until(lambda: len(fakes.started.get("bad", [])) == 4)
        assert fakes.query("good").isActive
        assert background.thread.is_alive()

    times = [moment for moment, _ in fakes.started["bad"]]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    for pause, least in zip(pauses, (PAUSE, 2 * PAUSE, 4 * PAUSE), strict=True):
        assert least <= pause < least + 1
    assert fakes.happened("good") == ["good started", "good stopped"]


def test_a_query_that_cannot_even_start_counts_as_failed() -> None:
    fakes = Fakes()
    attempts: list[int] = []

    def refuse(query: FakeQuery) -> None:
        attempts.append(1)
        if len(attempts) < 3:
            raise PySparkException("org.apache.hadoop.fs.s3a.AWSBadRequestException: no answer")

    with running(fakes.declare("bad", begin=refuse)):
        until(lambda: len(attempts) == 3)


def test_a_store_that_does_not_answer_when_a_query_starts_counts_as_a_failure() -> None:
    """The neighbour goes on in the middle of its batch."""
    fakes = Fakes()
    attempts: list[int] = []

    def outage(query: FakeQuery) -> None:
        attempts.append(1)
        if len(attempts) < 3:
            raise StorageError("s3://lake/checkpoints/metadata cannot be read: no answer")

    with running(fakes.declare("good"), fakes.declare("bad", begin=outage)) as background:
        fakes.query("good").status["isTriggerActive"] = True
        until(lambda: len(attempts) == 3)
        assert background.thread.is_alive()
        fakes.query("good").status["isTriggerActive"] = False
    assert background.failure is None
    assert fakes.happened("good") == ["good started", "good stopped"]


def test_a_store_that_never_answers_ends_the_job_with_the_object() -> None:
    def outage(query: FakeQuery) -> None:
        raise StorageError("s3://lake/bronze/_delta_log cannot be listed: no answer")

    with running(Fakes().declare("silver.pos", begin=outage), max_restarts=1) as background:
        background.ended()
    assert str(background.failure) == (
        "silver.pos failed 2 times in a row and is given up: s3://lake/bronze/_delta_log cannot be listed: no answer"
    )


def test_a_query_that_refuses_to_start_ends_the_job_after_its_neighbours_batch() -> None:
    fakes = Fakes()
    refused = CheckpointError("silver/pos ends at batch 0, but the tables hold batch 1")

    def refuse(query: FakeQuery) -> None:
        fakes.query("good").status["isTriggerActive"] = True
        raise refused

    with running(fakes.declare("good"), fakes.declare("bad", begin=refuse)) as background:
        good = fakes.query("good")
        until(lambda: "bad started" in fakes.events)
        time.sleep(0.1)
        assert good.isActive
        assert background.thread.is_alive()
        good.status["isTriggerActive"] = False
        background.ended()
    assert background.failure is refused
    assert fakes.events == ["good started", "bad started", "good stopped"]


def test_a_query_that_fails_too_often_ends_the_job_with_the_reason() -> None:
    fakes = Fakes()
    failing = fakes.declare(
        "silver.pos", begin=lambda query: query.fail("at line 1\njava.io.IOException: disk full\n\tat Foo")
    )

    with running(failing, fakes.declare("good"), max_restarts=2) as background:
        background.ended()

    assert isinstance(background.failure, QueryFailedError)
    assert str(background.failure) == (
        "silver.pos failed 3 times in a row and is given up: java.io.IOException: disk full"
    )
    assert len(fakes.started["silver.pos"]) == 3
    assert fakes.happened("good") == ["good started", "good stopped"]


def test_a_query_that_ends_without_an_exception_has_failed_too() -> None:
    fakes = Fakes()

    def vanish(query: FakeQuery) -> None:
        query.isActive = False

    with running(fakes.declare("silver.pos", begin=vanish), max_restarts=1) as background:
        background.ended()

    assert "silver.pos failed 2 times in a row" in str(background.failure)
    assert len(fakes.started["silver.pos"]) == 2


def test_progress_between_failures_forgives_the_failures_before() -> None:
    fakes = Fakes()
    with running(fakes.declare("shaky"), max_restarts=1) as background:
        for batch in range(4):
            until(lambda: len(fakes.started.get("shaky", [])) == batch + 1)  # noqa: B023
            query = fakes.query("shaky")
            query.lastProgress = {"batchId": batch}
            time.sleep(0.05)
            query.fail()
        until(lambda: len(fakes.started["shaky"]) == 5)
    assert background.failure is None


def test_the_same_batch_failing_again_and_again_is_no_progress() -> None:
    fakes = Fakes()

    def stuck(query: FakeQuery) -> None:
        query.lastProgress = {"batchId": 0}
        threading.Timer(0.03, query.fail).start()

    with running(fakes.declare("stuck", begin=stuck), max_restarts=1) as background:
        background.ended()
    assert isinstance(background.failure, QueryFailedError)


def test_a_drain_takes_the_stages_one_after_the_other() -> None:
    fakes = Fakes()
    with running(fakes.declare("silver", 1), fakes.declare("bronze", 0), fakes.declare("gold", 2), drain=True) as ran:
        queries = [fakes.query(name) for name in ("gold", "silver", "bronze")]
        for query in queries:
            time.sleep(0.02)
            assert len(fakes.events) == 3, "silver is not asked before bronze is through"
            query.through.set()
        ran.ended()

    assert ran.failure is None
    assert sorted(fakes.events[:3]) == ["bronze started", "gold started", "silver started"]
    assert fakes.events[3:6] == ["bronze is through", "silver is through", "gold is through"]
    assert sorted(fakes.events[6:]) == ["bronze stopped", "gold stopped", "silver stopped"]


def test_a_drain_of_a_running_job_begins_at_the_first_stage_again() -> None:
    """What bronze takes in last must be there before silver is asked whether it is through."""
    fakes = Fakes()
    with running(fakes.declare("bronze", 0), fakes.declare("silver", 1)) as ran:
        bronze, silver = fakes.query("bronze"), fakes.query("silver")
        silver.through.set()
        ran.requests.drain.set()
        time.sleep(0.1)
        assert fakes.events == ["bronze started", "silver started"]
        bronze.through.set()
        ran.ended()

    assert fakes.events[2:4] == ["bronze is through", "silver is through"]


def test_a_query_that_fails_while_it_drains_drains_after_its_restart() -> None:
    fakes = Fakes()
    with running(fakes.declare("bronze", 0), fakes.declare("silver", 1), drain=True) as ran:
        fakes.query("bronze").fail()
        until(lambda: len(fakes.started["bronze"]) == 2)
        fakes.query("bronze").through.set()
        fakes.query("silver").through.set()
        ran.ended()

    assert ran.failure is None
    assert fakes.happened("bronze")[:3] == ["bronze started", "bronze started", "bronze is through"]
    assert fakes.events.index("silver is through") > fakes.events.index("bronze is through")


def test_a_stop_waits_for_the_end_of_the_running_batch() -> None:
    fakes = Fakes()
    with running(fakes.declare("silver")) as ran:
        query = fakes.query("silver")
        query.status["isTriggerActive"] = True
        ran.requests.stop.set()
        time.sleep(0.1)
        assert query.isActive
        assert ran.thread.is_alive()
        query.status["isTriggerActive"] = False
        ran.ended()

    assert ran.failure is None
    assert fakes.events == ["silver started", "silver stopped"]


def test_a_stop_ends_each_query_as_soon_as_its_batch_is_over() -> None:
    fakes = Fakes()
    with running(fakes.declare("busy"), fakes.declare("idle")) as ran:
        busy, idle = fakes.query("busy"), fakes.query("idle")
        busy.status["isTriggerActive"] = True
        ran.requests.stop.set()
        until(lambda: not idle.isActive)
        assert busy.isActive
        busy.status["isTriggerActive"] = False
        ran.ended()

    assert fakes.events[2:] == ["idle stopped", "busy stopped"]


def test_a_stop_gives_up_the_batch_after_the_running_one() -> None:
    """A query that is behind begins its next batch at once."""
    fakes = Fakes()
    with running(fakes.declare("behind")) as ran:
        query = fakes.query("behind")
        query.status["isTriggerActive"] = query.may_be_torn = True
        query.lastProgress = {"batchId": 3}
        ran.requests.stop.set()
        time.sleep(0.1)
        assert query.isActive
        query.lastProgress = {"batchId": 4}
        ran.ended()

    assert fakes.events[1:] == ["behind stopped"]


def test_a_stop_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "END_OF_BATCH_SECONDS", 0.1)
    fakes = Fakes()
    with running(fakes.declare("silver")) as ran:
        query = fakes.query("silver")
        query.status["isTriggerActive"] = query.may_be_torn = True
        ran.requests.stop.set()
        ran.ended()

    assert fakes.events == ["silver started", "silver stopped"]
