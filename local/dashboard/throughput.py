"""How many rows a second came into bronze, from what the commits say of themselves."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from local.dashboard.health import TableHealth
from runtime.lineage import read_lineage

WINDOW = timedelta(minutes=10)
BINS = 60


def throughput(tables: Sequence[TableHealth]) -> tuple[float, dict[str, list[tuple[datetime, float]]]]:
    """Rows a second into bronze by source, over the last minutes in which any arrived, and the seconds of one bin.

    The rows are those that the commits say they wrote, put at the time of the commit.
    """
    commits = [
        (each.name.partition(".")[2], commit.committed_at, lineage.counts.read)
        for each in tables
        if each.layer == "bronze"
        for commit in each.commits
        if (lineage := read_lineage(commit.metadata)) is not None
    ]
    if not commits:
        return 1.0, {}
    last = max(at for _, at, _ in commits)
    commits = [each for each in commits if each[1] > last - WINDOW]
    first = min(at for _, at, _ in commits)
    width = max(1.0, (last - first).total_seconds() / BINS)
    number = int((last - first).total_seconds() / width) + 1
    sums = {source: [0.0] * number for source in sorted({source for source, _, _ in commits})}
    for source, at, rows in commits:
        sums[source][int((at - first).total_seconds() / width)] += rows / width
    return width, {
        source: [(first + timedelta(seconds=place * width), value) for place, value in enumerate(values)]
        for source, values in sums.items()
    }
