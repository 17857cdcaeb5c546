"""A way to a folder that readers of Delta tables understand: they take a percent sign in a path for an encoding."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from lakehouse.errors import LakehouseError

# What they decode whatever way leads there: they follow links first.
ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")


class PlainPath:
    """The path of a folder as it is, or, where it has a percent sign, a link to it that has none until it is closed."""

    def __init__(self, folder: str) -> None:
        """`folder` is a full path without links. Raises LakehouseError for one that no reader can find."""
        found = ENCODED.search(folder)
        if found:
            raise LakehouseError(
                f"the lake at {folder} cannot be read: readers of Delta tables take {found[0]} in a path for an "
                "encoded character. Rename that folder"
            )
        self._holder: TemporaryDirectory[str] | None = None
        self.path = folder
        if "%" in folder:
            self._holder = TemporaryDirectory(prefix="lakehouse-lake-")
            link = Path(self._holder.name) / "lake"
            link.symlink_to(folder, target_is_directory=True)
            self.path = str(link)

    def close(self) -> None:
        """Takes the link away, not the folder."""
        if self._holder is not None:
            self._holder.cleanup()
            self._holder = None
