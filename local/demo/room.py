"""Room for a demo: removes what an earlier demo left at a root, and never anything else."""

import json
import shutil
from pathlib import Path

import boto3

from lakehouse.errors import LakehouseError
from local.demo.run import Run
from runtime.storage import Storage

MARK = "demo.json"


class OccupiedRootError(LakehouseError):
    """Something is at the root that no demo made."""


def empty_lake(run: Run) -> None:
    """Removes the lake that an earlier demo left at the root, and marks the root as a demo's.

    Raises OccupiedRootError when something is there that no demo made: that is never removed.
    """
    root = run.settings.root
    storage = Storage.open(root)
    present = storage.list()
    if present and storage.read(MARK) is None:
        raise OccupiedRootError(
            f"{root} holds {len(present)} objects that no demo made: give another --root, or empty it"
        )
    if storage.uri.startswith("s3://"):
        _empty_bucket(storage.uri)
    else:
        _empty_folder(Path(root))
    storage.put(MARK, json.dumps({"days": run.days, "seed": run.seed, "rate": run.rate}).encode())
    run.folder.mkdir(parents=True, exist_ok=True)
    for left in run.folder.glob("*"):
        left.unlink()


def _empty_bucket(root: str) -> None:
    """Removes the markers of empty folders too, which a listing through obstore hides: to Delta they are tables."""
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    boto3.resource("s3").Bucket(bucket).objects.filter(Prefix=f"{prefix}/" if prefix else "").delete()


def _empty_folder(root: Path) -> None:
    """Removes the folders themselves: to Delta an empty log folder is a damaged table."""
    for each in root.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()
