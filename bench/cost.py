"""What something took, on the clock and of the processor."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock, and processor seconds of this process and all that it started and that still runs."""

    wall: float
    cpu: float


def timed(do: Callable[[], object]) -> Cost:
    """Calls it, and says what that took."""
    processor, clock = processor_seconds(), time.monotonic()
    do()
    return Cost(time.monotonic() - clock, processor_seconds() - processor)


def processor_seconds() -> float:
    """Of this process and its descendants so far."""
    this = psutil.Process(os.getpid())
    total = 0.0
    for each in (this, *this.children(recursive=True)):
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def median(costs: Sequence[Cost]) -> Cost:
    """The medians of both, each by itself."""
    return Cost(statistics.median(each.wall for each in costs), statistics.median(each.cpu for each in costs))
