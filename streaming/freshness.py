"""How far each table is behind what its query could have read: the metric `FreshnessSeconds`."""

import time
from collections.abc import Callable, Iterable
from datetime import datetime

from pyspark.sql.streaming.query import StreamingQuery

from runtime.metrics import FRESHNESS, Metrics

LOOK_SECONDS = 5.0
# What Spark says of a query whose last look at its source found nothing new.
NOTHING_NEW = "Waiting for data"


class Freshness:
    """Watches the queries of one job, and reports for each table and layer how long ago it held all that had arrived.

    A query that finds nothing new is up to date; one that works is as old as the start of its last finished batch; one
    that fails grows old. A query that has never started, because what it reads is not there yet, is not reported.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.time) -> None:
        self._metrics, self._clock = metrics, clock
        self._current_at: dict[str, float] = {}
        self._looked_at = 0.0

    def look(self, queries: Iterable[tuple[str, StreamingQuery | None]]) -> None:
        """Looks at the queries every few seconds; `queries` are the names, such as `silver.stores`, and what runs."""
        now = self._clock()
        if not self._metrics.on or now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        worst: dict[str, float] = {}
        for name, query in queries:
            if query is not None and query.isActive:
                self._current_at[name] = max(self._current_at.get(name, 0.0), _current_at(query, now) or 0.0)
                # A new job cannot know how old a table was before: it counts from its start.
                self._current_at[name] = self._current_at[name] or now
            if name in self._current_at:
                layer, _, table = name.partition(".")
                behind = max(0.0, now - self._current_at[name])
                worst[layer] = max(worst.get(layer, 0.0), behind)
                self._metrics.observe(FRESHNESS, behind, Layer=layer, Table=table)
        for layer, behind in worst.items():
            self._metrics.observe(FRESHNESS, behind, Layer=layer)
        self._metrics.flush()


def _current_at(query: StreamingQuery, now: float) -> float | None:
    """When the query was last known to have all that had arrived, in epoch seconds; None: not known yet."""
    if str(query.status["message"]).startswith(NOTHING_NEW):
        return now
    progress = query.lastProgress
    return None if progress is None else datetime.fromisoformat(progress["timestamp"]).timestamp()
