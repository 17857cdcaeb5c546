"""The Spark session of every job: Delta, S3A, UTC, and the settings that measuring small batches asked for."""

import os
from pathlib import Path

from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.errors import PySparkRuntimeError
from pyspark.sql import SparkSession

from lakehouse.settings import Settings
from runtime import jvm
from runtime.class_archive import QUIET, class_archive
from runtime.java import java_home
from runtime.log_store import class_path, log_store_settings
from runtime.region import VARIABLES, region
from runtime.spark_environment import SAME_EVERYWHERE, own_spark

# Why each differs from Spark's default is in docs/adr/0020.
SMALL_BATCHES = {
    # Reconciliation generates more classes than the default (100) holds: they would be compiled again and again.
    "spark.sql.codegen.cache.maxEntries": "5000",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "1000",
    # VACUUM lists a table in so many tasks, however small it is; Spark's default is 10 000.
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "8",
    "spark.sql.streaming.numRecentProgressUpdates": "20",
    # How soon a query without a trigger interval, as in a drain, looks again when nothing had come: each look
    # is a request, and Spark's default (10 ms) is as many a second as the service answers.
    "spark.sql.streaming.pollingDelay": "500ms",
    "spark.databricks.delta.stalenessLimit": "0",
}

# In a folder a checkpoint's files are written and renamed by Java itself: a third of the time of Hadoop's way.
LOCAL_CHECKPOINTS = "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"


def create_session(application: str, settings: Settings, archive_classes_to: Path | None = None) -> SparkSession:
    """A session with Delta and S3A for the job called `application`, running in this process.

    With `archive_classes_to` its JVM writes there, when it ends, the archive that later sessions start from.
    Reads `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, … from the environment. On EMR and Glue, which set Spark up
    themselves, it adds only what the SQL asks for. Raises LakehouseError when Java or a jar is missing.
    """
    builder = SparkSession.builder.appName(application)
    configuration: dict[str, bool | float | int | str | None] = {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(settings.shuffle_partitions),
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        **SMALL_BATCHES,
        **log_store_settings(),
    }
    if settings.platform == "local":
        configuration |= _one_machine(settings, archive_classes_to)
        if "spark.master" not in os.environ.get("PYSPARK_SUBMIT_ARGS", ""):
            builder = builder.master("local[*]")
    else:
        configuration |= _platform(settings)
    if settings.root.startswith("s3"):
        # S3 has no rename: checkpoint files are written where they belong, and aborted when they fail.
        configuration["spark.sql.streaming.checkpointFileManagerClass"] = (
            "org.apache.spark.internal.io.cloud.AbortableStreamBasedCheckpointFileManager"
        )
    else:
        configuration["spark.sql.streaming.checkpointFileManagerClass"] = LOCAL_CHECKPOINTS
    session = _started(builder.config(map=configuration))
    session.sparkContext.setLogLevel("ERROR")
    return session


class SparkOnDemand:
    """A session that starts when somebody asks for it, for what rarely needs one; a `with` block stops it."""

    def __init__(self, application: str, settings: Settings) -> None:
        self._application, self._settings = application, settings
        self._session: SparkSession | None = None

    def session(self) -> SparkSession:
        """The session, started by the first call."""
        if self._session is None:
            self._session = create_session(self._application, self._settings)
        return self._session

    def __enter__(self) -> "SparkOnDemand":
        return self

    def __exit__(self, *error: object) -> None:
        if self._session is not None:
            self._session.stop()


def _platform(settings: Settings) -> dict[str, str]:
    """What EMR and Glue do not set up: tasks make clients too, and know only the environment that Spark hands them."""
    return {f"spark.executorEnv.{name}": settings.region for name in VARIABLES}


def _started(builder: SparkSession.Builder) -> SparkSession:
    """The session. Raises JvmGoneError when its JVM ends before it can be watched."""
    try:
        return builder.getOrCreate()
    except PySparkRuntimeError as error:
        if error.getCondition() == "JAVA_GATEWAY_EXITED":
            raise jvm.ended(None) from error
        raise
    except (Py4JError, ConnectionError) as error:
        gone = jvm.gone()
        if gone is None and SparkContext._gateway is not None:
            raise
        raise gone or jvm.ended(None) from error


def _one_machine(settings: Settings, archive_classes_to: Path | None) -> dict[str, str]:
    """Spark in this process, on our Java and jars: start fast and leave the cores to the work."""
    own_spark()
    os.environ["JAVA_HOME"] = str(java_home())
    return {
        # On Java's own class path rather than `spark.jars`: only those classes can be archived.
        "spark.driver.extraClassPath": os.pathsep.join(str(path) for path in class_path()),
        "spark.driver.memory": settings.driver_memory,
        # Short batches on few cores: these are better used for the work than for the optimising compiler.
        "spark.driver.extraJavaOptions": (
            "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -Djava.net.preferIPv4Stack=true"
            f" {SAME_EVERYWHERE} {_archive_option(archive_classes_to)}"
        ),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.warehouse.dir": str(settings.state_directory.absolute() / "spark-warehouse"),
        **_s3a(),
    }


def _archive_option(archive_to: Path | None) -> str:
    if archive_to is not None:
        return f"-XX:ArchiveClassesAtExit={archive_to} {QUIET}"
    archive = class_archive()
    return f"-XX:SharedArchiveFile={archive} {QUIET}" if archive.exists() else ""


def _s3a() -> dict[str, str]:
    """S3A for an emulator's endpoint; none set means AWS itself, where the platform's defaults are right."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint is None:
        return {}
    return {
        "spark.hadoop.fs.s3a.endpoint": endpoint,
        "spark.hadoop.fs.s3a.endpoint.region": region() or "us-east-1",
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.connection.ssl.enabled": str(endpoint.startswith("https://")).lower(),
        "spark.hadoop.fs.s3a.aws.credentials.provider": (
            "software.amazon.awssdk.auth.credentials.EnvironmentVariableCredentialsProvider"
        ),
    }
