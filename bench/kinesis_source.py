"""The Kinesis source beside a bare boto3 consumer of the same shards, and beside Spark writing the same rows.

`python -m bench.kinesis_source [--records N] [--rounds N]`. All three read or write the same rows in turn, in one run
on one machine; the ratios are the claim. Goals: 0.8 of boto3, 0.5 of the Parquet write.
"""

import argparse
import json
import multiprocessing
import random
import shutil
import statistics
import tempfile
import time
import uuid
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import boto3
from pyspark.sql import DataFrame, SparkSession

from bench.ministack import MiniStack, ministack
from lakehouse.settings import Settings
from runtime.spark import create_session
from streaming.kinesis import KinesisDataSource

STREAM = "bench"
SHARDS = ("shardId-000000000000", "shardId-000000000001")
# In the middle of each shard's range of hash keys: records are spread evenly.
HASH_KEYS = (str(2**126), str(2**127 + 2**126))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-kinesis-"))
    try:
        with ministack() as emulator:
            print(json.dumps(measure(folder, emulator, arguments.records, arguments.rounds), indent=2))
    finally:
        shutil.rmtree(folder)


def measure(folder: Path, emulator: MiniStack, records: int, rounds: int) -> dict[str, Any]:
    """Rows per second of the three (medians over the rounds), the two ratios, and the emulator's share of the time."""
    size = produce(records)
    spark = create_session("bench", Settings(root=str(folder), state_directory=folder))
    spark.dataSource.register(KinesisDataSource)
    source(spark, folder, records)  # Python processes start, Java compiles
    rows = rows_of_the_stream(spark, folder, records)
    write(rows, folder)
    seconds: dict[str, list[float]] = {"boto3": [], "source": [], "parquet": []}
    emulated: dict[str, list[float]] = {"boto3": [], "source": []}
    batches = 0
    for _ in range(rounds):
        before = emulator.cpu_seconds()
        seconds["boto3"].append(bare_boto3(records))
        between = emulator.cpu_seconds()
        taken, batches = source(spark, folder, records)
        seconds["source"].append(taken)
        emulated["boto3"].append(between - before)
        emulated["source"].append(emulator.cpu_seconds() - between)
        seconds["parquet"].append(write(rows, folder))
    spark.stop()
    speed = {name: round(records / statistics.median(each)) for name, each in seconds.items()}
    return {
        "records": records,
        "bytes_per_record": size,
        "batches": batches,
        "rows_per_second": speed,
        "seconds": {name: [round(each, 2) for each in taken] for name, taken in seconds.items()},
        "emulator_cpu_seconds": {name: [round(each, 2) for each in taken] for name, taken in emulated.items()},
        "source_to_boto3": round(speed["source"] / speed["boto3"], 2),
        "source_to_parquet": round(speed["source"] / speed["parquet"], 2),
    }


def produce(records: int) -> int:
    """Puts the records, half into each shard; returns the mean bytes of one."""
    kinesis = boto3.client("kinesis")
    kinesis.create_stream(StreamName=STREAM, ShardCount=len(SHARDS))
    chance, size = random.Random(7), 0  # noqa: S311 - a fixed seed is the point
    for first in range(0, records, 500):
        data = [_event(number, chance) for number in range(first, min(records, first + 500))]
        size += sum(map(len, data))
        entries: list[Any] = [
            {"Data": each, "PartitionKey": f"visitor {number}", "ExplicitHashKey": HASH_KEYS[number % 2]}
            for number, each in enumerate(data, first)
        ]
        assert kinesis.put_records(StreamName=STREAM, Records=entries)["FailedRecordCount"] == 0
    return size // records


def _event(number: int, chance: random.Random) -> bytes:
    product = chance.randrange(10_000, 99_999)
    event = {
        "event_id": f"{number:012d}",
        "session_id": f"{chance.getrandbits(64):016x}",
        "page": f"/product/{product}",
    }
    event |= {"event_type": chance.choice(["view", "click", "scroll", "impression"]), "product_id": str(product)}
    event |= {"user_agent": f"Mozilla/5.0 (X11; Linux x86_64; rv:{chance.randrange(90, 140)}.0) Gecko/20100101"}
    event |= {"client_ip": f"198.51.{chance.randrange(256)}.{chance.randrange(256)}", "country": "GB"}
    event |= {"timestamp": f"2026-11-23T08:{chance.randrange(60):02d}:{chance.randrange(60):02d}.000Z"}
    return json.dumps(event).encode()


def bare_boto3(records: int) -> float:
    """Seconds for boto3 alone: a process for each shard, made and warm before the clock starts."""
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Barrier(len(SHARDS) + 1)
    consumers = [spawn.Process(target=_consume, args=(shard, records // 2, ready)) for shard in SHARDS]
    for consumer in consumers:
        consumer.start()
    ready.wait(60)
    started = time.monotonic()
    ready.wait(300)
    seconds = time.monotonic() - started
    for consumer in consumers:
        consumer.join()
    return seconds


def _consume(shard: str, records: int, ready: Barrier) -> None:
    kinesis = boto3.client("kinesis")
    kinesis.describe_stream_summary(StreamName=STREAM)
    ready.wait(60)
    start = kinesis.get_shard_iterator(StreamName=STREAM, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    iterator, seen, size = start["ShardIterator"], 0, 0
    while seen < records:
        answer = kinesis.get_records(ShardIterator=iterator, Limit=10_000)
        seen += len(answer["Records"])
        size += sum(len(record["Data"]) for record in answer["Records"])
        iterator = answer["NextShardIterator"]
    ready.wait(300)


def source(spark: SparkSession, folder: Path, records: int) -> tuple[float, int]:
    """Seconds from the first batch's start to the last one's end, into a sink that drops the rows; and the batches."""
    place = folder / uuid.uuid4().hex
    writer = _stream(spark, place).writeStream.format("noop").trigger(processingTime="0 seconds")
    query = writer.option("checkpointLocation", str(place / "checkpoint")).start()
    try:
        query.processAllAvailable()
        progress = [each for each in query.recentProgress if each["numInputRows"] > 0]
    finally:
        query.stop()
    assert sum(each["numInputRows"] for each in progress) == records, progress
    return sum(each["durationMs"]["triggerExecution"] for each in progress) / 1000, len(progress)


def rows_of_the_stream(spark: SparkSession, folder: Path, records: int) -> DataFrame:
    """The same rows, held in memory."""
    place = folder / "rows"

    def append(rows: DataFrame, batch: int) -> None:
        rows.write.mode("append").parquet(str(place / "table"))

    writer = _stream(spark, place).writeStream.foreachBatch(append).trigger(processingTime="0 seconds")
    query = writer.option("checkpointLocation", str(place / "checkpoint")).start()
    query.processAllAvailable()
    query.stop()
    rows = spark.read.parquet(str(place / "table")).cache()
    assert rows.count() == records
    return rows


def write(rows: DataFrame, folder: Path) -> float:
    """Seconds for Spark to write the rows to Parquet from memory."""
    started = time.monotonic()
    rows.write.parquet(str(folder / uuid.uuid4().hex))
    return time.monotonic() - started


def _stream(spark: SparkSession, place: Path) -> DataFrame:
    reader = spark.readStream.format("kinesis").option("stream", STREAM).option("ledger", str(place / "ledger"))
    return reader.load()


if __name__ == "__main__":
    main()
