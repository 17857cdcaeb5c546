"""What a running stream costs while nothing arrives."""

import time
from collections import Counter
from pathlib import Path

from bench.proxy import counting_proxy, kinesis_operation
from bench.result import Goal, Result, Table
from bench.stream_run import stream_all
from lakehouse.contracts import load_contracts
from lakehouse.kpi_tables import TABLES
from lakehouse.settings import CONTRACTS, Settings
from local.stack_resources import SHARDS
from runtime.delta_log import DeltaLog

SECONDS, QUICK_SECONDS = 60, 15
CALM_SECONDS = 10
# Share of one core.
MOST_CPU = 0.03


def run(quick: bool, folder: Path) -> Result:
    """Lets a warm job alone for a minute, and looks at its tables, its processes and its calls."""
    seconds = QUICK_SECONDS if quick else SECONDS
    with (
        counting_proxy(kinesis_operation) as proxy,
        stream_all(folder / "idle", {"AWS_ENDPOINT_URL_KINESIS": proxy.before}) as stream,
    ):
        stream.wait(stream.send(100, 5))
        time.sleep(CALM_SECONDS)
        versions, calls, started = _versions(stream.settings), Counter(proxy.calls), time.monotonic()
        job, emulator = stream.cpu_seconds(), stream.emulator.cpu_seconds()
        time.sleep(seconds)
        job, emulator = stream.cpu_seconds() - job, stream.emulator.cpu_seconds() - emulator
        taken = time.monotonic() - started
        made = Counter(proxy.calls) - calls
        now = _versions(stream.settings)
        shards = SHARDS * len(stream.settings.streams)
    commits = sum(now.values()) - sum(versions.values())
    polls = made["GetRecords"] / taken / shards
    rows = (
        ("commits in all tables", f"{commits}"),
        ("CPU of the job (JVM, Python processes), % of one core", f"{100 * job / taken:.1f}"),
        ("CPU of MiniStack, % of one core", f"{100 * emulator / taken:.1f}"),
        ("GetRecords a second and shard", f"{polls:.2f}"),
        ("other calls of Kinesis a second", f"{(made.total() - made['GetRecords']) / taken:.2f}"),
    )
    return Result(
        title="A stream with nothing to do",
        method=(
            "`lakehouse stream all` with its default settings (two streams of two shards, all silver and gold queries, "
            f"a trigger a second), warm, on MiniStack; nothing arrives for {seconds} s. Commits are new versions of "
            "all tables; calls of Kinesis are counted by a proxy; AWS allows 5 GetRecords a second and shard."
        ),
        goals=(
            Goal("commits while idle", "0", f"{commits}", commits == 0),
            Goal(
                "CPU of the idle job",
                f"<= {100 * MOST_CPU:.0f} % of one core",
                f"{100 * job / taken:.1f} %",
                job / taken <= MOST_CPU,
            ),
        ),
        tables=(Table(("what", "measured"), rows),),
        figures={"cpu": job / taken, "polls": polls},
    )


def _versions(settings: Settings) -> dict[str, int]:
    contracts = load_contracts(CONTRACTS)
    names = [f"{layer}.{source}" for source in contracts.sources for layer in ("bronze", "rejected")]
    names += [f"silver.{contracts.silver_of(source).name}" for source in contracts.sources]
    names += [f"gold.{table}" for table in TABLES]
    newest = {name: DeltaLog(settings.root, name).newest() for name in names}
    return {name: version for name, version in newest.items() if version is not None}
