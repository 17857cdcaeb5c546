"""`lakehouse lineage TABLE`: where a commit's rows came from, down to sequence numbers and files."""

from functools import cache, partial
from typing import Any

from rich.text import Text
from rich.tree import Tree

from lakehouse.settings import Settings
from local.lineage_text import describe, describe_foreign, describe_input
from local.rendering import json_text, standard_console, visible
from runtime.delta_log import Commit, DeltaLog
from runtime.lineage import Source, TracedCommit, TracedTable, Tracer, starting_point

MOST_COMMITS = 20


def run(*, table: str, version: int | None, json: bool, settings: Settings) -> None:
    """Prints the walk from a commit back to its sources: a tree, or with `json` one JSON object.

    Without `version` it starts at the newest commit that says where its rows came from; later commits of somebody
    else (OPTIMIZE and the like) are named. The tree shows at most 20 commits of each input, JSON all. Raises
    LakehouseError when the table or the version is not there.
    """
    log = cache(partial(DeltaLog, settings.root))
    start, foreign = starting_point(log(table), version)
    traced = Tracer(log, limit=0 if json else MOST_COMMITS).trace(table, start)
    if json:
        print(json_text(commit_json(traced) | {"later": [_foreign_json(each) for each in foreign]}))
        return
    console = standard_console()
    for each in foreign:
        console.print(Text(f"{table} version {each.version}: {describe_foreign(each)}", style="dim"))
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


def _foreign_json(commit: Commit) -> dict[str, Any]:
    return {"version": commit.version, "committed_at": commit.committed_at, "operation": commit.operation}
