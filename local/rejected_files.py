"""Why records are rejected, file by file: what breaks nearly every line is a fault of the file, the rest of its lines.

It tells names and numbers, never values. Reads the lake through `local.sql`; records of a stream count as lines of it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lakehouse.contracts import Contract
from lakehouse.delimited import FOUND
from lakehouse.drift import told
from local.sql import Lake

# The share of a file's lines from which on a reason is the file's.
SHARE_OF_FILE = 0.9
LONGEST = 300

# `<path>#<line>`, or `<path>#<member>#<line>`; records of streams are `<stream>/<shard>/<sequence>`.
_FILE = (
    "case when record_id like '%#%' then regexp_replace(record_id, '#[0-9]+$', '') "
    "else split_part(record_id, '/', 1) end"
)
# Names of sources are those of contracts: no text of a record stands in a statement.
_REASONS = f"""
with broken as (
  select {_FILE} as file, record_id, payload, payload_encoding, unnest(errors) as error
  from rejected.{{source}} where rule not in ('duplicate', 'superseded')
)
select file, error.rule as rule, error.column as "column", payload_encoding as encoding,
  count(distinct record_id) as rejected, arg_min(error.message, record_id) as message,
  min(record_id) as first, arg_min(payload, record_id) as payload
from broken group by 1, 2, 3, 4
"""  # noqa: S608
_LINES = f"""
select {_FILE} as file, count(*) as lines from bronze.{{source}}
where list_contains($files, {_FILE}) group by 1
"""  # noqa: S608


@dataclass(frozen=True)
class RejectReason:
    """What `rejected` of the `lines` of a file, or of a stream, break; `of_file` where that is nearly all of them.

    `columns` are the fields that break the rule in the same number of lines.
    """

    source: str
    file: str
    rejected: int
    lines: int
    rule: str
    columns: tuple[str, ...]
    message: str
    hint: str
    of_file: bool

    def __str__(self) -> str:
        count, names = f"{self.file}: {self.rejected} of {self.lines} lines", ", ".join(self.columns)
        if self.rule == "required":
            what = f"{count} lack {names}"
        else:
            what = f"{count}: {self.rule}: {names + ' ' if names else ''}{self.message}"
        return f"{what}: {self.hint}" if self.hint else what


def reject_reasons(lake: Lake, contract: Contract) -> list[RejectReason]:
    """The reasons of a source's rejected records, those of files first, those of most records first among them.

    A duplicate is no fault, so it is none of them.
    """
    source = contract.name
    if not {f"rejected.{source}", f"bronze.{source}"} <= set(lake.tables()):
        return []
    found = lake.query(_REASONS.format(source=source))
    files = sorted({row["file"] for row in found})
    counted = lake.query(_LINES.format(source=source), {"files": files}) if files else []
    lines = {row["file"]: row["lines"] for row in counted}
    together: dict[tuple[object, ...], list[Mapping[str, Any]]] = {}
    for row in found:
        # Lines that wait for a dialect wait for what their header's record tells.
        waits = row["encoding"] in ("line", "unreadable")
        key = (row["file"],) if waits else (row["file"], row["rule"], row["rejected"], row["encoding"])
        together.setdefault(key, []).append(row)
    reasons = [_reason(rows, lines.get(rows[0]["file"], 0), contract) for rows in together.values()]
    return sorted(reasons, key=lambda each: (not each.of_file, -each.rejected, each.file, each.rule, each.columns))


def _reason(rows: Sequence[Mapping[str, Any]], lines: int, contract: Contract) -> RejectReason:
    first = min(rows, key=lambda row: (row["encoding"] != "unreadable", row["column"] or ""))
    waits = first["encoding"] in ("line", "unreadable")
    rejected = sum(row["rejected"] for row in rows) if waits else first["rejected"]
    message = _told(first["payload"]).get("error") if waits else first["message"]
    return RejectReason(
        contract.name,
        first["file"],
        rejected,
        max(lines, rejected),
        first["rule"],
        tuple(column.name for column in contract.columns if column.name in {row["column"] for row in rows}),
        str(message or "").partition(FOUND)[0][:LONGEST],
        _hint(first, contract),
        first["encoding"] == "unreadable" or rejected >= SHARE_OF_FILE * lines,
    )


def _hint(row: Mapping[str, Any], contract: Contract) -> str:
    """What the record has instead of what it lacks, else which record it is; never a value, which may be a person's."""
    if row["encoding"] in ("line", "unreadable"):
        return ""
    unknown = _unknown(_told(row["payload"]), contract) if row["rule"] == "required" else []
    if unknown:
        return f"it has {', '.join(unknown)}, which the contract does not know"
    return f"the first is {row['first']}"


def _unknown(fields: Mapping[str, Any], contract: Contract) -> Sequence[str]:
    known = {column.name for column in contract.columns}
    return [told(name) for name in fields if name not in known][:10]


def _told(payload: str) -> Mapping[str, Any]:
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
