"""Of the records with one identity one stands: the greatest by the contract's precedence, whenever it comes.

Candidates compete with each other and with the silver row that holds their identity, before anything settles: so the
winners and the rows that they displace name exactly what changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from lakehouse.contracts import Contract
from lakehouse.engine.enrich import microseconds, values

DUPLICATE, SUPERSEDED = "duplicate", "superseded"


@dataclass(frozen=True)
class Beaten:
    """A row that another record of its identity beats: its `place`, the rule, and the `record_id` of the winner."""

    place: int
    rule: str
    winner: str


@dataclass
class Contest:
    """Who stands; rows by their places in the candidates and in the rivals (the silver rows that are there).

    `winners` are candidates that enter silver; `displaced` maps a rival's place to the candidate that takes its place;
    `losers` and `beaten` are the candidates and rivals that go to rejected. A candidate that silver holds already is
    in none of them.
    """

    winners: list[int] = field(default_factory=list)
    displaced: dict[int, int] = field(default_factory=dict)
    losers: list[Beaten] = field(default_factory=list)
    beaten: list[Beaten] = field(default_factory=list)


def keys(rows: pa.Table, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """The values of some columns, a tuple a row; timestamps and dates in microseconds."""
    columns = []
    for name in names:
        column = rows[name]
        temporal = pa.types.is_temporal(column.type)
        columns.append(values(microseconds(column) if temporal else column))
    return list(zip(*columns, strict=True)) if columns else [()] * rows.num_rows


def decide(candidates: pa.Table, rivals: pa.Table, source: Contract, silver: Contract) -> Contest:
    """Who of the `candidates` enters silver, and which of the `rivals` leave it.

    Both have the columns of the identity, the precedence and the source, and `record_id`. A rival that is equal by
    precedence stays.
    """
    found = Contest()
    orders, rival_orders = (keys(rows, silver.precedence) for rows in (candidates, rivals))
    rival_at = {identity: place for place, identity in enumerate(keys(rivals, silver.identity))}
    contenders: dict[tuple[Any, ...], list[int]] = {}
    for place, identity in enumerate(keys(candidates, silver.identity)):
        contenders.setdefault(identity, []).append(place)
    lost: list[tuple[int, int | None]] = []
    for identity, places in contenders.items():
        best = max(places, key=orders.__getitem__) if len(places) > 1 else places[0]
        rival = rival_at.get(identity)
        stays = rival is not None and rival_orders[rival] >= orders[best]
        if not stays:
            found.winners.append(best)
            if rival is not None:
                found.displaced[rival] = best
        lost += [(place, None if stays else best) for place in places if stays or place != best]
    _tell_beaten(found, lost, candidates, rivals, rival_at, source, silver)
    return found


def _tell_beaten(
    found: Contest,
    lost: Sequence[tuple[int, int | None]],
    candidates: pa.Table,
    rivals: pa.Table,
    rival_at: Mapping[tuple[Any, ...], int],
    source: Contract,
    silver: Contract,
) -> None:
    """Fills `losers` and `beaten`: a record with the winner's content is a duplicate, any other was superseded."""
    if not lost and not found.displaced:
        return
    content = [column.stored_as for column in source.columns]
    involved = sorted({place for pair in lost for place in pair if place is not None} | {*found.displaced.values()})
    at = {place: number for number, place in enumerate(involved)}
    some = candidates.take(pa.array(involved, pa.int64()))
    contents, ids, identities = keys(some, content), values(some["record_id"]), keys(some, silver.identity)
    rival_contents, rival_ids = keys(rivals, content), values(rivals["record_id"])
    for place, best in lost:
        rival = None if best is not None else rival_at[identities[at[place]]]
        winner = rival_ids[rival] if rival is not None else ids[at[best or 0]]
        winning = rival_contents[rival] if rival is not None else contents[at[best or 0]]
        there = rival_at.get(identities[at[place]])
        # A record that silver holds already is no delivery of its own, whether it stays there or is displaced.
        if ids[at[place]] != winner and (there is None or ids[at[place]] != rival_ids[there]):
            rule = DUPLICATE if contents[at[place]] == winning else SUPERSEDED
            found.losers.append(Beaten(place, rule, winner))
    for rival, best in found.displaced.items():
        rule = DUPLICATE if rival_contents[rival] == contents[at[best]] else SUPERSEDED
        found.beaten.append(Beaten(rival, rule, ids[at[best]]))
