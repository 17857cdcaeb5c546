"""What one layer hands to the next in the memory of one process: a commit that it has just made, with its rows."""

from dataclasses import dataclass, field

import pyarrow as pa


@dataclass(frozen=True)
class Handed:
    """The rows of the versions `first` to `last` of a table: what was added to bronze; of silver also what it lost,
    with a column `_sign` (1 or -1). `table_id` tells a table from another one that was made anew in its place.
    """

    table: str
    table_id: str
    first: int
    last: int
    rows: pa.Table


@dataclass
class Continuity:
    """Which versions of its table an owner has handed on, or knows to have changed no row: what it hands on next
    begins behind them, so that a compaction in between sends nobody to the log.
    """

    _handed: int | None = field(default=None, init=False)
    _left_at: int | None = field(default=None, init=False)

    def found(self, version: int) -> None:
        """The table is at this version, before the owner writes. Where others have written, it is not known what."""
        if version != self._left_at:
            self._handed = None

    def changed(self, version: int) -> int:
        """The owner has made this version, with rows that it hands on: gives the first version that these stand for."""
        first = version if self._handed is None else self._handed + 1
        self._handed = self._left_at = version
        return first

    def unchanged(self, version: int) -> None:
        """The owner has made this version without a change of rows."""
        self._left_at = version
