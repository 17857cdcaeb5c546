"""Results do not depend on the machine around a command; what cannot work is one line that names the variable."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from lakehouse.errors import LakehouseError
from local.surroundings import from_outside, leave_out_python_path, settle_profile
from runtime.java import JavaError, java_home
from runtime.spark_environment import FOREIGN, own_spark
from runtime.ways_out import BY_SPARK, BY_STORE, TOO_LONG, WRITABLE, way_out

STORES = "store_id,region,country,valid_from\n1,Île-de-France,FR,2010-01-01T00:00:00Z\n"
CHECKOUT = Path(__file__).parents[2]
# One small lake: files in, bronze read back, a file tried, without Spark.
PROGRAM = """
import json, os, sys
from datetime import UTC, datetime
from pathlib import Path
from local.surroundings import leave_out_python_path, print_anything, settle_profile
leave_out_python_path()
print_anything()
settle_profile(None)
from batch.ingest import ingest
from batch.trial import tried
from lakehouse.contracts import load_contracts
from lakehouse.settings import CONTRACTS
from local.sql import Lake
folder = Path(sys.argv[1])
if len(sys.argv) > 2:
    # All modules are here: this user may not even read the interpreter's.
    import pwd, pyarrow.dataset, zoneinfo
    os.umask(0o077)
    os.setgroups([])
    os.setuid(int(sys.argv[2]))
contracts = load_contracts(CONTRACTS)
def no_spark():
    raise AssertionError("a small batch needs no Spark")
now = lambda: datetime(2030, 1, 1, tzinfo=UTC)
done = ingest(no_spark, contracts, "stores", str(folder / "landing"), str(folder / "lake"), now)
with Lake(str(folder / "lake")) as lake:
    rows = lake.query("select record_id, payload, ingest_date::varchar as day from bronze.stores order by 1")
content = (folder / "landing/stores/é.csv").read_bytes()
trial = tried("stores/é.csv", content, contracts.source("stores"), contracts.source("stores").dialect)
print(json.dumps([done.records, rows, trial.accepted, [row["valid_from"].isoformat() for row in trial.rows]]))
"""
WANTED = [
    1,
    [
        {
            "record_id": "stores/é.csv#2",
            "payload": '{"store_id":"1","region":"Île-de-France","country":"FR","valid_from":"2010-01-01T00:00:00Z"}',
        }
    ],
    1,
    ["2010-01-01T00:00:00+00:00"],
]
SURROUNDINGS: Mapping[str, Mapping[str, str]] = {
    "a POSIX locale and another time zone": {"LC_ALL": "POSIX", "LANG": "C", "TZ": "Pacific/Kiritimati"},
    "a locale that is not installed": {"LC_ALL": "tr_TR.ISO-8859-9"},
    "homes and settings of other tools": {
        "SPARK_HOME": "/nowhere",
        "SPARK_CONF_DIR": "/nowhere",
        "HADOOP_CONF_DIR": "/nowhere",
        "JAVA_TOOL_OPTIONS": "-Xmx1k",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "AWS_PROFILE": "not-there",
        "HOME": "/nowhere",
    },
}


def small_lake(folder: Path, environment: Mapping[str, str], *arguments: str) -> list[object]:
    stores = folder / "landing/stores"
    stores.mkdir(parents=True)
    (stores / "é.csv").write_text(STORES, encoding="utf-8")
    # In a file: DuckDB takes a program without one for a person, and draws a progress bar on a slow machine.
    program = folder / "program.py"
    program.write_text(f"import sys\nsys.path.insert(0, {str(CHECKOUT)!r})\n{PROGRAM}", encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, str(program), str(folder), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"], **environment},
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    found: list[object] = json.loads(ran.stdout)
    rows = found[1]
    assert isinstance(rows, list)
    for row in rows:
        del row["day"]
    return found


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_a_small_lake_is_the_same_in_any_surroundings(name: str, tmp_path: Path) -> None:
    assert small_lake(tmp_path, SURROUNDINGS[name]) == WANTED


def test_a_small_lake_is_the_same_with_modules_of_others_on_the_path(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for name in ("yaml", "pyarrow", "pyspark", "deltalake"):
        (foreign / f"{name}.py").write_text("raise ImportError('another one')")
    assert small_lake(tmp_path, {"PYTHONPATH": str(foreign)}) == WANTED


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user whom the machine does not know")
def test_a_small_lake_is_the_same_for_a_user_whom_the_machine_does_not_know(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and str(folder).startswith("/tmp/"):
            folder.chmod(0o777)
    assert small_lake(tmp_path, {}, "54321") == WANTED


def test_spark_starts_without_anything_of_another_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = dict.fromkeys(FOREIGN, "/nowhere") | {"LC_ALL": "POSIX", "LANG": "C"}
    own_spark(environment)
    assert not set(environment) & (set(FOREIGN) - {"SPARK_HOME"})
    assert (Path(environment["SPARK_HOME"]) / "bin/spark-submit").is_file()
    assert environment["SPARK_LOCAL_HOSTNAME"] == "localhost"
    assert environment["LC_ALL"] == "C.UTF-8"

    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr("runtime.spark_environment.pwd.getpwuid", unknown)
    with pytest.raises(LakehouseError, match=r"has no entry in /etc/passwd, and Spark does not start without one: add"):
        own_spark({})


def test_options_that_no_java_knows_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.java.describe", lambda *_: None)
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-XX:+NoSuchOption")
    java_home.cache_clear()
    with pytest.raises(JavaError, match=r"for what JAVA_TOOL_OPTIONS says \('-XX:\+NoSuchOption'\): unset it"):
        java_home()
    java_home.cache_clear()


def test_a_profile_that_is_not_there_is_named_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_PROFILE", "not-there")
    with pytest.raises(LakehouseError, match="AWS_PROFILE is 'not-there', and the AWS configuration has no such"):
        settle_profile("root s3://lake")
    settle_profile(None)
    assert "AWS_PROFILE" not in os.environ


def test_folders_of_python_path_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/foreign", *sys.path])
    monkeypatch.setenv("PYTHONPATH", f"/foreign{os.pathsep}{Path(__file__).parents[2]}")
    before = sys.path[1:]
    leave_out_python_path()
    assert sys.path == before
    assert "PYTHONPATH" not in os.environ


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied: see to it that this user may use it"),
        (RuntimeError("Could not determine home directory."), "this user has no home directory: set HOME"),
    ],
)
def test_what_the_machine_makes_is_one_line(error: Exception, line: str) -> None:
    found = from_outside(error)
    assert isinstance(found, LakehouseError)
    assert str(found).startswith(line)
    assert from_outside(ValueError("a fault of ours")) is None


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("java.io.IOException: Mkdirs failed to create file:/lake/region=" + "x" * 300, TOO_LONG),
        ("java.io.IOException: Mkdirs failed to create file:/lake/region=North", WRITABLE),
        ("Generic LocalFileSystem error: File name too long (os error 36)", TOO_LONG),
        ("java.net.UnknownHostException: no.such.host", BY_STORE["UnknownHostException"]),
        ("all is well", None),
    ],
)
def test_advice_is_right_for_its_cause(said: str, advice: str | None) -> None:
    assert way_out(said, "write", BY_SPARK) == advice
