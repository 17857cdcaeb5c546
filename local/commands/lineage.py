"""`lakehouse lineage TABLE`: where a commit's rows came from, down to sequence numbers and files."""

from typing import Any

from rich.text import Text
from rich.tree import Tree

from lakehouse.settings import Settings
from local.rendering import json_text, standard_console, visible
from runtime.delta_log import Commit
from runtime.lineage import FileInput, Lineage, ShardInput, Source, TracedCommit, TracedTable, Tracer, starting_point

MOST_COMMITS = 20


def run(*, table: str, version: int | None, json: bool, settings: Settings) -> None:
    """Prints the walk from a commit back to its sources: a tree, or with `json` one JSON object.

    Without `version` it starts at the newest commit that says where its rows came from; later commits of somebody
    else (OPTIMIZE and the like) are named. The tree shows at most 20 commits of each input, JSON all. Raises
    LakehouseError when the table or the version is not there.
    """
    tracer = Tracer(settings.root, limit=0 if json else MOST_COMMITS)
    start, foreign = starting_point(tracer.log(table), version)
    traced = tracer.trace(table, start)
    if json:
        print(json_text(commit_json(traced) | {"later": [_foreign_json(each) for each in foreign]}))
        return
    console = standard_console()
    for each in foreign:
        console.print(Text(f"{table} version {each.version}: {_foreign(each)}", style="dim"))
    console.print(tree(traced))


def tree(traced: TracedCommit, parent: Tree | None = None) -> Tree:
    """A commit with all that led to it, as a tree for a terminal."""
    label = Text(f"{traced.table} version {traced.version}", style="bold")
    label.append(f"  {visible(describe(traced))}", style="not bold")
    branch = Tree(label, guide_style="dim") if parent is None else parent.add(label)
    for source in traced.sources:
        if not isinstance(source, TracedTable):
            branch.add(Text(visible(describe_input(source)), style="cyan"))
            continue
        # An input of one version and its one commit are one line.
        single = source.input.first == source.input.last and len(source.commits) == 1
        inner = branch if single else branch.add(Text(visible(describe_input(source))))
        for commit in source.commits:
            tree(commit, inner)
        if source.omitted:
            inner.add(Text(f"and {source.omitted} earlier commits (--json shows all)", style="dim"))
    return branch


def describe(traced: TracedCommit) -> str:
    """A commit in a few words: when, who, and what became of the records."""
    if traced.commit is None:
        return "no entry in the table's log: never written, or older than the log's retention"
    if traced.lineage is None:
        return _foreign(traced.commit)
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


def commit_json(traced: TracedCommit) -> dict[str, Any]:
    """A commit with all that led to it, as JSON values; `lineage` is null for a commit of somebody else."""
    commit, lineage = traced.commit, traced.lineage
    return {
        "table": traced.table,
        "version": traced.version,
        "committed_at": commit.committed_at if commit else None,
        "operation": commit.operation if commit else None,
        "lineage": None
        if lineage is None
        else {
            "job": lineage.job,
            "query": lineage.query,
            "batch": lineage.batch,
            "code": lineage.code,
            "contract": lineage.contract,
            "counts": lineage.counts.to_json(),
            "drift": dict(lineage.drift),
        },
        "inputs": [_input_json(source) for source in traced.sources],
    }


def _input_json(source: Source) -> dict[str, Any]:
    if isinstance(source, TracedTable):
        return source.input.to_json() | {"commits": [commit_json(each) for each in source.commits]}
    return source.to_json()


def _foreign(commit: Commit) -> str:
    return f"{_time(commit)}  {commit.operation}, written without lineage (maintenance, or not by a job of the lake)"


def _foreign_json(commit: Commit) -> dict[str, Any]:
    return {"version": commit.version, "committed_at": commit.committed_at, "operation": commit.operation}


def _time(commit: Commit) -> str:
    return f"{commit.committed_at:%Y-%m-%d %H:%M:%S}Z"
