"""What a batch costs as a formula, fitted to measured batches, and what follows from it at other rates and on AWS."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infra.prices import PRICES

MONTH_HOURS = 730
MONTH_SECONDS = MONTH_HOURS * 3600
# Of a shard: what AWS takes in a second, and how much of that is planned with.
SHARD_RECORDS, SHARD_BYTES, SHARD_SHARE = 1_000, 1_000_000, 0.8
# A driver is not planned with beyond this share of its time.
DRIVER_SHARE = 0.7
# Of a driver on EMR Serverless: cores, and memory for each.
DRIVER_CORES, GB_A_CORE = 4, 4
# An answer of S3 takes so long; so many of a batch's requests wait for one another, the others go side by side.
S3_SECONDS, SERIAL_SHARE = 0.03, 0.5
TRIGGER_SECONDS = 1.0
MONTHS_KEPT = 12


@dataclass(frozen=True)
class Point:
    """One measured batch: its events, the live files of silver before it, and what it took."""

    events: int
    files: int
    wall: float
    cpu: float


@dataclass(frozen=True)
class Line:
    """seconds = fixed + events x each + files x file."""

    fixed: float
    each: float
    file: float

    def at(self, events: float, files: float) -> float:
        """The seconds of a batch."""
        return self.fixed + self.each * events + self.file * files


def fitted(points: Sequence[Point], seconds: Sequence[float]) -> Line:
    """The line with the least sum of squared relative errors; no factor is below zero."""
    weights = 1 / np.array(seconds)
    columns = np.array([[1.0, point.events, point.files] for point in points])
    kept = [0, 1, 2]
    while True:
        found, *_ = np.linalg.lstsq(columns[:, kept] * weights[:, None], np.ones(len(points)), rcond=None)
        if min(found) >= 0 or len(kept) == 1:
            break
        kept.pop(int(np.argmin(found)))
    factors = [0.0, 0.0, 0.0]
    for place, value in zip(kept, found, strict=True):
        factors[place] = max(0.0, float(value))
    return Line(*factors)


@dataclass(frozen=True)
class Measured:
    """What was measured beside the line: of an event, and of a batch."""

    wall: Line
    cpu: Line
    event_bytes: float
    stored_bytes: float
    files_a_batch: float
    puts_a_batch: float
    gets_a_batch: float
    idle_puts: float
    idle_gets: float
    live_files: float
    # CPU seconds for an event of the whole job in large batches, reading Kinesis and the JVM included.
    job_cpu: float


@dataclass(frozen=True)
class Estate:
    """What a rate needs."""

    rate: int
    shards: int
    drivers: int
    # Events of one batch of one driver, seconds from its begin to its end, and from one begin to the next.
    batch: float
    seconds: float
    interval: float
    cores: float
    batches_a_day: float
    files_a_day: float
    requests_a_month: float
    stored_gb: float
    usd: dict[str, float]

    @property
    def latency(self) -> float:
        """Seconds from arrival to gold for the median event: half an interval of waiting, then the batch."""
        return self.interval / 2 + self.seconds


def estate(rate: int, measured: Measured) -> Estate:
    """Follows from the lines: shards by AWS' limits, drivers by what one can do, batches by what collects meanwhile."""
    by_shard = min(SHARD_RECORDS, SHARD_BYTES / measured.event_bytes) * SHARD_SHARE
    shards = max(2, math.ceil(rate / by_shard))
    per_driver = DRIVER_SHARE / measured.wall.each
    drivers = max(1, math.ceil(rate / per_driver))
    share = rate / drivers
    serial = S3_SECONDS * SERIAL_SHARE * (measured.puts_a_batch + measured.gets_a_batch)
    fixed = measured.wall.at(0, measured.live_files) + serial
    # What collects during a batch is the next batch: n = rate x (fixed + each x n), or that of a trigger.
    interval = max(TRIGGER_SECONDS, fixed / (1 - measured.wall.each * share))
    batch = share * interval
    batches = drivers * 86_400 / interval
    months = batches * MONTH_SECONDS / 86_400
    puts = months * measured.puts_a_batch + drivers * measured.idle_puts * MONTH_SECONDS
    gets = months * measured.gets_a_batch + drivers * measured.idle_gets * MONTH_SECONDS
    stored = rate * measured.stored_bytes * MONTH_SECONDS * MONTHS_KEPT / 1e9
    cores = max(DRIVER_CORES * drivers, math.ceil(rate * measured.job_cpu / DRIVER_SHARE))
    usd = {
        "Kinesis": shards * MONTH_HOURS * PRICES["Kinesis shard"].each
        + rate * MONTH_SECONDS * PRICES["Kinesis PUT unit"].each,
        "jobs": cores
        * MONTH_HOURS
        * (PRICES["EMR Serverless vCPU"].each + GB_A_CORE * PRICES["EMR Serverless memory"].each),
        "S3 requests": puts * PRICES["S3 PUT or LIST"].each + gets * PRICES["S3 GET"].each,
        "S3 storage": stored * PRICES["S3 Standard"].each,
    }
    return Estate(
        rate,
        shards,
        drivers,
        batch,
        fixed + measured.wall.each * batch,
        interval,
        cores,
        batches,
        batches * measured.files_a_batch,
        puts + gets,
        stored,
        usd,
    )
