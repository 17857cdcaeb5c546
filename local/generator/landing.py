"""What a landing file is before it lands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from local.generator.formats import FileFormat, Line, TimeStyle, render


@dataclass(frozen=True)
class LandingFile:
    """A file for the landing area: `path` below it, whose first folder is the source.

    `due` is when the shop would deliver it. `fault` names what is wrong or special about the whole file, `faults` about
    single records, by line number as in record ids (Parquet: row number, from 1).
    """

    path: str
    data: bytes
    due: datetime
    fault: str | None = None
    faults: Mapping[int, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The source that the file belongs to."""
        return self.path.partition("/")[0]


def rendered_file(
    stem: str,
    file_format: FileFormat,
    lines: Sequence[Line],
    due: datetime,
    style: TimeStyle,
    columns: Sequence[str] = (),
    fault: str | None = None,
) -> LandingFile:
    """The file `<stem>.<format>` with the lines; without `columns` those of the first line, in its order."""
    rendered = render(lines, columns or list(lines[0].record), file_format, style)
    return LandingFile(f"{stem}.{file_format}", rendered.data, due, fault, rendered.faults)
