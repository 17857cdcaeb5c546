"""The jobs' own metrics in CloudWatch: counted in memory, sent at most once a minute, never in a job's way.

Off unless LAKEHOUSE_METRICS_NAMESPACE names a namespace, such as `Lakehouse/prod`. It is an environment variable and no
setting because tasks that read Kinesis report as well, and they know no settings.

Sent with PutMetricData and not as Embedded Metric Format lines in the log: EMR Serverless and Glue carry log lines to
CloudWatch Logs in different ways, and a figure that an alarm waits for must not depend on how a line was wrapped on the
way, on the log's retention, or on whether the log goes there at all. One request a minute and job costs 0.44 USD a
month.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from runtime.region import region

NAMESPACE = "LAKEHOUSE_METRICS_NAMESPACE"
FLUSH_SECONDS = 60.0
REQUEST_METRICS = 500
FRESHNESS, REJECT_RATIO, RETRIES, GAPS = "FreshnessSeconds", "RejectRatio", "KinesisRetries", "GapRecords"
DIFFERENCES = "ReconcileDifferences"
UNITS = {FRESHNESS: "Seconds", REJECT_RATIO: "None", RETRIES: "Count", GAPS: "Count", DIFFERENCES: "Count"}
log = logging.getLogger(__name__)

type Put = Callable[[str, list[dict[str, Any]]], object]
type Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass
class _Summary:
    """What was observed of one metric since the last request, as CloudWatch takes it."""

    count: float
    total: float
    minimum: float
    maximum: float

    def add(self, other: "_Summary") -> None:
        self.count += other.count
        self.total += other.total
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)

    def datum(self, key: Key) -> dict[str, Any]:
        name, dimensions = key
        return {
            "MetricName": name,
            "Dimensions": [{"Name": each, "Value": value} for each, value in dimensions],
            "Unit": UNITS[name],
            "StatisticValues": {
                "SampleCount": self.count,
                "Sum": self.total,
                "Minimum": self.minimum,
                "Maximum": self.maximum,
            },
        }


class Metrics:
    """The metrics of one process. Without a namespace every method does nothing."""

    def __init__(self, namespace: str, put: Put, clock: Callable[[], float] = time.monotonic) -> None:
        """`put` sends a request: the namespace and its metrics, as PutMetricData takes them."""
        self._namespace, self._put, self._clock = namespace, put, clock
        self._summaries: dict[Key, _Summary] = {}
        self._lock = threading.Lock()
        self._sent_at: float | None = None

    @property
    def on(self) -> bool:
        """Whether anything is reported."""
        return bool(self._namespace)

    def observe(self, name: str, value: float, **dimensions: str) -> None:
        """Notes one value."""
        self._note(name, _Summary(1.0, value, value, value), dimensions)

    def share(self, name: str, part: int, whole: int, **dimensions: str) -> None:
        """Notes `part` ones and otherwise zeros among `whole`: the average over any period is the share in it, and the
        sample count is the whole.
        """
        if whole > 0:
            summary = _Summary(float(whole), float(part), float(part == whole), float(part > 0))
            self._note(name, summary, dimensions)

    def flush(self, *, at_once: bool = False) -> None:
        """Sends what was noted when the last request is a minute ago, or at once. What cannot be sent is kept for the
        next time: a job does not fail because nobody listens.
        """
        now = self._clock()
        with self._lock:
            early = self._sent_at is not None and now - self._sent_at < FLUSH_SECONDS
            if not self._summaries or (early and not at_once):
                return
            self._sent_at = now
            taken, self._summaries = self._summaries, {}
        data = [summary.datum(key) for key, summary in taken.items()]
        try:
            for first in range(0, len(data), REQUEST_METRICS):
                self._put(self._namespace, data[first : first + REQUEST_METRICS])
        except (BotoCoreError, ClientError) as error:
            log.warning("metrics were not sent, again in a minute: %s", error)
            with self._lock:
                for key, summary in taken.items():
                    self._keep(key, summary)

    def _note(self, name: str, summary: _Summary, dimensions: dict[str, str]) -> None:
        if self.on:
            with self._lock:
                self._keep((name, tuple(sorted(dimensions.items()))), summary)

    def _keep(self, key: Key, summary: _Summary) -> None:
        if key in self._summaries:
            self._summaries[key].add(summary)
        else:
            self._summaries[key] = summary


@cache
def metrics() -> Metrics:
    """The metrics of this process."""
    return Metrics(os.environ.get(NAMESPACE, ""), _put)


def _put(namespace: str, data: list[dict[str, Any]]) -> object:
    # Short: the job's own thread waits for it.
    config = Config(retries={"total_max_attempts": 2}, connect_timeout=3, read_timeout=5)
    client: Any = boto3.client("cloudwatch", region_name=region(), config=config)
    return client.put_metric_data(Namespace=namespace, MetricData=data)
