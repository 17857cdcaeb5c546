"""Who may read what: Lake Formation grants and filters for a role per team, compiled from the contracts."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.account_settings import AccountSettings
from infra.catalog import SPECTRUM, Catalog
from infra.documents import document, statement, trust
from infra.estate import Estate
from infra.grants import SELECT, opt_in, see_database
from infra.keys import READ, Keys
from infra.readers import place_of, reader_statements, taken_by, team_role_name
from infra.storage import Storage
from lakehouse.policies import Access, role_names

LAYERS_READ = ("bronze", "silver", "gold", "rejected")


@dataclass(frozen=True)
class GovernanceArgs:
    """What there is to govern."""

    estate: Estate
    keys: Keys
    settings: AccountSettings
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
        self._after = pulumi.ResourceOptions(parent=self, depends_on=[*args.settings.made, self._location()])
        self._databases()
        for access in self._estate.access:
            for layer, table in self._places(access):
                self._grant(access, layer, table)
        self.register_outputs({"roles": {team: role.arn for team, role in self.team_roles.items()}})

    def _team_role(self, team: str) -> aws.iam.Role:
        role = aws.iam.Role(
            f"{self._name}-{team}",
            name=team_role_name(self._estate, team),
            description=f"Reads what the contracts grant to {team.replace('_', ' ')}",
            assume_role_policy=taken_by("Team", self._estate.config.team_principals.get(team, ())),
            max_session_duration=8 * 3600,
            opts=self._child,
        )
        databases = [self._args.catalog.databases[layer] for layer in (*LAYERS_READ, SPECTRUM)]
        aws.iam.RolePolicy(
            f"{self._name}-{team}",
            role=role.id,
            policy=document(
                *reader_statements(
                    self._estate, self._args.storage, self._args.keys, databases, place_of(self._estate, team)
                )
            ),
            opts=self._child,
        )
        return role

    def _location(self) -> pulumi.Resource:
        """The role with which Lake Formation reads the lake for others; it never writes."""
        estate, lake = self._estate, self._args.storage.lake
        role = aws.iam.Role(
            f"{self._name}-location",
            name=estate.global_name("lake-formation"),
            assume_role_policy=trust("lakeformation.amazonaws.com", estate.account_id, on_behalf=True),
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
        seen = sorted({(each.role, layer) for each in self._estate.access for layer, _ in self._places(each)})
        for team, layer in seen:
            for suffix, principal in self._principals(team):
                database = self._args.catalog.databases[layer]
                see_database(f"{self._name}-{team}-{layer}{suffix}", principal, database, self._after)

    def _principals(self, team: str) -> list[tuple[str, pulumi.Output[str]]]:
        """Who the team is: its role, and its groups of IAM Identity Center, each with what its grants' names end in."""
        prefix = pulumi.Output.concat("arn:", self._estate.partition, ":identitystore:::group/")
        groups = self._estate.config.team_groups.get(team, ())
        return [
            ("", self.team_roles[team].arn),
            *((f"-{group}", pulumi.Output.concat(prefix, group)) for group in groups),
        ]

    def _places(self, access: Access) -> list[tuple[str, aws.glue.CatalogTable]]:
        """Where a table is found: in its layer, and where there is a warehouse among the tables that it reads."""
        catalog = self._args.catalog
        found = [(access.table.partition(".")[0], catalog.tables[access.table])]
        if self._estate.config.switches.warehouse and access.table in catalog.spectrum_tables:
            found.append((SPECTRUM, catalog.spectrum_tables[access.table]))
        return found

    def _grant(self, access: Access, layer: str, table: aws.glue.CatalogTable) -> None:
        name = access.table.partition(".")[2]
        resource, database = f"{self._name}-{access.role}-{layer}-{name}", self._args.catalog.databases[layer]
        after = pulumi.ResourceOptions.merge(self._after, pulumi.ResourceOptions(depends_on=[table]))
        if access.row_filter is None:
            self._columns(resource, access, database, after)
        else:
            self._rows(resource, access, database, after)
        for suffix, principal in self._principals(access.role):
            opt_in(f"{resource}{suffix}", self._estate, principal, database, name, after)

    def _columns(
        self, resource: str, access: Access, database: pulumi.Output[str], after: pulumi.ResourceOptions
    ) -> None:
        """All rows of some columns."""
        for suffix, principal in self._principals(access.role):
            aws.lakeformation.Permissions(
                f"{resource}{suffix}",
                principal=principal,
                permissions=[SELECT],
                table_with_columns=aws.lakeformation.PermissionsTableWithColumnsArgs(
                    database_name=database, name=access.table.partition(".")[2], column_names=list(access.columns)
                ),
                opts=after,
            )

    def _rows(self, resource: str, access: Access, database: pulumi.Output[str], after: pulumi.ResourceOptions) -> None:
        """Some rows only: a filter with the condition and columns, to which the right to select is given."""
        assert access.row_filter is not None, "a filter needs a condition"
        table = access.table.partition(".")[2]
        cells = aws.lakeformation.DataCellsFilter(
            resource,
            table_data=aws.lakeformation.DataCellsFilterTableDataArgs(
                database_name=database,
                name=filter_name(access),
                table_catalog_id=self._estate.account_id,
                table_name=table,
                column_names=list(access.columns),
                row_filter=aws.lakeformation.DataCellsFilterTableDataRowFilterArgs(filter_expression=access.row_filter),
            ),
            opts=after,
        )
        for suffix, principal in self._principals(access.role):
            aws.lakeformation.Permissions(
                f"{resource}{suffix}",
                principal=principal,
                permissions=[SELECT],
                data_cells_filter=aws.lakeformation.PermissionsDataCellsFilterArgs(
                    database_name=database,
                    name=filter_name(access),
                    table_catalog_id=self._estate.account_id,
                    table_name=table,
                ),
                opts=pulumi.ResourceOptions(parent=self, depends_on=[cells]),
            )


def filter_name(access: Access) -> str:
    """A name that changes with what the filter keeps: a changed filter is a new one, never a moment without."""
    content: Sequence[str] = (*access.columns, access.row_filter or "")
    digest = hashlib.sha256("\n".join(content).encode()).hexdigest()[:8]
    return f"{access.role}-{access.table.partition('.')[2]}-{digest}".replace("_", "-")
