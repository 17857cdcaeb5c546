"""What a KPI declaration says, as plain frozen values. `kpis.py` has the declarations, `engine/gold.py` computes."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Contribution:
    """What each row of the silver table `source` that satisfies `where` adds to a KPI.

    All are DuckDB SQL over the columns of `source`, timestamps as UTC wall clock. `numerator` and `denominator` are
    rounded half up to 4 digits, null counts as 0. Without `denominator` the KPI is a plain sum: its denominator is the
    constant 1. `dimensions` maps dimension columns of the gold table to their values, the others are null. The date of
    `day` is the KPI's day.
    With `percentile` (1 to 100) nothing is added up: the KPI is that percentile of the numerators, nearest rank.
    """

    source: str
    numerator: str
    denominator: str | None = None
    where: str = "true"
    dimensions: Mapping[str, str] = field(default_factory=dict)
    day: str = "event_time"
    percentile: int | None = None

    def __post_init__(self) -> None:
        if self.percentile is not None and (self.denominator is not None or not 1 <= self.percentile <= 100):
            raise ValueError(f"{self}: a percentile lies between 1 and 100 and takes no denominator")


@dataclass(frozen=True)
class Kpi:
    """One KPI: the gold `table` that holds it, the `team` that asked for it, the `unit` of its value."""

    name: str
    table: str
    team: str
    unit: str
    description: str
    contributions: tuple[Contribution, ...]


def quotient(numerator: str, denominator: int) -> str:
    """SQL for an expression of whole numbers over a positive one, exact and half up to 4 digits.

    DuckDB's own division of decimals gives a double.
    """
    ten_thousandths = f"sign({numerator}) * ((abs({numerator}) * 20000 + {denominator}) // {2 * denominator})"
    return f"CAST({ten_thousandths} AS DECIMAL(28, 0)) * 0.0001"
