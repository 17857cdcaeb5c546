"""The log store on a real S3 API: one commit a version, whoever is first, and answers that get lost."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, override

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import IllegalArgumentException
from pyspark.sql import SparkSession

from lakehouse.settings import Settings
from local.stress.faults import FaultyS3
from runtime.log_store import CLASS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

VERSION = "lake/table/_delta_log/00000000000000000007.json"
WRITERS = 16
EXISTS = "java.nio.file.FileAlreadyExistsException"
pytestmark = pytest.mark.usefixtures("emulator")


class OneFault(FaultyS3):
    """The first request meets this fault, and no other does."""

    def __init__(self, endpoint: str, fault: str) -> None:
        super().__init__(endpoint, 0, seed=1)
        self._left = [fault]

    @override
    def fault(self) -> str | None:
        if not self._left:
            return None
        self.done[self._left[0]] += 1
        return self._left.pop()


class Commits:
    """The log store, with S3 as the session has it or at another endpoint."""

    def __init__(self, spark: SparkSession, bucket: str, endpoint: str | None = None) -> None:
        java: Any = spark._jvm
        self._configuration = java.org.apache.hadoop.conf.Configuration(spark.sparkContext._jsc.hadoopConfiguration())
        self._java = java
        # A file system is remembered by its address and user: this one is asked for anew.
        self._configuration.set("fs.s3a.impl.disable.cache", "true")
        if endpoint is not None:
            self._configuration.set("fs.s3a.endpoint", endpoint)
        self._path = java.org.apache.hadoop.fs.Path(f"s3a://{bucket}/{VERSION}")
        self._store = getattr(java.shopware.lakehouse, CLASS.rpartition(".")[2])(self._configuration)

    def write(self, *lines: str, overwrite: bool = False) -> str | None:
        """None when it is written; else the class of what Java raised."""
        actions = self._java.java.util.ArrayList()
        for line in lines:
            actions.add(line)
        try:
            self._store.write(self._path, actions.iterator(), overwrite, self._configuration)
        except Py4JJavaError as error:
            return str(error.java_exception.getClass().getName())
        return None

    def read(self) -> list[str]:
        lines = self._store.read(self._path, self._configuration)
        found = []
        while lines.hasNext():
            found.append(str(lines.next()))
        return found


def test_a_version_is_written_once_and_the_second_writer_is_told(spark: SparkSession, bucket: str) -> None:
    commits = Commits(spark, bucket)
    assert commits.write("first", "ü") is None
    assert commits.write("second") == EXISTS
    assert commits.read() == ["first", "ü"]
    assert commits.write("third", overwrite=True) is None
    assert commits.write("fourth") == EXISTS
    assert commits.read() == ["third"]


def test_of_many_writers_at_once_one_wins(spark: SparkSession, bucket: str) -> None:
    writers = [Commits(spark, bucket) for _ in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as pool:
        told = list(pool.map(lambda number: writers[number].write(str(number)), range(WRITERS)))
    [winner] = [number for number in range(WRITERS) if told[number] is None]
    assert [each for each in told if each is not None] == [EXISTS] * (WRITERS - 1)
    assert writers[0].read() == [str(winner)]


def test_a_commit_whose_answer_was_lost_is_ours(emulator: Settings, spark: SparkSession, bucket: str) -> None:
    with OneFault(endpoint(spark), "lost answer") as s3:
        assert Commits(spark, bucket, s3.endpoint).write("mine") is None
        assert s3.done == {"lost answer": 1}
    assert Commits(spark, bucket).read() == ["mine"]


@pytest.mark.parametrize("fault", ["503", "500", "reset"])
def test_a_commit_that_failed_on_the_way_is_sent_again(spark: SparkSession, bucket: str, fault: str) -> None:
    with OneFault(endpoint(spark), fault) as s3:
        assert Commits(spark, bucket, s3.endpoint).write("mine") is None
        assert s3.done == {fault: 1}
    assert Commits(spark, bucket).read() == ["mine"]


def test_a_commit_that_meets_one_of_another_kind_of_writer_is_a_conflict(
    spark: SparkSession, bucket: str, s3: "S3Client"
) -> None:
    s3.put_object(Bucket=bucket, Key=VERSION, Body=b"theirs\n")
    assert Commits(spark, bucket).write("mine") == EXISTS
    assert Commits(spark, bucket).read() == ["theirs"]


def test_a_bucket_that_is_not_there_is_told_as_it_is(spark: SparkSession, bucket: str) -> None:
    told = Commits(spark, f"{bucket}-gone").write("mine")
    assert told is not None
    assert told != EXISTS


def test_a_file_system_that_knows_no_condition_refuses(spark: SparkSession, tmp_path: Path) -> None:
    jvm: Any = spark._jvm
    configuration = spark.sparkContext._jsc.hadoopConfiguration()
    store = jvm.shopware.lakehouse.S3ConditionalLogStore(configuration)
    actions = jvm.java.util.ArrayList()
    actions.add("mine")
    path = jvm.org.apache.hadoop.fs.Path(str(tmp_path / "00000000000000000000.json"))
    with pytest.raises(IllegalArgumentException, match="fs.option.create.conditional.overwrite"):
        store.write(path, actions.iterator(), False, configuration)
    assert list(tmp_path.iterdir()) == []


def test_delta_on_s3_commits_through_it(spark: SparkSession, bucket: str, s3: "S3Client") -> None:
    spark.range(3).write.format("delta").save(f"s3a://{bucket}/table")
    commit = s3.head_object(Bucket=bucket, Key="table/_delta_log/00000000000000000000.json")
    assert list(commit["Metadata"]) == ["lakehouse-writer"]


def endpoint(spark: SparkSession) -> str:
    return str(spark.sparkContext._jsc.hadoopConfiguration().get("fs.s3a.endpoint"))
