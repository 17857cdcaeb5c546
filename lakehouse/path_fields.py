"""Fields that only a file's path has: `store_id=11/part-0.parquet`, or what the dialect's `path` finds in it."""

import re
from urllib.parse import unquote

from lakehouse.contract_model import Contract
from lakehouse.field_values import Value, value_of

# Hive's folder for rows without a value.
NOTHING = "__HIVE_DEFAULT_PARTITION__"
_FOLDER = re.compile(r"(?P<name>[^/=]+)=(?P<value>[^/]*)/")


def path_fields(path: str, contract: Contract) -> dict[str, Value]:
    """The fields of the contract that a path below the landing area gives, in the order of the path.

    `<field>=<value>` folders count always, escapes in them undone; the dialect's named groups stand before them.
    """
    if "=" not in path and contract.dialect.path is None:
        return {}
    columns = {column.name: column for column in contract.columns}
    found: dict[str, str | None] = {
        match["name"]: None if match["value"] == NOTHING else unquote(match["value"])
        for match in _FOLDER.finditer(path)
        if match["name"] in columns
    }
    if contract.dialect.path is not None:
        match = re.search(contract.dialect.path, path)
        found |= match.groupdict() if match else {}
    return {name: value_of(text, columns[name], contract.dialect) if text else None for name, text in found.items()}
