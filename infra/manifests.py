"""What lets the silver and gold jobs keep the partitions of the tables that Redshift Spectrum reads."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.catalog import SPECTRUM, Catalog
from infra.compute import Compute, layers_of
from infra.documents import document, statement
from infra.estate import Estate
from infra.governance import Governance
from infra.grants import ALTER, DESCRIBE, SELECT, opt_in, see_database, use_table
from infra.keys import WRITE, Keys
from infra.storage import Storage


@dataclass(frozen=True)
class ManifestsArgs:
    """Who writes manifests, and the tables over them."""

    estate: Estate
    keys: Keys
    storage: Storage
    catalog: Catalog
    governance: Governance
    compute: Compute


class Manifests(pulumi.ComponentResource):
    """The right of the jobs of silver and gold to list, add and remove partitions of their own tables of manifests, by
    IAM and by Lake Formation, which asks as well. No other table of the catalog is theirs to change. Costs nothing.
    """

    def __init__(self, name: str, args: ManifestsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("lakehouse:estate:Manifests", name, None, opts)
        self._name, self._args, self._estate = name, args, args.estate
        for job in args.compute.job_roles:
            tables = {
                table: declared
                for table, declared in args.catalog.spectrum_tables.items()
                if table.partition(".")[0] in layers_of(job)
            }
            if tables:
                self._by_iam(job, tables)
                self._by_lake_formation(job, tables)
        self.register_outputs({})

    def _by_iam(self, job: str, tables: Mapping[str, aws.glue.CatalogTable]) -> None:
        database = self._args.catalog.databases[SPECTRUM]
        arns = [
            self._estate.arn("glue", "catalog"),
            self._estate.arn("glue", pulumi.Output.concat("database/", database)),
            *(
                self._estate.arn("glue", pulumi.Output.concat("table/", database, "/", table.name))
                for table in tables.values()
            ),
        ]
        actions = ["glue:GetTable", "glue:GetPartitions", "glue:BatchCreatePartition", "glue:BatchDeletePartition"]
        aws.iam.RolePolicy(
            f"{self._name}-{job}",
            role=self._args.compute.job_roles[job].id,
            policy=document(
                statement("KeepPartitions", actions, arns),
                statement("UseCatalogKey", WRITE, [self._args.keys.arn("catalog")]),
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _by_lake_formation(self, job: str, tables: Mapping[str, aws.glue.CatalogTable]) -> None:
        role, database = self._args.compute.job_roles[job].arn, self._args.catalog.databases[SPECTRUM]
        after = pulumi.ResourceOptions(parent=self, depends_on=[self._args.governance])
        aws.lakeformation.Permissions(
            f"{self._name}-{job}-location",
            principal=role,
            permissions=["DATA_LOCATION_ACCESS"],
            data_location=aws.lakeformation.PermissionsDataLocationArgs(arn=self._args.storage.lake.arn),
            opts=after,
        )
        see_database(f"{self._name}-{job}-database", role, database, after)
        for table, declared in tables.items():
            name = f"{self._name}-{job}-{table.partition('.')[2]}"
            own = pulumi.ResourceOptions.merge(after, pulumi.ResourceOptions(depends_on=[declared]))
            use_table(name, role, (ALTER, DESCRIBE, SELECT), database, declared.name, own)
            opt_in(name, self._estate, role, database, declared.name, own)
