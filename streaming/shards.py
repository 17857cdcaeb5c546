"""Where reading each shard of a stream goes on, and which shards may be read: values and pure functions.

An offset of the Kinesis source is an epoch with the start position of every shard that is not done with. Shards
descend from each other (a split has two children, a merge has two parents); a child's turn comes when its parents
have been read to their end. This never looks at a clock or a network.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from lakehouse.errors import LakehouseError


class ShardLineageError(LakehouseError):
    """Records may have been lost: shards are gone that had not been read to their end."""


class Kind(StrEnum):
    """How a position says where to start; the values are Kinesis' own names."""

    TRIM_HORIZON = "TRIM_HORIZON"
    AT_TIMESTAMP = "AT_TIMESTAMP"
    AFTER_SEQUENCE_NUMBER = "AFTER_SEQUENCE_NUMBER"


@dataclass(frozen=True)
class Position:
    """Where reading a shard goes on.

    `value` is a sequence number, or epoch seconds for AT_TIMESTAMP. `complete_until` (epoch seconds) is the latest
    time of which we know that everything that had arrived by then lies before this position; None where nothing is
    promised about the past. `finished` shards are closed and have no record after this position.
    """

    kind: Kind
    value: str = ""
    complete_until: float | None = None
    finished: bool = False

    def to_json(self) -> dict[str, Any]:
        """The position as the offset log and the ledger hold it; what has its usual value is left out."""
        content: dict[str, Any] = {"from": self.kind.value}
        if self.value:
            content["value"] = self.value
        if self.complete_until is not None:
            content["complete_until"] = self.complete_until
        if self.finished:
            content["finished"] = True
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Position":
        """The position that `to_json` wrote. Raises KeyError or ValueError for anything else."""
        return cls(
            Kind(content["from"]),
            str(content.get("value", "")),
            content.get("complete_until"),
            bool(content.get("finished", False)),
        )

    def same_place(self, other: "Position") -> bool:
        """Whether both start at the same record, whatever else is known about them."""
        return (self.kind, self.value, self.finished) == (other.kind, other.value, other.finished)


@dataclass(frozen=True)
class Offset:
    """One epoch: the positions at which it starts, and the shards that its batch reads.

    `stream_created` (epoch seconds) tells a stream from a later one of the same name. `losses` tells in words which
    records it passes over without having read them. Epoch 0 is before everything.
    """

    epoch: int = 0
    stream_created: float | None = None
    shards: Mapping[str, Position] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The offset for Spark's offset log."""
        content: dict[str, Any] = {
            "epoch": self.epoch,
            "stream_created": self.stream_created,
            "shards": {shard: position.to_json() for shard, position in self.shards.items()},
            "reads": list(self.reads),
        }
        return content | ({"losses": list(self.losses)} if self.losses else {})

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Offset":
        """Raises LakehouseError when the offset is not one that this source wrote."""
        try:
            return cls(
                int(content["epoch"]),
                content["stream_created"],
                {shard: Position.from_json(position) for shard, position in content["shards"].items()},
                tuple(content["reads"]),
                tuple(content.get("losses", ())),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LakehouseError(
                f"the checkpoint's offset {str(content)[:200]} was not written by this Kinesis source: give the query "
                "its own checkpoint and ledger folders"
            ) from error


@dataclass(frozen=True)
class Shard:
    """A shard as the stream lists it; `parents` may have left the list already."""

    shard_id: str
    parents: tuple[str, ...] = ()
    open: bool = True


def start_positions(listing: Sequence[Shard], position: Position, *, open_only: bool) -> dict[str, Position]:
    """The shards a new query starts with: all open ones, or else the oldest of each line of descent."""
    listed = {shard.shard_id for shard in listing}
    return {
        shard.shard_id: position
        for shard in listing
        if (shard.open if open_only else not listed.intersection(shard.parents))
    }


def resume_positions(
    listing: Sequence[Shard], read: Mapping[str, Position], retention_seconds: float
) -> dict[str, Position]:
    """Where a new query goes on behind what is in its sink: `read` has the place of the last record of each shard.

    1. The ancestors of a shard that was read are finished: a child's turn comes after its parents.
    2. A shard that was read goes on there. One that was not starts with its first record, unless parents that are not
       finished come first.
    3. A shard that was read and is not listed any more was finished when a child of it was read, or when the sink has
       records of a later time than the shard can have kept its own. Otherwise it stays, for `advance` to tell the loss.
    """
    listed = {shard.shard_id: shard for shard in listing}
    parents = [parent for shard_id in read if shard_id in listed for parent in listed[shard_id].parents]
    finished = _reachable(parents, lambda each: listed[each].parents if each in listed else ())  # 1
    positions = {  # 2
        shard.shard_id: read.get(shard.shard_id, Position(Kind.TRIM_HORIZON))
        for shard in listing
        if shard.shard_id not in finished
        and (shard.shard_id in read or all(each in finished or each not in listed for each in shard.parents))
    }
    newest = max((position.complete_until or 0.0 for position in read.values()), default=0.0)
    for shard_id, position in read.items():  # 3
        kept_until = (position.complete_until or 0.0) + retention_seconds
        if shard_id not in listed and shard_id not in finished and newest <= kept_until:
            positions[shard_id] = position
    return positions


def advance(
    positions: Mapping[str, Position], listing: Sequence[Shard], *, accept_loss: bool = False
) -> tuple[dict[str, Position], list[str]]:
    """The positions once children have taken over from finished parents, and a sentence for every loss.

    1. A shard that left the list (its retention passed) before it was read to its end is lost; so are the children
       of a finished shard if none of its line is listed any more.
    2. A listed shard without a known ancestor or descendant follows lost ones (or came without parents).
    3. With losses, `accept_loss` decides: forget the lost shards and read what follows them, or raise.
    4. A child starts when each of its parents that can still be read is finished.
    5. A finished shard whose children have all started leaves: the positions do not grow with the stream's age.

    Raises ShardLineageError for losses unless they are accepted.
    """
    listed = {shard.shard_id: shard for shard in listing}
    children: dict[str, list[str]] = {}
    for shard in listing:
        for parent in shard.parents:
            children.setdefault(parent, []).append(shard.shard_id)

    lost = [  # 1
        shard_id
        for shard_id, position in positions.items()
        if shard_id not in listed and not (position.finished and shard_id in children)
    ]
    current = {shard_id: position for shard_id, position in positions.items() if shard_id not in lost}

    coming = _reachable(current, lambda each: children.get(each, ()))  # 2
    passed = _reachable(current, lambda each: listed[each].parents if each in listed else ())
    unknown = {each: shard for each, shard in listed.items() if each not in coming and each not in passed}
    followers = [shard for shard in unknown.values() if unknown.keys().isdisjoint(shard.parents)]

    losses = [
        f"shard {each} expired before it was read to its end ({_progress(positions[each])})" for each in lost
    ]  # 3
    losses += [
        f"{each.shard_id} follows {' and '.join(each.parents)}, never read" for each in followers if each.parents
    ]
    if losses and not accept_loss:
        raise ShardLineageError("; ".join(losses))
    current |= {shard.shard_id: Position(Kind.TRIM_HORIZON) for shard in followers}

    for shard_id in coming - current.keys():  # 4
        parents = [current.get(each) for each in listed[shard_id].parents if each in coming]
        known = [position for position in parents if position is not None and position.finished]
        if len(known) == len(parents):
            current[shard_id] = _first_position(known)

    for shard_id in [each for each, position in current.items() if position.finished]:  # 5
        if children.get(shard_id) and current.keys() >= set(children[shard_id]):
            del current[shard_id]
    return {shard_id: current[shard_id] for shard_id in sorted(current)}, losses


def _reachable(starts: Iterable[str], step: Callable[[str], Iterable[str]]) -> set[str]:
    """The starts and everything that repeated steps lead to."""
    reached, waiting = set(starts), list(starts)
    while waiting:
        new = [each for each in step(waiting.pop()) if each not in reached]
        reached.update(new)
        waiting.extend(new)
    return reached


def _progress(position: Position) -> str:
    return f"read up to {position.value}" if position.kind is Kind.AFTER_SEQUENCE_NUMBER else "nothing was read"


def _first_position(parents: Sequence[Position]) -> Position:
    """Where a child starts: at its first record, unless its parents ended before the time the query starts from."""
    known = [position.complete_until for position in parents if position.complete_until is not None]
    complete_until = min(known) if len(known) == len(parents) else None
    if all(position.kind is Kind.AT_TIMESTAMP for position in parents):
        return replace(parents[0], complete_until=complete_until, finished=False)
    return Position(Kind.TRIM_HORIZON, complete_until=complete_until)
