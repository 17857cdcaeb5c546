"""What Spark itself wrote into a query's checkpoint folder: its identity and the offsets of a batch."""

import json
from dataclasses import dataclass
from typing import Any

from lakehouse.errors import LakehouseError
from runtime.storage import Storage


class CheckpointError(LakehouseError):
    """A checkpoint that its table does not fit; going on could lose or double records."""


def checkpoint_id(checkpoint: Storage) -> str:
    """The id that Spark gave the query when it made the checkpoint; a new checkpoint has a new one.

    Transaction ids carry it: batch numbers of a new checkpoint begin at 0 again, and would be taken for old ones.
    Raises LakehouseError if the checkpoint has no readable `metadata` file.
    """
    content = checkpoint.read("metadata")
    try:
        return str(json.loads(content or b"")["id"])
    except (ValueError, KeyError) as error:
        raise CheckpointError(
            f"{checkpoint.uri}/metadata is missing or damaged: put it back from a copy of the checkpoint folder, or "
            "start over (docs/operating.md)"
        ) from error


@dataclass(frozen=True)
class Progress:
    """How far a query came: the last batch that its checkpoint plans, and the last that it holds for finished; -1 for
    none.
    """

    planned: int
    finished: int

    @property
    def torn(self) -> bool:
        """Whether a batch was begun that may have reached its tables, in part or whole."""
        return self.planned > self.finished


def progress(checkpoint: Storage) -> Progress:
    """What Spark's offset and commit logs in the checkpoint folder tell.

    Raises CheckpointError for a log whose newest entry is cut short.
    """
    found = Progress(_last(checkpoint, "offsets"), _last(checkpoint, "commits"))
    for log, batch, lines in (("offsets", found.planned, 3), ("commits", found.finished, 2)):
        content = checkpoint.read(f"{log}/{batch}") if batch >= 0 else None
        if content is not None and not _whole(content, lines):
            raise CheckpointError(
                f"{checkpoint.uri}/{log}/{batch} is damaged (cut short?): put it back from a copy of the checkpoint "
                "folder, or start over (docs/operating.md)"
            )
    return found


def _whole(content: bytes, least: int) -> bool:
    """Whether a log's entry has its version and then JSON (`-`: no offset yet) in every line."""
    try:
        version, *lines = content.decode().splitlines()
        for line in lines:
            if line != "-":
                json.loads(line)
    except ValueError:
        return False
    return version.startswith("v") and 1 + len(lines) >= least


def _last(checkpoint: Storage, log: str) -> int:
    batches = (each.key.rpartition("/")[2] for each in checkpoint.list(log))
    return max((int(name) for name in batches if name.isdecimal()), default=-1)


def batch_offsets(checkpoint: Storage, batch: int) -> list[Any]:
    """The sources' offsets that end the batch, as Spark's offset log holds them; empty where the batch is unknown."""
    content = checkpoint.read(f"offsets/{batch}") if batch >= 0 else None
    if content is None:
        return []
    return [None if line == "-" else json.loads(line) for line in content.decode().splitlines()[2:]]
