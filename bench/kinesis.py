"""`bench/kinesis_source.py` as one of the suite: its figures as a result."""

from pathlib import Path

from bench.kinesis_source import measure
from bench.ministack import ministack
from bench.result import Goal, Result, Table, thousands

RECORDS, ROUNDS = 400_000, 3
QUICK_RECORDS, QUICK_ROUNDS = 20_000, 1
TO_BOTO3, TO_PARQUET = 0.8, 0.5


def run(quick: bool, folder: Path) -> Result:
    """Runs the comparison on a MiniStack of its own."""
    place = folder / "kinesis"
    place.mkdir()
    with ministack() as emulator:
        found = measure(place, emulator, *((QUICK_RECORDS, QUICK_ROUNDS) if quick else (RECORDS, ROUNDS)))
    names = {"boto3": "boto3 alone", "source": "the Kinesis source", "parquet": "Spark writes Parquet"}
    rows = tuple(
        (
            title,
            thousands(found["rows_per_second"][name]),
            ", ".join(f"{each:.2f}" for each in found["seconds"][name]),
            ", ".join(f"{each:.2f}" for each in found["emulator_cpu_seconds"].get(name, ())),
        )
        for name, title in names.items()
    )
    return Result(
        title="The Kinesis source",
        method=(
            f"{thousands(found['records'])} records of {found['bytes_per_record']} bytes on two shards of MiniStack: "
            f"the source into a sink that drops the rows ({found['batches']} batches), boto3 with a process for each "
            "shard, and Spark writing the same rows from memory to Parquet, in turn."
        ),
        goals=(
            Goal(
                "source to boto3, rows a second",
                f">= {TO_BOTO3}",
                f"{found['source_to_boto3']}",
                found["source_to_boto3"] >= TO_BOTO3,
            ),
            Goal(
                "source to Parquet, rows a second",
                f">= {TO_PARQUET}",
                f"{found['source_to_parquet']}",
                found["source_to_parquet"] >= TO_PARQUET,
            ),
        ),
        tables=(Table(("what", "rows a second", "seconds", "emulator CPU seconds"), rows),),
    )
