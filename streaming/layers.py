"""Which queries make up each layer, and in which order a drain takes them."""

import atexit
from collections.abc import Callable, Sequence

from py4j.protocol import Py4JError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from lakehouse.contracts import Contracts
from lakehouse.errors import LakehouseError
from lakehouse.kpi_tables import TABLES
from lakehouse.layout import Layout, spark_path
from lakehouse.settings import Settings
from runtime.failpoints import failpoint
from runtime.spark import LOCAL_CHECKPOINTS
from streaming.bell import Bell
from streaming.bronze import BronzeStream, last_records
from streaming.flow import Flow
from streaming.gold import GoldTable
from streaming.job import Declaration
from streaming.kinesis import KinesisDataSource
from streaming.references import References
from streaming.silver import SilverTable

LAYERS = ("bronze", "silver", "gold", "all")
FILE_MANAGER = "spark.sql.streaming.checkpointFileManagerClass"
# A query without a pause between its batches, as in a drain, is told of new versions so often.
SHORTEST_LOOK_SECONDS = 0.5
# Where bronze hands its commits on, the queries of the layers above take in files, and catch up: that may take longer.
CATCH_UP_SECONDS = 5.0


def declarations(
    spark: SparkSession,
    settings: Settings,
    contracts: Contracts,
    layer: str,
    drain: bool,
    stopped: Callable[[], bool] = lambda: False,
) -> list[Declaration]:
    """The queries of a layer, or of all three: one a stream for bronze, one for all of silver, one for all of gold.

    Raises LakehouseError for a layer that does not exist or a table that does not fit its contract.
    """
    _refuse_unknown(layer)
    flow = flow_of(settings, contracts, layer, stopped)
    flow.ensure_silver()
    seconds = 0.0 if drain else settings.trigger_seconds
    above = seconds if layer != "all" or drain else max(seconds, CATCH_UP_SECONDS)
    found: list[Declaration] = []
    if layer in ("bronze", "all"):
        found += [_bronze(spark, settings, contracts, source, seconds, flow) for source in settings.streams]
    if flow.silver:
        names = tuple(table.name for table in flow.silver)
        below = [table.bronze_uri for table in flow.silver]
        found.append(_following(spark, "silver", names, below, flow.ensure_silver, flow.follow_bronze, above, stage=1))
    if flow.gold:
        names = tuple(table.name for table in flow.gold)
        below = sorted({uri for table in flow.gold for uri in table.silver.values()})
        found.append(_following(spark, "gold", names, below, flow.ensure_gold, flow.follow_silver, above, stage=2))
    return found


def flow_of(
    settings: Settings, contracts: Contracts, layer: str = "all", stopped: Callable[[], bool] = lambda: False
) -> Flow:
    """The silver and gold tables that a job of the layer writes; no Spark, no query."""
    references = References(contracts, Layout(settings.root))
    sources = sorted(contracts.sources, key=lambda name: name not in contracts.references)
    silver = [SilverTable(settings, contracts, source, references) for source in sources if layer in ("silver", "all")]
    gold = [GoldTable(settings, contracts, name) for name in TABLES if layer in ("gold", "all")]
    return Flow(silver, gold, stopped)


def tables_of(settings: Settings, contracts: Contracts, layer: str) -> list[str]:
    """The tables that the queries of a layer write, such as `bronze.crm`; a silver table stands for its rejected rows
    too. Raises LakehouseError for a layer that does not exist.
    """
    _refuse_unknown(layer)
    tables = {
        "bronze": [f"bronze.{source}" for source in settings.streams],
        "silver": [f"silver.{contracts.silver_of(source).name}" for source in contracts.sources],
        "gold": [f"gold.{name}" for name in TABLES],
    }
    return [table for each, names in tables.items() if layer in (each, "all") for table in names]


def _refuse_unknown(layer: str) -> None:
    if layer not in LAYERS:
        raise LakehouseError(f"{layer!r} is no layer: choose one of {', '.join(LAYERS)}")


def _bronze(
    spark: SparkSession, settings: Settings, contracts: Contracts, source: str, seconds: float, flow: Flow
) -> Declaration:
    """The query that appends a stream to its bronze table, and hands each commit on."""

    def start() -> StreamingQuery:
        return start_bronze(spark, settings, contracts, source, seconds, flow)

    return Declaration(f"bronze.{source}", 0, start, tables=(f"bronze.{source}",))


def start_bronze(
    spark: SparkSession, settings: Settings, contracts: Contracts, source: str, seconds: float, flow: Flow | None = None
) -> StreamingQuery:
    """Starts the query `bronze.<source>`; `seconds` is the shortest time between two batches.

    With a new checkpoint it goes on behind the records that the table holds. Raises LakehouseError when somebody
    restored the table to an older version, or the checkpoint is damaged or older than the table.
    """
    table = BronzeStream(settings, contracts, source)
    table.restores.refuse()
    if table.planned() < 0:
        table.ledger.note_resume(last_records(spark, table.uri, settings.streams[source]))

    def run(_: DataFrame, batch: int) -> None:
        """Spark says which epoch is due; the rows are read here: not one Spark job runs."""
        handed = table.append(batch)
        if handed is not None and flow is not None:
            flow.hand_on(handed)
        table.keep_up()
        failpoint("bronze.done")

    spark.dataSource.register(KinesisDataSource)
    records = spark.readStream.format("kinesis").options(**table.options).load()
    writer = records.writeStream.queryName(table.name).foreachBatch(run)
    writer = writer.option("checkpointLocation", spark_path(table.checkpoint.uri))
    return writer.trigger(processingTime=_interval(seconds)).start()


def _following(
    spark: SparkSession,
    name: str,
    tables: Sequence[str],
    below: Sequence[str],
    ensure: Callable[[], None],
    follow: Callable[[], None],
    seconds: float,
    stage: int,
) -> Declaration:
    """A query that looks at the logs of the tables `below` and calls `follow` when one of them has a new version.

    `ensure` raises at its start what no restart would mend.
    """

    def run(_: DataFrame, batch: int) -> None:
        follow()

    bells: list[Bell] = []

    def start() -> StreamingQuery:
        ensure()
        while bells:
            bells.pop().stop()
        bell = Bell(name, below, max(seconds, SHORTEST_LOOK_SECONDS))
        bells.append(bell)
        atexit.register(bell.stop)
        # A session of its own: Spark asks it for the file manager at some time after the start.
        session = spark.newSession()
        session.conf.set(FILE_MANAGER, LOCAL_CHECKPOINTS)
        writer = bell.stream(session).writeStream.queryName(name).foreachBatch(run)
        writer = writer.option("checkpointLocation", bell.checkpoint)
        query = writer.trigger(processingTime=_interval(seconds)).start()
        bell.watch(lambda: _is_active(query))
        return query

    def wake() -> None:
        for bell in bells:
            bell.ring()

    return Declaration(name, stage, start, tables=tuple(tables), wake=wake)


def _is_active(query: StreamingQuery) -> bool:
    """Whether the query runs; a JVM that has gone runs none."""
    try:
        return bool(query.isActive)
    except (Py4JError, ConnectionError):
        return False


def _interval(seconds: float) -> str:
    return f"{int(seconds * 1000)} milliseconds"
