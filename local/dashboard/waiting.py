"""Since when a table has records waiting for it, so that one that has all there is counts as idle and not as late.

What a table has taken in stands in its commits' lineage: versions of the tables that it is made from. The first commit
there that it has not taken in, and that brought rows, is what waits.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Protocol

from lakehouse.contract_model import Contracts
from lakehouse.kpis import KPIS
from runtime.delta_log import Commit, DeltaLog
from runtime.lineage import TableInput, read_lineage

MOST_LOOKED_AT = 200


class Followed(Protocol):
    """What must be known of a table: its newest version, its rows, and its latest commits, newest first."""

    @property
    def version(self) -> int: ...  # noqa: D102
    @property
    def rows(self) -> int: ...  # noqa: D102
    @property
    def commits(self) -> tuple[Commit, ...]: ...  # noqa: D102


def made_from(table: str, contracts: Contracts) -> tuple[str, ...]:
    """The tables whose rows become those of a table, such as `bronze.pos`; none for a bronze table."""
    layer, _, name = table.partition(".")
    if layer == "gold":
        sources = (each.source for kpi in KPIS if kpi.table == table for each in kpi.contributions)
        return tuple(dict.fromkeys(sources))
    if layer == "rejected":
        return (f"bronze.{name}",)
    return tuple(f"bronze.{each}" for each in contracts.sources if table == f"silver.{contracts.silver_of(each).name}")


def waiting_since(
    table: str, tables: Mapping[str, Followed], contracts: Contracts, log: Callable[[str], DeltaLog]
) -> datetime | None:
    """When the first rows that a table has yet to take in were committed to a table it is made from; None: it has all.

    A source whose records are all in silver or rejected has none waiting. What a batch rejects whole is known from the
    rejected table's commits.
    """
    layer = table.partition(".")[0]
    found = []
    for source in made_from(table, contracts):
        if source not in tables:
            continue
        name = source.partition(".")[2]
        takers = [f"silver.{contracts.silver_of(name).name}", f"rejected.{name}"] if layer != "gold" else [table]
        there = [tables[each] for each in takers if each in tables]
        if layer != "gold" and sum(each.rows for each in there) == tables[source].rows:
            continue
        taken = _taken_in(source, (commit for each in there for commit in each.commits), there)
        if taken is not None:
            found.append(_first_after(taken, tables[source].version, log(source)))
    return min((each for each in found if each is not None), default=None)


def _taken_in(source: str, commits: Iterable[Commit], takers: list[Followed]) -> int | None:
    """The newest version of a source that commits took in; -1 for none of it, None where it is not known any more."""
    versions = [
        each.last
        for commit in commits
        if (lineage := read_lineage(commit.metadata)) is not None
        for each in lineage.inputs
        if isinstance(each, TableInput) and each.table == source
    ]
    whole = all(len(each.commits) > each.version for each in takers)
    return max(versions, default=-1 if whole else None)


def _first_after(version: int, newest: int, log: DeltaLog) -> datetime | None:
    """The time of the first commit after a version that brought rows; what tends a table brings none.

    Of silver only new rows count: a correction need not change any KPI, and then gold has nothing to commit for it.
    """
    for number in range(version + 1, min(newest, version + MOST_LOOKED_AT) + 1):
        commit = log.commit(number)
        lineage = read_lineage(commit.metadata) if commit else None
        if commit is None or lineage is None:
            continue
        counts = lineage.counts
        brought = counts.read if log.name.startswith("bronze.") else counts.inserted
        if brought:
            return commit.committed_at
    return None
