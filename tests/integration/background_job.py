"""A job that runs beside the test, and the queries of the crm's layers for it."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from lakehouse.contracts import Contracts
from lakehouse.layout import Layout
from lakehouse.settings import Settings
from runtime.tables import table_exists
from streaming import gold, silver_query
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
            time.sleep(0.2)

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


def silver_and_gold(
    spark: SparkSession, settings: Settings, contracts: Contracts, trigger: Mapping[str, Any]
) -> list[Declaration]:
    """The queries from bronze.crm to the KPIs of the customers."""
    table = SilverTable(settings, contracts, "crm", References(contracts, Layout(settings.root)))
    return [
        Declaration(
            SILVER,
            1,
            lambda: silver_query.start(spark, settings, table, trigger),
            lambda: table_exists(spark, table.bronze_uri),
        ),
        Declaration(
            GOLD,
            2,
            lambda: gold.start(spark, settings, contracts, GOLD.partition(".")[2], trigger),
            lambda: table_exists(spark, table.silver_uri),
        ),
    ]
