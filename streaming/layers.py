"""Which queries make up each layer, and in which order a drain takes them."""

from pyspark.sql import SparkSession

from lakehouse.contracts import Contracts
from lakehouse.errors import LakehouseError
from lakehouse.layout import Layout
from lakehouse.settings import Settings
from runtime.tables import table_exists
from streaming import bronze, gold, silver, silver_query
from streaming.job import Declaration
from streaming.references import References

LAYERS = ("bronze", "silver", "gold", "all")


def declarations(
    spark: SparkSession, settings: Settings, contracts: Contracts, layer: str, drain: bool
) -> list[Declaration]:
    """The queries of a layer, or of all three.

    Raises LakehouseError for a layer that does not exist or a table that does not fit its contract.
    """
    _refuse_unknown(layer)
    trigger = {"processingTime": "0 seconds" if drain else f"{int(settings.trigger_seconds * 1000)} milliseconds"}
    found: list[Declaration] = []
    if layer in ("bronze", "all"):
        found += _bronze(spark, settings, contracts, trigger)
    if layer in ("silver", "all"):
        found += _silver(spark, settings, contracts, trigger)
    if layer in ("gold", "all"):
        found += _gold(spark, settings, contracts, trigger)
    return found


def tables_of(settings: Settings, contracts: Contracts, layer: str) -> list[str]:
    """The tables that the queries of a layer write, such as `bronze.crm`; a silver table stands for its rejected rows
    too. Raises LakehouseError for a layer that does not exist.
    """
    _refuse_unknown(layer)
    tables = {
        "bronze": [f"bronze.{source}" for source in settings.streams],
        "silver": [f"silver.{contracts.silver_of(source).name}" for source in contracts.sources],
        "gold": [f"gold.{name}" for name in gold.GOLD_TABLES],
    }
    return [table for each, names in tables.items() if layer in (each, "all") for table in names]


def _refuse_unknown(layer: str) -> None:
    if layer not in LAYERS:
        raise LakehouseError(f"{layer!r} is no layer: choose one of {', '.join(LAYERS)}")


def _bronze(
    spark: SparkSession, settings: Settings, contracts: Contracts, trigger: dict[str, str]
) -> list[Declaration]:
    return [
        Declaration(
            name=f"bronze.{source}",
            stage=0,
            start=lambda source=source: bronze.start(spark, settings, contracts, source, trigger),  # type: ignore[misc]
            ready=lambda: True,
        )
        for source in settings.streams
    ]


def _silver(
    spark: SparkSession, settings: Settings, contracts: Contracts, trigger: dict[str, str]
) -> list[Declaration]:
    """Reference tables first: facts that were checked against a table not yet read would be rejected."""
    references = References(contracts, Layout(settings.root))
    found = []
    for source in sorted(contracts.sources, key=lambda name: name not in contracts.references):
        table = silver.SilverTable(settings, contracts, source, references)
        table.ensure(spark)
        found.append(
            Declaration(
                name=f"silver.{table.silver.name}",
                stage=1 if source in contracts.references else 2,
                start=lambda table=table: silver_query.start(spark, settings, table, trigger),  # type: ignore[misc]
                ready=lambda table=table: table_exists(spark, table.bronze_uri),  # type: ignore[misc]
                first=source in contracts.references,
            )
        )
    return found


def _gold(spark: SparkSession, settings: Settings, contracts: Contracts, trigger: dict[str, str]) -> list[Declaration]:
    tables = [gold.GoldTable(settings, contracts, name) for name in gold.GOLD_TABLES]
    return [
        Declaration(
            name=table.name,
            stage=3,
            start=lambda table=table: gold.start(  # type: ignore[misc]
                spark, settings, contracts, table.contract.name, trigger
            ),
            ready=lambda table=table: all(table_exists(spark, uri) for uri in table.silver.values()),  # type: ignore[misc]
        )
        for table in tables
    ]
