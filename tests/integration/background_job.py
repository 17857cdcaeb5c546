"""A job that runs beside the test, and the queries of the crm's layers for it."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from pyspark.sql.streaming.query import StreamingQuery

from lakehouse.contracts import Contracts
from lakehouse.layout import Layout
from lakehouse.settings import Settings
from streaming.flow import Flow
from streaming.gold import GoldTable
from streaming.job import Declaration, Job, Requests
from streaming.references import References
from streaming.silver import SilverTable

PATIENCE_SECONDS = 150.0
SILVER, GOLD = "silver.customer_interactions", "gold.customer_insights"


class BackgroundJob:
    """A job in a thread; each start of its queries is counted under the query's name."""

    def __init__(self, queries: Sequence[Declaration], max_restarts: int) -> None:
        self.starts: Counter[str] = Counter()
        self.failure: Exception | None = None
        self._requests = Requests()
        self._job = Job([self._counted(each) for each in queries], max_restarts, self._requests)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _counted(self, query: Declaration) -> Declaration:
        def start() -> StreamingQuery:
            self.starts[query.name] += 1
            return query.start()

        return replace(query, start=start)

    def _run(self) -> None:
        try:
            self._job.run()
        except Exception as failure:
            self.failure = failure

    def until(self, reached: Callable[[], bool]) -> None:
        """Waits for it, while the job goes on."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not reached():
            assert self.failure is None, self.failure
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.1)

    def ended(self) -> None:
        """Waits for its end, by itself."""
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "the job goes on"

    def drained(self) -> None:
        """Waits until all that was delivered is through and the job has ended without a failure."""
        self._requests.drain.set()
        self.ended()
        assert self.failure is None, self.failure

    def stop(self) -> None:
        """Ends it, however it stands."""
        self._requests.stop.set()
        self._thread.join(PATIENCE_SECONDS)


class Repeated:
    """What Spark's trigger does for a query of silver or gold, without Spark: one look after the other, in a thread."""

    PAUSE_SECONDS = 0.05

    def __init__(self, look: Callable[[], None]) -> None:
        self.status: dict[str, Any] = {"isTriggerActive": False, "message": ""}
        self.lastProgress: dict[str, Any] | None = None
        self._look, self._stopped = look, threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def isActive(self) -> bool:  # noqa: N802 - as Spark calls it
        return self._thread.is_alive()

    def exception(self) -> Exception | None:
        return self._failure

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(PATIENCE_SECONDS)

    def processAllAvailable(self) -> None:  # noqa: N802 - as Spark calls it
        """Waits for a look that began after the call."""
        enough = self._looks() + 2
        while self._looks() < enough and self.isActive:
            time.sleep(self.PAUSE_SECONDS)

    def _looks(self) -> int:
        return -1 if self.lastProgress is None else int(self.lastProgress["batchId"])

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.status["isTriggerActive"] = True
            try:
                self._look()
            except Exception as failure:  # the job asks for it
                self._failure = failure
                return
            self.status["isTriggerActive"] = False
            self.lastProgress = {"batchId": self._looks() + 1}
            self._stopped.wait(self.PAUSE_SECONDS)


def crm_flow(settings: Settings, contracts: Contracts) -> Flow:
    """The layers from bronze.crm to the KPIs of the customers."""
    silver = SilverTable(settings, contracts, "crm", References(contracts, Layout(settings.root)))
    return Flow([silver], [GoldTable(settings, contracts, GOLD.partition(".")[2])])


def silver_and_gold(flow: Flow) -> list[Declaration]:
    """The queries of silver and gold as `streaming.layers` declares them, without Spark."""

    def start(ensure: Callable[[], None], follow: Callable[[], None]) -> StreamingQuery:
        ensure()
        return cast(StreamingQuery, Repeated(follow))

    return [
        Declaration("silver", 1, lambda: start(flow.ensure_silver, flow.follow_bronze)),
        Declaration("gold", 2, lambda: start(flow.ensure_gold, flow.follow_silver)),
    ]
