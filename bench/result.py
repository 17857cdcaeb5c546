"""What a benchmark found, as values: tables to show, goals with what was measured, figures for other benchmarks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Table:
    """Rows of text under column names."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Goal:
    """One promise: what is measured, what was wanted, what came out, and whether that is good enough."""

    what: str
    wanted: str
    measured: str
    met: bool


@dataclass(frozen=True)
class Result:
    """A benchmark's findings. `method` says in a few sentences what was measured and how; `figures` are what the pages
    that bring several benchmarks together need of it; `picture` is the text of an SVG.
    """

    title: str
    method: str
    goals: tuple[Goal, ...]
    tables: tuple[Table, ...]
    figures: Mapping[str, float] = field(default_factory=dict)
    picture: str | None = None


def percentile(values: Sequence[float], share: float) -> float:
    """The discrete nearest-rank percentile: the value that `share` (0 to 1) of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * share // 1) - 1)]


def thousands(number: float) -> str:
    """A count as people read it."""
    return f"{number:,.0f}"
