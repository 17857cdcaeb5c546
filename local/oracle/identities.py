"""Which of several records of one identity stands, and what becomes of the others."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from local.oracle.checking import Checked, Row
from local.oracle.rules import Source


@dataclass(frozen=True)
class Fate:
    """Where a record must be found: `table` such as `silver.validated_pos` or `rejected.pos`.

    For a rejected one `rules` holds every rule that may be given. It is more than one only where three or more records
    share an identity: whether the first loses to the second or to the third depends on how they fell into batches.
    """

    table: str
    rules: frozenset[str] = frozenset()
    column: str | None = None


def contest(records: Iterable[Checked], source: Source) -> tuple[list[Row], dict[str, Fate]]:
    """The winners' values, each with its `record_id`, and the losers' fates."""
    rivals: dict[tuple[object, ...], list[Checked]] = defaultdict(list)
    for record in records:
        rivals[tuple(record.values[column] for column in source.identity)].append(record)
    winners: list[Row] = []
    losers: dict[str, Fate] = {}
    for group in rivals.values():
        group.sort(key=lambda record: record.arrival.rank)
        *beaten, winner = group
        winners.append({"record_id": winner.arrival.record_id, **winner.values})
        for place, loser in enumerate(beaten, 1):
            rules = frozenset("duplicate" if loser.values == later.values else "superseded" for later in group[place:])
            losers[loser.arrival.record_id] = Fate(f"rejected.{source.name}", rules)
    return winners, losers
