"""A rate that one driver keeps up with through all layers: how much of it is in gold while it lasts."""

from pathlib import Path

from bench.load_run import LoadRun, Sample, flat_memory, minutes, proven
from bench.result import Goal, Result, Table, thousands
from bench.stream_run import stream_all

RATE, SECONDS, WARM_UP_SECONDS = 5_000, 90, 30
QUICK_RATE, QUICK_SECONDS, QUICK_WARM_UP_SECONDS = 300, 15, 5


def run(quick: bool, folder: Path) -> Result:
    """Sends at the rate, warm, and looks how many events a second reach gold meanwhile."""
    rate, seconds, warm_up = (
        (QUICK_RATE, QUICK_SECONDS, QUICK_WARM_UP_SECONDS) if quick else (RATE, SECONDS, WARM_UP_SECONDS)
    )
    with stream_all(folder / "sustained") as stream, LoadRun(stream) as load:
        load.send(rate, warm_up, "warm")
        load.begin()
        cpu = stream.cpu_seconds()
        load.send(rate, seconds, "even")
        cpu = stream.cpu_seconds() - cpu
        fed = [each for each in load.samples if each.phase == "even"]
        load.drain()
        found = proven(stream)
    sent, taken = _rate(fed, "sent"), _rate(fed, "gold")
    reached = min(sent, taken)
    return Result(
        title=f"{thousands(rate)} events a second through all layers",
        method=(
            "`lakehouse stream all` with its default settings, warm, lake and stream (2 shards) on MiniStack, producer "
            f"and emulator beside it on the same cores; {thousands(rate)} web events a second for {seconds} s. Rate: "
            "at which events reached gold between the first and the last sample of that time; the lag is what "
            "Kinesis took and gold has not. At the end DuckDB counts the identities in the tables."
        ),
        goals=(
            Goal(
                "sustained through all layers",
                f">= {thousands(rate)}/s",
                f"{thousands(reached)}/s",
                # Samples are taken some seconds apart, between commits.
                reached >= 0.97 * rate,
            ),
            Goal("events lost, doubled or miscounted at that rate", "0", f"{found.wrong}", found.wrong == 0),
        ),
        tables=(
            minutes(load.samples, every=10),
            Table(
                ("what", "a second"),
                (
                    ("sent", thousands(sent)),
                    ("into gold", thousands(taken)),
                    ("cores of the job", f"{cpu / seconds:.2f}"),
                    ("CPU seconds of the job a million events", f"{1e6 * cpu / seconds / max(1.0, taken):,.0f}"),
                ),
            ),
        ),
        figures={
            "rate": reached,
            "cpu": 1e6 * cpu / seconds / max(1.0, taken),
            "lag": fed[-1].lag,
            "memory": flat_memory(load.samples),
        },
    )


def _rate(samples: list[Sample], what: str) -> float:
    first, last = samples[0], samples[-1]
    return float((getattr(last, what) - getattr(first, what)) / (last.at - first.at))
