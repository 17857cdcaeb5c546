"""From PutRecords to the gold row, at 500 and at 2 000 events a second, and what that costs."""

from dataclasses import dataclass
from pathlib import Path

from bench.result import Goal, Result, Table, percentile
from bench.stream_run import GOLD, Sent, StreamRun, Way, stream_all


@dataclass(frozen=True)
class Rate:
    """Events a second, and the promises at that rate; none: not promised."""

    events: int
    median: float | None = None
    longest: float | None = None
    cpu: float | None = None


# CPU: seconds of the job for a million events.
RATES = (Rate(500, median=1.5, longest=4.0, cpu=1_000), Rate(2_000, median=2.5))
QUICK_RATES = (Rate(100), Rate(200))
SECONDS, WARM_UP_SECONDS = 60, 30
QUICK_SECONDS, QUICK_WARM_UP_SECONDS = 10, 5
# The lag is flat when the last third waits no longer than the first, or about as long.
FLAT = 1.3


@dataclass(frozen=True)
class Measured:
    """What was found at one rate."""

    rate: Rate
    sent: list[Sent]
    ways: list[Way]
    # Cores that the job and the emulator used while events were sent.
    job: float
    emulator: float

    @property
    def whole(self) -> list[float]:
        """Seconds from PutRecords to gold, in the order in which events were sent."""
        return [way.gold - each.at for each, way in zip(self.sent, self.ways, strict=True)]

    @property
    def growth(self) -> float:
        """The median wait of the last third of the events over that of the first."""
        third = len(self.sent) // 3
        return percentile(self.whole[-third:], 0.5) / percentile(self.whole[:third], 0.5)

    @property
    def cpu(self) -> float:
        """CPU seconds of the job for a million events."""
        return 1e6 * self.job / self.rate.events

    def parts(self) -> dict[str, list[float]]:
        """Seconds on each stretch of the way."""
        return {
            "PutRecords to bronze": [way.bronze - each.at for each, way in zip(self.sent, self.ways, strict=True)],
            "bronze to silver": [way.silver - way.bronze for way in self.ways],
            "silver to gold": [way.gold - way.silver for way in self.ways],
            "PutRecords to gold": self.whole,
        }


def run(quick: bool, folder: Path) -> Result:
    """Sends events to a job that is warm, then asks the lake's lineage which commit made each of them visible."""
    found = []
    with stream_all(folder / "latency") as stream:
        for rate in QUICK_RATES if quick else RATES:
            stream.wait(stream.send(rate.events, QUICK_WARM_UP_SECONDS if quick else WARM_UP_SECONDS))
            found.append(_measure(stream, rate, QUICK_SECONDS if quick else SECONDS))
    return _result(found, QUICK_SECONDS if quick else SECONDS)


def _measure(stream: StreamRun, rate: Rate, seconds: int) -> Measured:
    emulator, job = stream.emulator.cpu_seconds(), stream.cpu_seconds()
    sent = stream.send(rate.events, seconds)
    emulator, job = stream.emulator.cpu_seconds() - emulator, stream.cpu_seconds() - job
    return Measured(rate, sent, stream.wait(sent), job / seconds, emulator / seconds)


def _result(found: list[Measured], seconds: int) -> Result:
    rows = [
        (
            f"{each.rate.events:,}/s: {name}",
            *(f"{number:.2f}" for number in (percentile(taken, 0.5), percentile(taken, 0.99), max(taken))),
        )
        for each in found
        for name, taken in each.parts().items()
    ]
    load = [
        (
            f"{each.rate.events:,}/s",
            *(f"{number:.2f}" for number in (each.job, each.emulator)),
            f"{each.cpu:,.0f}",
            f"{len({way.gold for way in each.ways})}",
            f"{each.growth:.2f} x",
        )
        for each in found
    ]
    return Result(
        title=f"PutRecords to gold at {' and '.join(f'{each.rate.events:,}' for each in found)} events a second",
        method=(
            "`lakehouse stream all` with its default settings as a process, lake and stream (2 shards) on MiniStack, "
            f"web events in 5 calls a second for {seconds} s at each rate, after a warm-up at the same rate. An event "
            f"counts from the call of PutRecords to the commit of `{GOLD}` that contains it, found through the lineage "
            "of commits (gold commit, silver version, bronze version, sequence number) with the time that is written "
            "into each, which is just before it is visible. Producer and emulator share the cores. CPU is that of all "
            "processes of the job: Python, JVM, workers. Wait: median of the last third against the first."
        ),
        goals=tuple(goal for each in found for goal in _goals(each)),
        tables=(
            Table(("way", "p50, s", "p99, s", "longest, s"), tuple(rows)),
            Table(
                ("rate", "cores of the job", "cores of MiniStack", "CPU s a million events", "gold commits", "wait"),
                tuple(load),
            ),
        ),
        figures={
            f"{name} at {each.rate.events}": value
            for each in found
            for name, value in (
                ("p50", percentile(each.whole, 0.5)),
                ("p99", percentile(each.whole, 0.99)),
                ("cpu", each.cpu),
                ("batches a second", len({way.bronze for way in each.ways}) / seconds),
            )
        },
    )


def _goals(found: Measured) -> list[Goal]:
    rate, median, longest = found.rate, percentile(found.whole, 0.5), percentile(found.whole, 0.99)
    goals = []
    if rate.median is not None:
        goals.append(
            Goal(
                f"PutRecords to gold at {rate.events:,}/s, median",
                f"< {rate.median} s",
                f"{median:.2f} s",
                median < rate.median,
            )
        )
    if rate.longest is not None:
        what = f"PutRecords to gold at {rate.events:,}/s, 99th percentile"
        goals.append(Goal(what, f"< {rate.longest:.0f} s", f"{longest:.2f} s", longest < rate.longest))
    if rate.cpu is not None:
        what = f"CPU seconds of the job a million events at {rate.events:,}/s"
        goals.append(Goal(what, f"<= {rate.cpu:,.0f}", f"{found.cpu:,.0f}", found.cpu <= rate.cpu))
    else:
        what = f"lag at {rate.events:,}/s, wait of the last third against the first"
        goals.append(Goal(what, f"flat (<= {FLAT} x)", f"{found.growth:.2f} x", found.growth <= FLAT))
    return goals
