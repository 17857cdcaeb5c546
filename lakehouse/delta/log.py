"""The log of a Delta table: one JSON object per version, written by put-if-absent, so that a version is made once."""

import json
import re
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version as package_version
from typing import Any

from lakehouse.delta.store import TableStore
from lakehouse.errors import LakehouseError

FOLDER = "_delta_log"
LAST_CHECKPOINT = f"{FOLDER}/_last_checkpoint"
_VERSION_FILE = re.compile(r"/(\d{20})\.json$")
_CHECKPOINT_FILE = re.compile(r"/(\d{20})\.checkpoint(?:\.\d{10}\.(\d{10}))?\.parquet$")
# Who wrote, in each commit's `engineInfo`. Read once: it is looked up in the installation's files.
ENGINE = f"shopware-lakehouse/{package_version('shopware-lakehouse')} delta"

Action = dict[str, Any]


class CommitConflictError(LakehouseError):
    """Somebody else made the version that this commit would have been: nothing was committed."""


class AlteredTableError(LakehouseError):
    """A table was changed by somebody who may not: the message says what is wrong and what to do."""


class UnreadableLogError(LakehouseError):
    """The log of a table is not as the protocol says, or uses what is not known here."""


def version_key(version: int) -> str:
    """The object with the actions of a version."""
    return f"{FOLDER}/{version:020}.json"


def read_actions(store: TableStore, version: int) -> list[Action] | None:
    """The actions of a version, or None where it has no object: not written yet, or cleaned away."""
    content = store.read(version_key(version))
    return None if content is None else [json.loads(line) for line in content.splitlines() if line]


def versions_after(store: TableStore, version: int) -> list[int]:
    """The versions above `version` that have an object, by one listing."""
    listed = store.listing(FOLDER, after=version_key(version) if version >= 0 else None)
    matches = (_VERSION_FILE.search(f"/{key}") for key in listed)
    return sorted(number for match in matches if match and (number := int(match[1])) > version)


def last_checkpoint(store: TableStore) -> tuple[int, list[str]] | None:
    """The newest complete checkpoint: its version and its files. None where there is none."""
    content = store.read(LAST_CHECKPOINT)
    if content is not None:
        told = json.loads(content)
        version, parts = int(told["version"]), int(told.get("parts") or 1)
        keys = _checkpoint_keys(version, parts)
        if all(store.exists(key) for key in keys):
            return version, keys
    found: dict[int, tuple[int, int]] = {}
    for key in store.listing(FOLDER):
        if match := _CHECKPOINT_FILE.search(f"/{key}"):
            number, parts = int(match[1]), int(match[2] or 1)
            found[number] = (parts, found.get(number, (parts, 0))[1] + 1)
    complete = [number for number, (parts, there) in found.items() if parts == there]
    return (max(complete), _checkpoint_keys(max(complete), found[max(complete)][0])) if complete else None


def commit(store: TableStore, version: int, actions: Sequence[Action]) -> None:
    """Makes `version` of these actions. Raises CommitConflictError if somebody else has made it."""
    lines = "\n".join(json.dumps(action, separators=(",", ":"), ensure_ascii=False) for action in actions)
    if not store.put_if_absent(version_key(version), lines.encode()):
        raise CommitConflictError(
            f"{store.uri}: version {version} was written by somebody else, so this commit was not made; "
            "only one process may write a table"
        )


def commit_info(
    operation: str,
    parameters: Mapping[str, str],
    metrics: Mapping[str, int],
    read_version: int,
    metadata: str | None = None,
    blind: bool = False,
) -> Action:
    """What a commit says of itself. `txnId` makes its bytes unlike those of any other commit."""
    info: dict[str, Any] = {
        "timestamp": milliseconds(),
        "operation": operation,
        "operationParameters": dict(parameters),
        "isolationLevel": "Serializable",
        "isBlindAppend": blind,
        "operationMetrics": {name: str(value) for name, value in metrics.items()},
        "engineInfo": ENGINE,
        "txnId": str(uuid.uuid4()),
    }
    if read_version >= 0:
        info["readVersion"] = read_version
    if metadata is not None:
        info["userMetadata"] = metadata
    return {"commitInfo": info}


def transaction_actions(transactions: Mapping[str, int]) -> list[Action]:
    """How far the commit's writer has come, by app id."""
    return [
        {"txn": {"appId": app_id, "version": number, "lastUpdated": milliseconds()}}
        for app_id, number in transactions.items()
    ]


def of_kind(actions: Iterable[Action], kind: str) -> list[dict[str, Any]]:
    """The contents of the actions of one kind, such as `add`."""
    return [action[kind] for action in actions if kind in action]


def milliseconds() -> int:
    """Now, as Delta writes it."""
    return time.time_ns() // 1_000_000


def _checkpoint_keys(version: int, parts: int) -> list[str]:
    start = f"{FOLDER}/{version:020}.checkpoint"
    if parts == 1:
        return [f"{start}.parquet"]
    return [f"{start}.{part:010}.{parts:010}.parquet" for part in range(1, parts + 1)]
