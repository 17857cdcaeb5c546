"""`make package`: the same input gives the same bytes, and the wheel holds all that a job needs of us."""

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path

from infra.packaging import _jars, _pack, _requirements, _wheel, _wheels
from runtime.log_store import log_store_jar


def environment(folder: Path, seconds: int) -> Path:
    """A small environment, made at another time and in another order."""
    files = {"lakehouse/a.py": "a = 1\n", "bin/tool": "#!", "x.dist-info/RECORD": "r", "x.dist-info/METADATA": "m"}
    for name, content in sorted(files.items(), reverse=bool(seconds)):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        os.utime(file, (seconds, seconds))
        file.chmod(0o600 if seconds else 0o755)
    return folder


def test_an_archive_tells_nothing_of_when_and_where_it_was_made(tmp_path: Path) -> None:
    archives = []
    for number, seconds in enumerate((0, 1_000_000_000)):
        _pack(environment(tmp_path / str(number), seconds), tmp_path / f"{number}.tar.gz")
        archives.append((tmp_path / f"{number}.tar.gz").read_bytes())
    assert archives[0] == archives[1]
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(archives[0]))) as tar:
        assert tar.getnames() == ["lakehouse/a.py", "x.dist-info/METADATA"]
        assert {(each.mtime, each.mode, each.uid, each.uname) for each in tar} == {(315532800, 0o644, 0, "")}


def test_two_wheels_of_the_same_sources_are_the_same_and_hold_jobs_and_contracts(tmp_path: Path) -> None:
    """And nothing else: a change of the estate, of a local command or of the README is no new version of the jobs."""
    first, second = (_wheel(tmp_path / name) for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
    root = Path(__file__).resolve().parents[2]
    with zipfile.ZipFile(first) as wheel:
        names = set(wheel.namelist())
        metadata = wheel.read("shopware_lakehouse-0.1.0.dist-info/METADATA").decode()
    assert (root / "README.md").read_text(encoding="utf-8").splitlines()[0] not in metadata
    packages = ("lakehouse", "runtime", "streaming", "batch")
    ours = {str(file.relative_to(root)) for each in packages for file in (root / each).rglob("*.py")}
    ours |= {str(file.relative_to(root)) for file in (root / "contracts").glob("*.odcs.yaml")}
    assert ours - names == set()
    assert {name.partition("/")[0] for name in names} == {*packages, "contracts", "shopware_lakehouse-0.1.0.dist-info"}
    assert "batch/reconciliation/reconcile.py" in names


def test_jobs_bring_what_their_platforms_lack_and_no_second_delta_spark_or_s3a(tmp_path: Path) -> None:
    cloud, log_store = _jars()
    assert cloud.name == "spark-hadoop-cloud_2.13-4.1.1.jar"
    assert log_store == log_store_jar()
    locked = {line.partition("==")[0] for line in _requirements(tmp_path).read_text().splitlines() if "==" in line}
    # The Python side of Delta, which the platforms have only inside a jar.
    assert {"delta-spark", "boto3", "obstore", "pyarrow"} <= locked
    assert {"duckdb", "deltalake"} <= locked
    assert not locked & {"pyspark", "py4j", "pulumi", "dash", "duckdb-extension-delta"}


def test_the_zip_of_wheels_is_what_glue_installs_without_an_index(tmp_path: Path) -> None:
    """A wheel of the lock and ours, named in the requirements that Glue gives to pip; the same bytes twice."""
    wheel = _wheel(tmp_path / "ours")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(
        "six==1.17.0 --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274\n"
    )
    archives = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        _wheels(tmp_path / name, requirements, wheel, tmp_path / f"{name}.zip")
        archives.append((tmp_path / f"{name}.zip").read_bytes())
    assert archives[0] == archives[1]
    with zipfile.ZipFile(io.BytesIO(archives[0])) as zipped:
        assert zipped.namelist() == [
            "wheels/requirements.txt",
            "wheels/shopware_lakehouse-0.1.0-py3-none-any.whl",
            "wheels/six-1.17.0-py2.py3-none-any.whl",
        ]
        assert zipped.read("wheels/requirements.txt").decode() == "shopware_lakehouse==0.1.0\nsix==1.17.0\n"
