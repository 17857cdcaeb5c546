"""A streaming job: the queries of a layer, kept running until the job is told to stop, or has drained.

A query that fails is started again after a growing pause, while its neighbours go on; one that fails
too often in a row ends the job with an error.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.errors import PySparkException, StreamingQueryException
from pyspark.sql.streaming.query import StreamingQuery

from lakehouse.delta.store import TableStoreError
from lakehouse.errors import LakehouseError
from runtime.metrics import metrics
from runtime.storage import LONGEST_LINE, StorageError, told_by_store
from streaming.freshness import Freshness

POLL_SECONDS = 0.2
LISTENING = "listening for signals"
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
END_OF_BATCH_SECONDS = 120.0
log = logging.getLogger(__name__)


class QueryFailedError(LakehouseError):
    """A query failed more often in a row than the settings allow."""


@dataclass(frozen=True)
class Declaration:
    """One query of a job.

    `start` begins it. `stage` orders a drain: all of a stage is through before the next begins. `tables` are those that
    it writes. `wake` makes it look at once, for a query that is told when to look.
    """

    name: str
    stage: int
    start: Callable[[], StreamingQuery]
    tables: tuple[str, ...] = ()
    wake: Callable[[], None] = lambda: None


@dataclass
class _Running:
    declaration: Declaration
    query: StreamingQuery | None = None
    failures: int = 0
    retry_at: float = 0.0
    last_batch: int = -1
    drain: threading.Thread | None = None
    drained: bool = False


class Requests:
    """What the outside asks of a job: to stop after the running batches, or to end as soon as it has drained."""

    def __init__(self, drain: bool = False) -> None:
        self.stop = threading.Event()
        self.drain = threading.Event()
        if drain:
            self.drain.set()

    def listen(self) -> None:
        """From now on SIGTERM and SIGINT ask to stop, SIGUSR1 asks to drain."""

        def on_signal(number: int, frame: FrameType | None) -> None:
            (self.drain if number == signal.SIGUSR1 else self.stop).set()

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, on_signal)


class Job:
    """Runs declarations to an end: `run` returns when the job was told to stop, or everything is drained."""

    def __init__(
        self,
        declarations: Sequence[Declaration],
        max_restarts: int,
        requests: "Requests",
        still_ours: Callable[[], None] = lambda: None,
    ) -> None:
        """`still_ours` raises when this process may no longer write the tables: then nothing is waited for."""
        self._running = [_Running(each) for each in declarations]
        self._max_restarts = max_restarts
        self._requests = requests
        self._still_ours = still_ours
        self._drain = False
        self._freshness = Freshness(metrics())

    def run(self) -> None:
        """Raises QueryFailedError when a query failed too often in a row, and what a query says that refuses to start;
        the others end after their batch first.
        """
        stages = sorted({each.declaration.stage for each in self._running})
        draining = 0
        try:
            while not self._requests.stop.is_set():
                self._check_leases()
                if self._take_up_drain():
                    draining = 0
                for each in self._running:
                    self._attend(each)
                if self._drain:
                    due = [each for each in self._running if each.declaration.stage in stages[: draining + 1]]
                    for each in due:
                        self._watch_drain(each)
                    if all(each.drained for each in due):
                        draining += 1
                        if draining == len(stages):
                            return
                        # What was found of the later ones so far may be out of date.
                        self._not_drained(stages[draining:])
                        continue
                self._freshness.look((table, each.query) for each in self._running for table in each.declaration.tables)
                self._requests.stop.wait(POLL_SECONDS)
        finally:
            self._end()
            # The last minute's figures: nobody would send them later.
            metrics().flush(at_once=True)

    def _check_leases(self) -> None:
        """A job that may not write any more does not finish its batches either."""
        try:
            self._still_ours()
        except LakehouseError:
            for each in self._running:
                if each.query is not None and each.query.isActive:
                    each.query.stop()
            raise

    def _take_up_drain(self) -> bool:
        """Whether a drain is asked for that was not before: it begins at the first stage again."""
        if self._drain or not self._requests.drain.is_set():
            return False
        self._drain = True
        self._not_drained([each.declaration.stage for each in self._running])
        return True

    def _not_drained(self, stages: Sequence[int]) -> None:
        """Whether the queries of these stages are through is to be found out anew."""
        for each in self._running:
            if each.declaration.stage in stages:
                each.drained, each.drain = False, None

    def _attend(self, each: _Running) -> None:
        """Starts the query when it is due, notes progress, and takes up a failure."""
        if each.query is None:
            if time.monotonic() >= each.retry_at:
                self._start(each)
            return
        if each.query.isActive:
            progress = each.query.lastProgress
            if progress is not None and progress["batchId"] > each.last_batch:
                each.last_batch, each.failures = progress["batchId"], 0
            return
        failure = each.query.exception()
        each.query = None
        each.drain = None
        self._failed(each, failure or QueryFailedError("it ended without an error of its own: see the log above"))

    def _start(self, each: _Running) -> None:
        try:
            each.drained = False
            each.query = each.declaration.start()
        except (PySparkException, Py4JJavaError, StorageError, TableStoreError) as failure:
            # Any other LakehouseError is a refusal: it would be the same at every start, so it ends the job.
            self._failed(each, failure)

    def _failed(self, each: _Running, failure: Exception) -> None:
        each.failures += 1
        reason = _reason(failure)
        if each.failures > self._max_restarts:
            raise QueryFailedError(
                f"{each.declaration.name} failed {each.failures} times in a row and is given up: {reason}"
            )
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (each.failures - 1), LONGEST_PAUSE_SECONDS)
        each.retry_at = time.monotonic() + pause
        log.warning("%s failed (%d), starts again in %.0f s: %s", each.declaration.name, each.failures, pause, reason)

    def _watch_drain(self, each: _Running) -> None:
        """Waits beside the main loop until the query has read all that had arrived."""
        query = each.query
        if query is None or each.drained or (each.drain is not None and each.drain.is_alive()):
            return

        def wait() -> None:
            try:
                each.declaration.wake()
                query.processAllAvailable()
            except (StreamingQueryException, Py4JError, ConnectionError):
                return  # the main loop finds the query ended, with its exception, or the JVM gone
            if each.drain is threading.current_thread():
                each.drained = query.isActive

        each.drain = threading.Thread(target=wait, name=f"drain {each.declaration.name}", daemon=True)
        each.drain.start()

    def _end(self) -> None:
        """Stops every query after the batch that it is at, so that none is torn down half-way.

        A query with much to do goes from batch to batch without a pause to be seen: then the one that has just begun
        is given up.
        """
        # py4j would log the interruption of a batch that is given up as an error.
        logging.getLogger("py4j").setLevel(logging.CRITICAL)
        waiting = [each for each in self._running if each.query is not None and each.query.isActive]
        at = {each.declaration.name: _batch(each.query) for each in waiting}
        deadline = time.monotonic() + END_OF_BATCH_SECONDS
        while waiting:
            for each in waiting:
                query = each.query
                assert query is not None
                over = not query.status["isTriggerActive"] or _batch(query) > at[each.declaration.name]
                if query.isActive and (over or time.monotonic() > deadline):
                    query.stop()
            waiting = [each for each in waiting if each.query is not None and each.query.isActive]
            time.sleep(POLL_SECONDS / 10)


def _batch(query: StreamingQuery | None) -> int:
    """The last batch that the query has finished; -1 for none."""
    progress = query.lastProgress if query is not None else None
    return int(progress["batchId"]) if progress is not None else -1


def _reason(failure: Exception) -> str:
    """The line that says something, without the JVM's stack; where a store fails, what it says and what to do."""
    said = str(failure)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    told = [line for line in lines if "Error:" in line or "Exception:" in line]
    line = (told or lines or [type(failure).__name__])[-1 if told else 0][:LONGEST_LINE]
    return told_by_store(said) or line
