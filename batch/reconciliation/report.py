"""What a reconciliation found, as plain values: who prints it is `local/commands/reconcile.py`."""

from dataclasses import dataclass

from batch.reconciliation.pins import GoldPins, SourcePins


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it must be.

    `kind`: lost, twice, unknown, misplaced, value or changed. `key`: the record_id, identity, or a gold row's key as
    JSON. `commits`: the commits that wrote what is there, newest first, as far as the logs tell.
    """

    table: str
    kind: str
    key: str
    column: str
    expected: str
    found: str
    commits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compared:
    """One table against what it must hold: `rows` compared, `differences` among them (all, not only those shown)."""

    table: str
    versions: str
    what: str
    rows: int
    differences: int


@dataclass(frozen=True)
class Report:
    """`shown` holds at most some differences of each table; `redrivable` counts by source what waits in rejected
    though its reference row has come, and `late_references` silver rows that a reference row came too late for.
    """

    pins: tuple[SourcePins | GoldPins, ...]
    compared: tuple[Compared, ...]
    shown: tuple[Difference, ...]
    redrivable: dict[str, int]
    late_references: dict[str, int]

    @property
    def differences(self) -> int:
        """How many there are in all tables."""
        return sum(each.differences for each in self.compared)
