"""What a KPI means to those who decide by it, as plain frozen values: the words that no declaration can hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Row = Mapping[str, object]


@dataclass(frozen=True)
class Result:
    """What example rows come to on one day, for one combination of dimensions; amounts as exact text."""

    day: str
    numerator: str
    denominator: str = "1"
    value: str = ""
    dimensions: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Example:
    """A few rows of silver tables, and what the KPI is for them; a test computes it again.

    `rows` are by table, with the columns that matter; `why` says what the rows show.
    """

    why: str
    rows: Mapping[str, tuple[Row, ...]]
    results: tuple[Result, ...]


@dataclass(frozen=True)
class Meaning:
    """One KPI in a manager's words.

    `question` is what it answers, `formula` how it comes about. `counted` and `not_counted` say what goes in, `traps`
    where it misleads, `trade` how it differs from what the trade calls by that name.
    """

    kpi: str
    title: str
    question: str
    formula: str
    counted: tuple[str, ...]
    not_counted: tuple[str, ...]
    traps: tuple[str, ...]
    trade: str
    example: Example
