"""From PutRecords to the gold row, at 500 events a second."""

from pathlib import Path

from bench.result import Goal, Result, Table, percentile
from bench.stream_run import GOLD, stream_all

RATE, SECONDS, WARM_UP_SECONDS = 500, 60, 45
QUICK_RATE, QUICK_SECONDS, QUICK_WARM_UP_SECONDS = 100, 15, 15
MEDIAN_SECONDS, LONGEST_SECONDS = 3.0, 10.0


def run(quick: bool, folder: Path) -> Result:
    """Sends events to a job that is warm, then asks the lake's lineage which commit made each of them visible."""
    rate, seconds = (QUICK_RATE, QUICK_SECONDS) if quick else (RATE, SECONDS)
    with stream_all(folder / "latency") as stream:
        stream.send(rate, QUICK_WARM_UP_SECONDS if quick else WARM_UP_SECONDS)
        emulator, job = stream.emulator.cpu_seconds(), stream.cpu_seconds()
        sent = stream.send(rate, seconds)
        emulator, job = stream.emulator.cpu_seconds() - emulator, stream.cpu_seconds() - job
        ways = stream.wait(sent)
    parts = {
        "PutRecords to bronze": [way.bronze - each.at for each, way in zip(sent, ways, strict=True)],
        "bronze to silver": [way.silver - way.bronze for way in ways],
        "silver to gold": [way.gold - way.silver for way in ways],
        "PutRecords to gold": [way.gold - each.at for each, way in zip(sent, ways, strict=True)],
    }
    whole = parts["PutRecords to gold"]
    median, longest = percentile(whole, 0.5), percentile(whole, 0.99)
    rows = tuple(
        (name, f"{percentile(taken, 0.5):.2f}", f"{percentile(taken, 0.99):.2f}", f"{max(taken):.2f}")
        for name, taken in parts.items()
    )
    commits = len({way.gold for way in ways})
    load = (
        ("job (JVM, Python workers)", f"{job / seconds:.2f}"),
        ("MiniStack (S3 and Kinesis)", f"{emulator / seconds:.2f}"),
    )
    return Result(
        title=f"PutRecords to gold at {rate} events a second",
        method=(
            f"`lakehouse stream all` with its default settings as a process, lake and stream (2 shards) on MiniStack, "
            f"{rate} web events a second in 5 calls a second for {seconds} s, after a warm-up at the same rate. An "
            f"event counts from the call of PutRecords to the commit of `{GOLD}` that contains it, found through the "
            "lineage of commits (gold commit, silver version, bronze version, sequence number) with the time that "
            "Delta writes into each, which is just before it is visible. Producer and emulator share the cores."
        ),
        goals=(
            Goal("median", f"< {MEDIAN_SECONDS:.0f} s", f"{median:.2f} s", median < MEDIAN_SECONDS),
            Goal("99th percentile", f"< {LONGEST_SECONDS:.0f} s", f"{longest:.2f} s", longest < LONGEST_SECONDS),
        ),
        tables=(
            Table(("way", "p50, s", "p99, s", "longest, s"), rows),
            Table((f"{len(sent)} events in {commits} gold commits", "cores used"), load),
        ),
    )
