"""A file as its source would take it in, without taking it in: which lines pass, which do not and why.

Fields and rules are the contract's; whether the reference data knows a key is not asked, for that is the lake's.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from batch.lines import DEFAULT_LIMITS, Row
from batch.readers import read_rows
from lakehouse.contract_model import Contract
from lakehouse.dialect import Dialect
from lakehouse.engine.parse import parse

ARRIVED = datetime(9000, 1, 1, tzinfo=UTC)  # later than any event, so that no clock decides
MOST_SHOWN = 5
_COLUMNS: dict[str, pa.DataType] = {
    "payload": pa.string(),
    "payload_encoding": pa.string(),
    "arrived_at": pa.timestamp("us", "UTC"),
}
_ENVELOPE = pa.schema(_COLUMNS)


@dataclass(frozen=True)
class Reason:
    """Why lines are rejected: the rule, its field, how many lines, and the first of them with what was there."""

    rule: str
    column: str | None
    message: str
    lines: int
    first_line: int
    value: str | None


@dataclass(frozen=True)
class Trial:
    """What a file gives: `accepted` of `lines`, why the others do not pass, the first rows, and undeclared names.

    `refused_texts` are those of fields that broke a rule; `values` counts fields that are of their type.
    """

    lines: int
    accepted: int
    reasons: tuple[Reason, ...]
    rows: tuple[dict[str, Any], ...]
    undeclared: tuple[str, ...]
    refused_texts: dict[str, tuple[str, ...]]
    values: int

    @property
    def rank(self) -> tuple[int, int, int]:
        """The greater, the better: lines that pass, values less faults, names that are known."""
        return self.accepted, self.values - sum(reason.lines for reason in self.reasons), -len(self.undeclared)


def tried(path: str, content: bytes, contract: Contract, dialect: Dialect, most: int | None = None) -> Trial:
    """The trial of a file's bytes, or of its first `most` records, in this dialect of the contract."""
    spoken = replace(contract, dialect=dialect)
    found = read_rows(path, iter([content]), len(content), DEFAULT_LIMITS, spoken)
    return judged(list(itertools.islice(found, most)), spoken)


def judged(rows: Sequence[Row], contract: Contract) -> Trial:
    """What the contract says of rows that were read."""
    columns = [[row.payload for row in rows], [row.encoding for row in rows], [ARRIVED] * len(rows)]
    parsed = parse(pa.table(columns, schema=_ENVELOPE), contract)
    errors: list[Any] = parsed["errors"].to_pylist()
    counts: Counter[tuple[str, str | None, str]] = Counter()
    first: dict[tuple[str, str | None, str], tuple[int, str | None]] = {}
    refused: dict[str, dict[str, None]] = {}
    for row, found in zip(rows, errors, strict=True):
        for error in found:
            key = (error["rule"] or "", error["column"], error["message"] or "")
            counts[key] += 1
            first.setdefault(key, (row.line, error["value"]))
            if error["column"] is not None and error["value"] is not None:
                refused.setdefault(error["column"], {})[error["value"]] = None
    stored = [column.stored_as for column in contract.columns]
    passed = parsed.select(stored).filter(pa.array([not each for each in errors], pa.bool_()))
    undeclared: list[Any] = parsed["undeclared"].to_pylist()
    names = {name: None for each in undeclared for name in each}
    return Trial(
        lines=len(rows),
        accepted=passed.num_rows,
        reasons=tuple(Reason(*key, lines, *first[key]) for key, lines in counts.most_common()),
        rows=tuple(passed.slice(0, MOST_SHOWN).to_pylist()),
        undeclared=tuple(names),
        values=sum(len(parsed) - parsed[name].null_count for name in stored),
        refused_texts={column: tuple(texts) for column, texts in refused.items()},
    )
