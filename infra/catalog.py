"""The Glue catalog: a database for each layer, and every table of the contracts with its real columns."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.account_settings import AccountSettings
from infra.estate import Estate
from infra.storage import Storage
from lakehouse.contracts import Contract
from lakehouse.glue_columns import GlueColumn, glue_columns
from lakehouse.layout import LAYERS, Layout

AUDIT, SPECTRUM = "audit", "spectrum"
DESCRIPTIONS: Mapping[str, str] = {
    "bronze": "Every record as it came",
    "silver": "Checked, unique, enriched records",
    "gold": "KPIs per day",
    "rejected": "Records that broke a rule, and why",
    AUDIT: "CloudTrail and access logs",
    SPECTRUM: "Gold and silver for Redshift Spectrum, through manifests",
}
# What Athena's own Delta reader and Spark look for; Athena takes columns and partitions from the table's log.
DELTA = {
    "table_type": "DELTA",
    "classification": "delta",
    "spark.sql.sources.provider": "delta",
    "spark.sql.partitionProvider": "catalog",
    "EXTERNAL": "TRUE",
}
PARQUET_SERDE = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
PARQUET_IN = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
PARQUET_OUT = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"
MANIFEST_IN = "org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat"
MANIFEST_OUT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
MANIFESTS = "_symlink_format_manifest"
COMMENT_LENGTH = 255


@dataclass(frozen=True)
class CatalogArgs:
    """What the catalog describes."""

    estate: Estate
    settings: AccountSettings
    storage: Storage


class Catalog(pulumi.ComponentResource):
    """Databases and tables, from the contracts, once the account's settings are there: these are for what comes after.

    Silver and gold are there twice: as the Delta tables that Athena and Spark read, and for Redshift Spectrum as tables
    over the manifests that the jobs keep (docs/adr/0015). Costs nothing below a million objects.
    """

    def __init__(self, name: str, args: CatalogArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("lakehouse:estate:Catalog", name, None, opts)
        self._name, self._estate, self._args = name, args.estate, args
        self.databases: dict[str, pulumi.Output[str]] = {}
        self.tables: dict[str, aws.glue.CatalogTable] = {}
        self.spectrum_tables: dict[str, aws.glue.CatalogTable] = {}
        for layer in (*LAYERS, AUDIT, SPECTRUM):
            self.databases[layer] = self._database(layer)
        for table in self._estate.contracts.tables:
            self.tables[table] = self._delta_table(table)
            if table.startswith(("silver.", "gold.")):
                self.spectrum_tables[table] = self._manifest_table(table)
        self.register_outputs({"databases": self.databases})

    def _database(self, layer: str) -> pulumi.Output[str]:
        return aws.glue.CatalogDatabase(
            f"{self._name}-{layer}",
            name=self._estate.database(layer),
            description=DESCRIPTIONS[layer],
            location_uri=pulumi.Output.concat(self._args.storage.lake.uri, f"/{layer}/") if layer in LAYERS else None,
            # No permissions for everybody: Lake Formation grants each role what the contracts say.
            create_table_default_permissions=[],
            opts=self._estate.keeps_data(
                self, f"{{account}}:{self._estate.database(layer)}", depends_on=self._args.settings.made
            ),
        ).name

    def _delta_table(self, table: str) -> aws.glue.CatalogTable:
        layer, _, name = table.partition(".")
        contract = self._estate.contracts.table(table)
        columns = glue_columns(contract)
        return aws.glue.CatalogTable(
            f"{self._name}-{layer}-{name}",
            name=name,
            database_name=self.databases[layer],
            description=_comment(contract.description),
            owner=contract.owner,
            table_type="EXTERNAL_TABLE",
            parameters=DELTA | _about(contract),
            storage_descriptor=self._descriptor(
                self._location(table),
                [each for each in columns if not each.partition],
                PARQUET_IN,
                PARQUET_OUT,
                # Where readers that go by the format's own name, not by Hive's location, find the table.
                {"path": self._location(table)},
            ),
            partition_keys=[_partition(each) for each in _in_order(contract, columns)],
            opts=self._estate.keeps_data(self, f"{{account}}:{self._estate.database(layer)}:{name}"),
        )

    def _manifest_table(self, table: str) -> aws.glue.CatalogTable:
        """The same data, through the manifests beside the table (`symlink_manifests`); jobs keep its partitions."""
        name = table.partition(".")[2]
        contract = self._estate.contracts.table(table)
        columns = glue_columns(contract)
        location = pulumi.Output.concat(self._location(table), f"/{MANIFESTS}/")
        return aws.glue.CatalogTable(
            f"{self._name}-{SPECTRUM}-{name}",
            name=name,
            database_name=self.databases[SPECTRUM],
            description=_comment(contract.description),
            owner=contract.owner,
            table_type="EXTERNAL_TABLE",
            parameters={"EXTERNAL": "TRUE", "classification": "parquet"} | _about(contract),
            storage_descriptor=self._descriptor(
                location, [each for each in columns if not each.partition], MANIFEST_IN, MANIFEST_OUT
            ),
            partition_keys=[_partition(each) for each in _in_order(contract, columns)],
            opts=self._estate.keeps_data(self, f"{{account}}:{self._estate.database(SPECTRUM)}:{name}"),
        )

    def _location(self, table: str) -> pulumi.Output[str]:
        return self._args.storage.lake.uri.apply(lambda root: Layout(root).table(table))

    def _descriptor(
        self,
        location: pulumi.Input[str],
        columns: list[GlueColumn],
        reads: str,
        writes: str,
        parameters: Mapping[str, pulumi.Input[str]] | None = None,
    ) -> aws.glue.CatalogTableStorageDescriptorArgs:
        serde = aws.glue.CatalogTableStorageDescriptorSerDeInfoArgs(
            serialization_library=PARQUET_SERDE, parameters=parameters
        )
        return aws.glue.CatalogTableStorageDescriptorArgs(
            location=location,
            input_format=reads,
            output_format=writes,
            ser_de_info=serde,
            columns=[
                aws.glue.CatalogTableStorageDescriptorColumnArgs(
                    name=each.name, type=each.type, comment=_comment(each.comment)
                )
                for each in columns
            ],
        )


def _in_order(contract: Contract, columns: tuple[GlueColumn, ...]) -> list[GlueColumn]:
    """The partition columns as the folders are nested, which need not be the columns' order."""
    by_name = {each.name: each for each in columns}
    return [by_name[name] for name in contract.partitions]


def _partition(column: GlueColumn) -> aws.glue.CatalogTablePartitionKeyArgs:
    return aws.glue.CatalogTablePartitionKeyArgs(name=column.name, type=column.type, comment=_comment(column.comment))


def _about(contract: Contract) -> dict[str, str]:
    return {"contract": contract.name, "contract_version": contract.version, "owner": contract.owner}


def _comment(text: str) -> str:
    """Glue takes 255 characters and no line breaks."""
    line = " ".join(text.split())
    return line if len(line) <= COMMENT_LENGTH else line[: COMMENT_LENGTH - 1] + "…"
