"""Lines with delimiters to fields: which column of a header is which field of the contract, and a record's cells.

Pure, and line by line: how a file is cut into records is `batch.csv_rows`'s.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lakehouse.contract_model import Contract
from lakehouse.dialect import Dialect
from lakehouse.field_values import Value

COMMA = ","
LIKELY_DELIMITERS = (";", "\t", "|", ",")
# How much of a header, and of what was expected, a message tells.
TOLD_CHARACTERS = 200
# What stands before a file's own text in a message: it may be a person's, so that commands print what is before it.
FOUND = "; found "


class HeaderError(ValueError):
    """The header cannot name the cells of the records below it; the message says what was found and expected."""


@dataclass(frozen=True)
class Form:
    """How the cells of a line are set apart: `quote` None is for lines without quotes.

    With `after_space` blanks behind a delimiter are none of the cell's.
    """

    delimiter: str = COMMA
    quote: str | None = '"'
    escape: str | None = None
    after_space: bool = False

    @classmethod
    def of(cls, dialect: Dialect, delimiter: str | None = None) -> "Form":
        """The form that a dialect declares; `delimiter` is for one that declares none."""
        return cls(dialect.delimiter or delimiter or COMMA, dialect.quote or None, dialect.escape)

    def reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """The records of the lines, strictly by RFC 4180: a quote in the wrong place raises csv.Error."""
        options: Mapping[str, Any] = (
            {"quoting": csv.QUOTE_NONE} if self.quote is None else {"quotechar": self.quote, "doublequote": True}
        )
        return csv.reader(
            lines,
            strict=True,
            delimiter=self.delimiter,
            escapechar=self.escape,
            skipinitialspace=self.after_space,
            **options,
        )


@dataclass(frozen=True)
class Header:
    """The columns of a file: the payload's name of each cell, and which of them had a name at all.

    `cells` is the header as it came, `width` the number of columns up to the last that is named.
    """

    cells: tuple[str, ...]
    names: tuple[str, ...]
    named: tuple[bool, ...]
    width: int


def header_of(cells: Sequence[str], contract: Contract | None) -> Header:
    """The header; a name is a field's whatever its case, blanks around it and its alias in the dialect say.

    Columns without a name are those of a spreadsheet that has nothing in them; what is in one all the same is kept as
    `column_<place>`. Raises HeaderError for a name that is there twice, and for names of which the contract has none.
    """
    names = _names(cells, contract)
    named = tuple(bool(cell.strip()) for cell in cells)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise HeaderError(f"the header names a column twice{FOUND}{', '.join(map(repr, twice))}")
    if contract is not None and not set(names) & {column.name for column in contract.columns}:
        raise HeaderError(_shares_no_name(cells, contract))
    width = max((place for place, each in enumerate(named, 1) if each), default=0)
    return Header(tuple(cells), tuple(names), named, width)


def _names(cells: Sequence[str], contract: Contract | None) -> list[str]:
    fields = _fields_by_header(contract)
    exact = contract is not None and contract.dialect.exact_case
    names: list[str] = []
    for place, cell in enumerate(cells, 1):
        key = cell.strip() if exact else cell.strip().casefold()
        names.append(fields.get(key, cell if cell.strip() else f"column_{place}"))
    return names


def field_names(columns: Sequence[str], contract: Contract | None) -> list[str]:
    """The payload's names of a typed file's columns, by the rules of a header; what two would be called stays."""
    fields = _fields_by_header(contract)
    exact = contract is not None and contract.dialect.exact_case
    taken = set(columns)
    names: list[str] = []
    for column in columns:
        name = fields.get(column.strip() if exact else column.strip().casefold(), column)
        if name != column and name in taken:
            name = column
        taken.add(name)
        names.append(name)
    return names


def names_all_required(cells: Sequence[str], contract: Contract) -> bool:
    """Whether these cells can only be a header: every required column of the contract is named once."""
    names = _names(cells, contract)
    required = {column.name for column in contract.columns if column.required}
    return len(set(names)) == len(names) and required <= set(names)


def fields_of(cells: Sequence[str], header: Header) -> dict[str, Value] | None:
    """The record's fields by name, null for an empty cell. None where its cells are not those of the header.

    Cells beyond the last named column may be missing, and beyond the header too many, as long as nothing is in them.
    """
    if len(cells) < header.width or any(cells[len(header.names) :]):
        return None
    fields: dict[str, Value]
    if header.width == len(header.names) == sum(header.named):
        fields = {name: cell or None for name, cell in zip(header.names, cells, strict=False)}
    else:
        columns = zip(header.names, header.named, cells, strict=False)
        fields = {name: cell or None for name, named, cell in columns if named or cell}
    return fields


def likely_delimiter(line: str, contract: Contract) -> str | None:
    """The delimiter by which this line would be a header of the contract; None where there is no such."""
    for delimiter in LIKELY_DELIMITERS:
        try:
            cells = next(Form(delimiter).reader(iter([line])), [])
        except csv.Error:
            continue
        if len(cells) > 1 and names_all_required(cells, contract):
            return delimiter
    return None


def _fields_by_header(contract: Contract | None) -> dict[str, str]:
    """Field by what a header may call it; a field's own name stands before another's alias."""
    if contract is None:
        return {}
    written = [*contract.dialect.aliases, *((column.name, column.name) for column in contract.columns)]
    return {name.strip() if contract.dialect.exact_case else name.strip().casefold(): field for name, field in written}


def _shares_no_name(cells: Sequence[str], contract: Contract) -> str:
    found = ",".join(cells)
    delimiter = likely_delimiter(found, contract) if contract.dialect.delimiter is None else None
    hint = f"its delimiter is {delimiter!r}: " if delimiter not in (None, COMMA) else ""
    expected = ", ".join(column.name for column in contract.columns)
    return (
        f"the header shares no name with the contract {contract.name}: {hint}declare the source's dialect (lakehouse "
        f"try FILE --source {contract.name} shows it); expected {_told(expected)}{FOUND}{_told(found)!r}"
    )


def _told(text: str) -> str:
    return text if len(text) <= TOLD_CHARACTERS else f"{text[:TOLD_CHARACTERS]}…"
