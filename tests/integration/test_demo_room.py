"""A demo makes room for itself: on a folder and in a bucket, and only where a demo has been."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lakehouse.settings import Settings
from local.demo.room import OccupiedRootError, empty_lake
from local.demo.run import Run

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def run_at(root: str, folder: Path) -> Run:
    return Run(Settings(root=root), days=1, seed=2, rate=3, folder=folder / "demo")


def test_a_folder_is_emptied_with_its_empty_folders(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    empty_lake(run_at(str(lake), tmp_path))
    (lake / "bronze" / "pos" / "_delta_log").mkdir(parents=True)
    (lake / "silver").mkdir()
    (lake / "silver" / "rows").write_text("x")

    empty_lake(run_at(str(lake), tmp_path))

    assert [path.name for path in lake.rglob("*")] == ["demo.json"]


def test_a_bucket_is_emptied_with_the_markers_of_folders(s3: "S3Client", bucket: str, tmp_path: Path) -> None:
    empty_lake(run_at(f"s3://{bucket}/lake", tmp_path))
    for key in ("lake/bronze/pos/_delta_log/", "lake/silver/rows", "other/rows"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")

    empty_lake(run_at(f"s3://{bucket}/lake", tmp_path))

    left = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert left == ["lake/demo.json", "other/rows"]


def test_what_no_demo_made_is_never_removed(tmp_path: Path) -> None:
    precious = tmp_path / "lake" / "precious"
    precious.parent.mkdir()
    precious.write_text("x")

    with pytest.raises(OccupiedRootError, match="holds 1 objects that no demo made: give another --root"):
        empty_lake(run_at(str(precious.parent), tmp_path))

    assert precious.read_text() == "x"
