"""Who may read what: Lake Formation grants and filters for a role per team, compiled from the contracts."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.catalog import SPECTRUM, Catalog
from infra.documents import document, statement
from infra.estate import Estate
from infra.keys import READ, Keys
from infra.storage import Storage
from lakehouse.policies import Access, all_access, role_names

LAYERS_READ = ("bronze", "silver", "gold", "rejected")
SELECT, DESCRIBE = "SELECT", "DESCRIBE"


@dataclass(frozen=True)
class GovernanceArgs:
    """What there is to govern."""

    estate: Estate
    keys: Keys
    storage: Storage
    catalog: Catalog


class Governance(pulumi.ComponentResource):
    """A role for each team that the contracts name, and exactly the grants that they give it.

    A grant on all rows names its columns; one on some rows is a data cells filter with its columns and condition.
    People go through Lake Formation only: the team roles have no right to S3 or the lake's key. The lake is registered
    in hybrid mode: what is granted here holds for roles that opted in, and the jobs go on by IAM. Costs nothing.
    """

    def __init__(self, name: str, args: GovernanceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("lakehouse:estate:Governance", name, None, opts)
        self._name, self._estate, self._args = name, args.estate, args
        self._child = pulumi.ResourceOptions(parent=self)
        self.team_roles = {team: self._team_role(team) for team in role_names(self._estate.contracts)}
        settings = self._settings()
        location = self._location()
        self._after = pulumi.ResourceOptions(parent=self, depends_on=[settings, location])
        if self._estate.config.switches.table_grants:
            self._databases()
            for access in all_access(self._estate.contracts):
                self._grant(access)
        self.register_outputs({"roles": {team: role.arn for team, role in self.team_roles.items()}})

    def _team_role(self, team: str) -> aws.iam.Role:
        root = pulumi.Output.concat("arn:", self._estate.partition, ":iam::", self._estate.account_id, ":root")
        principals: list[pulumi.Input[str]] = [*self._estate.config.team_principals.get(team, ())] or [root]
        role = aws.iam.Role(
            f"{self._name}-{team}",
            name=self._estate.name("team", team.replace("_", "-")),
            description=f"Reads what the contracts grant to {team.replace('_', ' ')}",
            assume_role_policy=document(
                {"Sid": "Team", "Effect": "Allow", "Action": ["sts:AssumeRole"], "Principal": {"AWS": principals}}
            ),
            max_session_duration=8 * 3600,
            opts=self._child,
        )
        results = self._args.storage.query_results
        own = f"{team}/"
        aws.iam.RolePolicy(
            f"{self._name}-{team}",
            role=role.id,
            policy=document(
                # Lake Formation hands out the data itself; this is only the right to ask.
                statement("AskLakeFormation", ["lakeformation:GetDataAccess"], ["*"]),
                statement("LookIntoCatalog", ["glue:GetDatabase", "glue:GetDatabases", "glue:GetTable",
                                              "glue:GetTables", "glue:GetPartition", "glue:GetPartitions"],
                          self._catalog_arns()),
                statement("RunQueries", ["athena:StartQueryExecution", "athena:GetQueryExecution",
                                         "athena:GetQueryResults", "athena:StopQueryExecution",
                                         "athena:GetWorkGroup", "athena:ListNamedQueries",
                                         "athena:GetNamedQuery"],
                          [self._estate.arn("athena", f"workgroup/{self._estate.name()}")]),
                statement("KeepOwnResults", ["s3:GetObject", "s3:PutObject"], results.below(own)),
                statement("FindResults", ["s3:GetBucketLocation"], [results.arn]),
                statement("EncryptResults", ["kms:Decrypt", "kms:GenerateDataKey"],
                          [self._args.keys.arn("lake")], conditions=self._results_only()),
                statement("ReadCatalogKey", READ, [self._args.keys.arn("catalog")]),
            ),
            opts=self._child,
        )  # fmt: skip
        return role

    def _results_only(self) -> dict[str, dict[str, object]]:
        """The lake's key, but only for what S3 does with query results: not for the tables."""
        results = pulumi.Output.concat(self._args.storage.query_results.arn, "*")
        return {
            "StringEquals": {"kms:ViaService": f"s3.{self._estate.config.region}.amazonaws.com"},
            "StringLike": {"kms:EncryptionContext:aws:s3:arn": [results]},
        }

    def _catalog_arns(self) -> list[pulumi.Output[str]]:
        databases = [self._args.catalog.databases[layer] for layer in (*LAYERS_READ, SPECTRUM)]
        arns = [self._estate.arn("glue", "catalog")]
        for database in databases:
            arns.append(self._estate.arn("glue", pulumi.Output.concat("database/", database)))
            arns.append(self._estate.arn("glue", pulumi.Output.concat("table/", database, "/*")))
        return arns

    def _settings(self) -> pulumi.Resource:
        """Administrators, and no permissions for everybody on what is made from now on."""
        session = aws.iam.get_session_context_output(arn=aws.get_caller_identity_output().arn)
        administrators: list[pulumi.Input[str]] = [session.issuer_arn, *self._estate.config.administrators]
        return aws.lakeformation.DataLakeSettings(
            self._name,
            admins=administrators,
            create_database_default_permissions=[],
            create_table_default_permissions=[],
            opts=self._child,
        )

    def _location(self) -> pulumi.Resource:
        """The role with which Lake Formation reads the lake for others; it never writes."""
        estate, lake = self._estate, self._args.storage.lake
        actions = ["sts:AssumeRole", "sts:SetContext"]
        role = aws.iam.Role(
            f"{self._name}-location",
            name=estate.name("lake-formation"),
            assume_role_policy=document(
                {
                    "Sid": "Service",
                    "Effect": "Allow",
                    "Action": actions,
                    "Principal": {"Service": "lakeformation.amazonaws.com"},
                    "Condition": {"StringEquals": {"aws:SourceAccount": estate.account_id}},
                }
            ),
            opts=self._child,
        )
        policy = aws.iam.RolePolicy(
            f"{self._name}-location",
            role=role.id,
            policy=document(
                statement("ReadTables", ["s3:GetObject"], lake.below(*(f"{layer}/" for layer in LAYERS_READ))),
                statement("ListLake", ["s3:ListBucket"], [lake.arn]),
                statement("DecryptLake", READ, [self._args.keys.arn("lake")]),
            ),
            opts=self._child,
        )
        return aws.lakeformation.Resource(
            self._name,
            arn=lake.arn,
            role_arn=role.arn,
            hybrid_access_enabled=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy]),
        )

    def _databases(self) -> None:
        """A role that may read a table may know of its database."""
        seen = sorted({(each.role, each.table.partition(".")[0]) for each in all_access(self._estate.contracts)})
        for team, layer in seen:
            aws.lakeformation.Permissions(
                f"{self._name}-{team}-{layer}",
                principal=self.team_roles[team].arn,
                permissions=[DESCRIBE],
                database=aws.lakeformation.PermissionsDatabaseArgs(name=self._args.catalog.databases[layer]),
                opts=self._after,
            )

    def _grant(self, access: Access) -> None:
        layer, _, name = access.table.partition(".")
        resource = f"{self._name}-{access.role}-{layer}-{name}"
        database, principal = self._args.catalog.databases[layer], self.team_roles[access.role].arn
        after = pulumi.ResourceOptions.merge(
            self._after, pulumi.ResourceOptions(depends_on=[self._args.catalog.tables[access.table]])
        )
        if access.row_filter is None:
            aws.lakeformation.Permissions(
                resource,
                principal=principal,
                permissions=[SELECT],
                table_with_columns=aws.lakeformation.PermissionsTableWithColumnsArgs(
                    database_name=database, name=name, column_names=list(access.columns)
                ),
                opts=after,
            )
        elif self._estate.config.switches.data_cells_filters:
            self._filtered(resource, access, database, principal, after)
        aws.lakeformation.OptIn(
            resource,
            principals=[aws.lakeformation.OptInPrincipalArgs(data_lake_principal_identifier=principal)],
            resource_datas=[
                aws.lakeformation.OptInResourceDataArgs(
                    table=aws.lakeformation.OptInResourceDataTableArgs(
                        catalog_id=self._estate.account_id, database_name=database, name=name
                    )
                )
            ],
            opts=after,
        )

    def _filtered(
        self,
        resource: str,
        access: Access,
        database: pulumi.Output[str],
        principal: pulumi.Output[str],
        after: pulumi.ResourceOptions,
    ) -> None:
        """Some rows only: a filter with the contract's condition and columns, and the right to select through it."""
        name = access.table.partition(".")[2]
        assert access.row_filter is not None, "a filter needs a condition"
        cells = aws.lakeformation.DataCellsFilter(
            resource,
            table_data=aws.lakeformation.DataCellsFilterTableDataArgs(
                database_name=database,
                name=filter_name(access),
                table_catalog_id=self._estate.account_id,
                table_name=name,
                column_names=list(access.columns),
                row_filter=aws.lakeformation.DataCellsFilterTableDataRowFilterArgs(filter_expression=access.row_filter),
            ),
            opts=after,
        )
        aws.lakeformation.Permissions(
            resource,
            principal=principal,
            permissions=[SELECT],
            data_cells_filter=aws.lakeformation.PermissionsDataCellsFilterArgs(
                database_name=database,
                name=filter_name(access),
                table_catalog_id=self._estate.account_id,
                table_name=name,
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[cells]),
        )


def filter_name(access: Access) -> str:
    """A name that changes with what the filter keeps: a changed filter is a new one, never a moment without."""
    content: Sequence[str] = (*access.columns, access.row_filter or "")
    digest = hashlib.sha256("\n".join(content).encode()).hexdigest()[:8]
    return f"{access.role}-{access.table.partition('.')[2]}-{digest}".replace("_", "-")
