"""A lake with a history of web events of any size, for measuring a batch at its newest end.

The history is written straight into `silver.sessionized_web_logs`, as its contract partitions it, with the settled
columns that the pipeline would give. Events come at a constant rate of 10 000 a day and end at the same moment in a
lake of any size: a larger lake only reaches further back, so its newest days, into which batches go, are the same.
A hundred visitors are there at any time; a visit has five events, 14.4 minutes apart.
"""

import json
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import psutil
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from lakehouse.contracts import Contracts, load_contracts
from lakehouse.layout import Layout, spark_path
from lakehouse.schemas import struct_type
from lakehouse.settings import CONTRACTS, Settings
from runtime.spark import create_session
from streaming.references import References
from streaming.silver import Origin, SilverTable, Tally

SOURCE = "web_logs"
PER_DAY = 10_000
# 86 400 s / 10 000: what lies between two events.
MICROSECONDS_APART = 8_640_000
# In the middle of a month, so that the batches that follow stay in it.
END_OF_HISTORY = "TIMESTAMP '2026-10-15 00:00:00'"
VISITORS_AT_A_TIME, EVENTS_PER_VISIT = 100, 5
PRODUCTS, CAMPAIGNS = 2_000, 8
# Visits are under way at the end of history and of each batch.
UNDER_WAY = 250
NEW, DUPLICATES, CORRECTIONS = 9_000, 900, 100
ROWS_PER_TASK = 250_000
SIZES = (100_000, 1_000_000, 10_000_000)
QUICK_SIZES = (10_000, 30_000, 100_000)


@dataclass(frozen=True)
class Cost:
    """What something took: seconds on the clock, and processor seconds of the JVM."""

    wall: float
    cpu: float


class Stopwatch:
    """Measures the `with` block: `cost` afterwards."""

    cost: Cost

    def __enter__(self) -> "Stopwatch":
        self._cpu, self._wall = _jvm_seconds(), time.monotonic()
        return self

    def __exit__(self, *exception: object) -> None:
        self.cost = Cost(time.monotonic() - self._wall, _jvm_seconds() - self._cpu)


def _jvm_seconds() -> float:
    """Processor time of this process' JVM."""
    times = [each.cpu_times() for each in psutil.Process().children() if each.name() == "java"]
    return float(sum(each.user + each.system for each in times))


def session(folder: Path, name: str) -> SparkSession:
    """The product's own session, with its working files under `folder`."""
    return create_session(f"bench {name}", settings_of(folder))


def settings_of(folder: Path) -> Settings:
    """Settings for a lake in a folder, whatever the environment says."""
    return Settings(root=str(folder), landing=str(folder / "landing"), state_directory=folder, symlink_manifests=False)


class WebLake:
    """One lake: its silver table of so many rows, and the batches that come next."""

    def __init__(self, spark: SparkSession, folder: Path, rows: int) -> None:
        """Makes the lake under `folder`, or goes on with the one that is there."""
        self.rows = rows
        self.settings = settings_of(folder / f"lake-{rows}")
        self.contracts: Contracts = load_contracts(CONTRACTS)
        layout = Layout(self.settings.root)
        self.table = SilverTable(self.settings, self.contracts, SOURCE, References(self.contracts, layout))
        self._spark = spark
        self._state = Path(self.settings.root) / "batches.json"
        self._app_id = uuid.uuid4().hex
        if not self._state.exists():
            self._build()
        self._batch = int(json.loads(self._state.read_text(encoding="utf-8")))

    def process(self) -> tuple[Tally, Cost]:
        """Takes the next batch of 10 000 rows into silver.

        90 % are new, 9 % deliver an event of the day before again, 1 % correct one. The first batch of a process also
        looks for what a dead attempt left, which later ones of a running query do not: leave it out of measurements.
        """
        bronze = self._batch_of_bronze(self._batch)
        origin = Origin(f"{self._app_id}:{self._batch}", f"{self._app_id}:silver", self._batch)
        with Stopwatch() as watch:
            tally = self.table.process(bronze, origin, recover=False)
        assert tally is not None, "a batch that was never processed is not over"
        done = (tally.outcomes["insert"], tally.rejected["duplicate"], tally.rejected["superseded"])
        assert done == (NEW, DUPLICATES, CORRECTIONS), f"batch {self._batch} of {self.settings.root}: {tally}"
        self._batch += 1
        self._state.write_text(json.dumps(self._batch), encoding="utf-8")
        return tally, watch.cost

    def _build(self) -> None:
        ensure_dimensions(self._spark, self.settings, self.contracts)
        self.table.ensure(self._spark)
        tasks = -(-self.rows // ROWS_PER_TASK)
        numbers = self._spark.range(-self.rows, 0, 1, tasks).withColumnRenamed("id", "g")
        silver = self.table.silver
        rows = events(numbers)
        visit, place = _visit(), _place()
        settled = {
            "session_started_at": F.timestamp_micros(F.unix_micros("event_time") - place * _step()),
            "position": (place + 1).cast("int"),
            "seconds_since_previous": F.when(place > 0, (_step() / F.lit(1_000_000)).cast("decimal(18,6)")),
            "landing_page": _page(visit, F.lit(0)),
            "last_touch_campaign": _campaign(visit),
            "category": F.when(F.col("product_id").isNotNull(), _category(visit)),
        }
        rows = rows.select("*", *(column.alias(name) for name, column in settled.items()))
        for column in silver.columns:
            if column.expression:
                rows = rows.withColumn(column.stored_as, F.expr(column.expression))
        key = F.concat_ws("@", "visitor_id", F.unix_micros("session_started_at").cast("string"))
        rows = rows.withColumn("session_key", key).withColumn("arrived_at", _arrival())
        rows = rows.withColumn("record_id", _record_id("a")).drop("timestamp")
        typed = [F.col(each.stored_as).cast(each.type).alias(each.stored_as) for each in silver.columns]
        rows.select(*typed).write.format("delta").mode("append").save(spark_path(self.table.silver_uri))
        self._state.write_text("0", encoding="utf-8")

    def _batch_of_bronze(self, number: int) -> DataFrame:
        """The batch's records in the bronze envelope, from a Parquet file, as a query reads them from bronze."""
        first = number * NEW
        new = self._spark.range(first, first + NEW, 1, 1).select(F.col("id").alias("g"), F.lit("a").alias("delivery"))
        again = self._earlier(first - 1, 10, DUPLICATES, "b")
        corrected = self._earlier(first - 5, 90, CORRECTIONS, "c")
        numbers = new.unionByName(again).unionByName(corrected)
        page = F.when(F.col("delivery") == "c", F.concat("page", F.lit("?corrected"))).otherwise(F.col("page"))
        rows = events(numbers).withColumn("page", page)
        fields = [column.name for column in self.table.source.columns]
        # Whatever was delivered before arrived with its event; what comes again arrives with this batch.
        arrived = F.when(F.col("delivery") == "a", _arrival()).otherwise(_time(F.lit(first + NEW).cast("bigint")))
        bronze = rows.select(
            _record_id(F.col("delivery")).alias("record_id"),
            F.to_json(F.struct(*fields)).alias("payload"),
            F.lit("utf8").alias("payload_encoding"),
            arrived.alias("arrived_at"),
            arrived.alias("ingested_at"),
            F.col("event_id").alias("partition_key"),
            F.to_date(arrived).alias("ingest_date"),
        )
        path = f"{self.settings.root}/batch-{number}"
        bronze.coalesce(1).write.parquet(path)
        return self._spark.read.schema(bronze.schema).parquet(path)

    def _earlier(self, last: int, step: int, count: int, delivery: str) -> DataFrame:
        numbers = self._spark.range(0, count, 1, 1).select((F.lit(last).cast("bigint") - F.col("id") * step).alias("g"))
        return numbers.withColumn("delivery", F.lit(delivery))


def ensure_dimensions(spark: SparkSession, settings: Settings, contracts: Contracts) -> None:
    """The silver tables beside the web events': products, and what else gold reads, empty."""
    layout = Layout(settings.root)
    references = References(contracts, layout)
    for source in contracts.sources:
        SilverTable(settings, contracts, source, references).ensure(spark)
    product = F.col("id")
    columns = {
        "record_id": F.concat(F.lit("products#"), product),
        "arrived_at": F.expr("TIMESTAMP '2010-01-01 00:00:00'"),
        "product_id": F.concat(F.lit("p"), product),
        "category": _category(product),
        "unit_cost": F.lit(1),
        "valid_from": F.expr("TIMESTAMP '2010-01-01 00:00:00'"),
    }
    contract = contracts.silver_of("products")
    typed = [
        columns.get(field.name, F.lit(None)).cast(field.dataType).alias(field.name) for field in struct_type(contract)
    ]
    rows = spark.range(0, PRODUCTS, 1, 1).select(*typed)
    rows.write.format("delta").mode("append").save(spark_path(layout.table(f"silver.{contract.name}")))


def events(numbers: DataFrame) -> DataFrame:
    """The web event of each number `g` (0 is the first after the history): the fields of the source, and `event_time`.

    Every other column of `numbers` is kept.
    """
    visit, place = _visit(), _place()
    text = F.when(place == 0, "impression").when(place == 1, "click").when(place == 2, "view")
    text = text.when(place == 3, F.when(visit % 3 == 0, "add_to_cart").otherwise("scroll"))
    text = text.otherwise(F.when(visit % 10 == 0, "purchase").otherwise("view"))
    country = F.get(F.array(*(F.lit(each) for each in (*["GB"] * 6, "FR", "DE", "US", None))), (visit % 10).cast("int"))
    fields = {
        "event_id": F.concat(F.lit("e"), F.col("g") + 1_000_000_000),
        "session_id": F.concat(F.lit("s-"), visit),
        # One in three has an account, and comes back after ten days.
        "user_id": F.when(visit % 3 == 0, F.concat(F.lit("u"), visit % 20_011)),
        "client_ip": F.concat_ws(".", F.lit("198.51"), visit % 251, visit % 241),
        "user_agent": F.concat(F.lit("Mozilla/5.0 (X11; Linux x86_64; rv:"), visit % 40 + 90, F.lit(".0) Gecko")),
        "page": _page(visit, place),
        "event_type": text,
        "product_id": F.when(place >= 2, F.concat(F.lit("p"), visit % PRODUCTS)),
        "campaign_id": F.when(place <= 1, _campaign(visit)),
        "transaction_id": F.when(text == "purchase", F.concat(F.lit("t"), visit)),
        "order_value": F.when(text == "purchase", (visit % 100 + 1).cast("decimal(18,4)")),
        "referrer": F.when(place == 0, F.lit("https://search.example/?q=gifts")),
        "country": country,
        "event_time": _time(F.col("g")),
        "timestamp": F.date_format(_time(F.col("g")), "yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'"),
    }
    return numbers.select("*", *(column.alias(name) for name, column in fields.items()))


def _block() -> Column:
    return F.floor((F.col("g") + UNDER_WAY) / (VISITORS_AT_A_TIME * EVENTS_PER_VISIT)).cast("bigint")


def _visit() -> Column:
    """A number of the visit, never negative however far history goes back."""
    return _block() * VISITORS_AT_A_TIME + F.pmod(F.col("g") + UNDER_WAY, F.lit(VISITORS_AT_A_TIME)) + 1_000_000_000


def _place() -> Column:
    """The event's place in its visit, from 0."""
    within = F.pmod(F.col("g") + UNDER_WAY, F.lit(VISITORS_AT_A_TIME * EVENTS_PER_VISIT))
    return F.floor(within / VISITORS_AT_A_TIME).cast("bigint")


def _step() -> Column:
    return F.lit(VISITORS_AT_A_TIME * MICROSECONDS_APART).cast("bigint")


def _time(number: Column) -> Column:
    return F.timestamp_micros(F.unix_micros(F.expr(END_OF_HISTORY)) + number * MICROSECONDS_APART)


def _arrival() -> Column:
    return _time(F.col("g")) + F.expr("INTERVAL 1 SECOND")


def _record_id(delivery: str | Column) -> Column:
    tag = F.lit(delivery) if isinstance(delivery, str) else delivery
    return F.concat(F.lit("web_logs/shardId-000000000000/"), F.col("g") + 1_000_000_000, tag)


def _page(visit: Column, place: Column) -> Column:
    return F.when(place == 0, F.concat(F.lit("/landing/"), visit % 50)).otherwise(
        F.concat(F.lit("/products/p"), visit % PRODUCTS)
    )


def _campaign(visit: Column) -> Column:
    return F.concat(F.lit("c"), visit % CAMPAIGNS)


def _category(product: Column) -> Column:
    return F.concat(F.lit("category "), product % PRODUCTS % 12)
