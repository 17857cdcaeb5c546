"""Lineage in a few words, for the terminal and the dashboard. Values come from records: print them with `visible`."""

from runtime.delta_log import Commit
from runtime.lineage import FileInput, Lineage, ShardInput, Source, TracedCommit, TracedTable


def describe(traced: TracedCommit) -> str:
    """A commit in a few words: when, who, and what became of the records."""
    if traced.commit is None:
        return "no entry in the table's log: never written, or older than the log's retention"
    if traced.lineage is None:
        return describe_foreign(traced.commit)
    lineage = traced.lineage
    made = f"{_time(traced.commit)}  {lineage.job} {lineage.query} batch {lineage.batch}"
    return f"{made}  {describe_counts(lineage)}  code {lineage.code}, contract {lineage.contract}"


def describe_counts(lineage: Lineage) -> str:
    """What became of a commit's records, zeros left out."""
    counts = lineage.counts
    rejected = ", ".join(f"{rule} {number:,}" for rule, number in sorted(counts.rejected.items()))
    parts = [
        f"in {counts.read:,}",
        f"valid {counts.valid:,}" if counts.valid else "",
        f"rejected {sum(counts.rejected.values()):,} ({rejected})" if rejected else "",
        f"duplicate {counts.duplicate:,}" if counts.duplicate else "",
        f"inserted {counts.inserted:,}" if counts.inserted else "",
        f"updated {counts.updated:,}" if counts.updated else "",
        "undeclared " + ", ".join(f"{name} {number:,}" for name, number in sorted(lineage.drift.items()))
        if lineage.drift
        else "",
        *(f"GAP: {gap}" for gap in lineage.gaps),
    ]
    return ", ".join(part for part in parts if part)


def describe_input(source: Source) -> str:
    """One input in a few words."""
    match source:
        case ShardInput():
            span = f"{source.first} to {source.last}" if source.records else f"after {source.first}"
            return f"stream {source.stream} {source.shard}  {span}  {source.records:,} records"
        case FileInput():
            return f"file {source.file}  {source.records:,} records, {source.size:,} bytes, etag {source.etag or '-'}"
        case TracedTable(input=found):
            span = f"version {found.first}" if found.first == found.last else f"versions {found.first} to {found.last}"
            return f"{found.table} {span}{' (shown above)' if source.seen else ''}"


def describe_foreign(commit: Commit) -> str:
    """A commit that says nothing of its inputs."""
    return f"{_time(commit)}  {commit.operation}, written without lineage (maintenance, or not by a job of the lake)"


def _time(commit: Commit) -> str:
    return f"{commit.committed_at:%Y-%m-%d %H:%M:%S}Z"
