"""What one layer hands to the next in the memory of one process: a commit that it has just made, with its rows."""

from dataclasses import dataclass

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
