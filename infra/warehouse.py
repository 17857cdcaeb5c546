"""Redshift Serverless over gold and silver: a private warehouse that reads the lake through Spectrum."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_aws as aws

from infra.catalog import SPECTRUM, Catalog
from infra.documents import document, statement, trust
from infra.estate import Estate
from infra.governance import Governance
from infra.grants import DESCRIBE, SELECT, opt_in, see_database, use_table
from infra.keys import READ, Keys
from infra.network import Network
from infra.storage import Storage
from lakehouse.policies import Access, role_names

DATABASE, ADMINISTRATOR, PORT = "lakehouse", "lakehouse_admin", 5439
SQL = Path(__file__).with_name("sql")
SCHEMA = "lake"


@dataclass(frozen=True)
class WarehouseArgs:
    """What the warehouse reads, and for whom."""

    estate: Estate
    keys: Keys
    network: Network
    storage: Storage
    catalog: Catalog
    governance: Governance


class Warehouse(pulumi.ComponentResource):
    """A namespace and workgroup of Redshift Serverless, private and encrypted, with a role for Spectrum that reads gold
    and silver only, and a database role, views and grants for each team, put there by SQL that can run again and again.

    Costs 0.36 USD an RPU and hour while it answers; a usage limit stops it after the hours configured.
    """

    def __init__(self, name: str, args: WarehouseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("lakehouse:estate:Warehouse", name, None, opts)
        self._name, self._args, self._estate = name, args, args.estate
        self._child = pulumi.ResourceOptions(parent=self)
        self.spectrum_role = self._role()
        namespace = aws.redshiftserverless.Namespace(
            name,
            namespace_name=self._estate.name(),
            db_name=DATABASE,
            admin_username=ADMINISTRATOR,
            manage_admin_password=True,
            admin_password_secret_kms_key_id=args.keys.arn("warehouse"),
            kms_key_id=args.keys.arn("warehouse"),
            iam_roles=[self.spectrum_role.arn],
            default_iam_role_arn=self.spectrum_role.arn,
            log_exports=["connectionlog", "userlog", "useractivitylog"],
            opts=self._estate.keeps_data(self, self._estate.name()),
        )
        workgroup = aws.redshiftserverless.Workgroup(
            name,
            namespace_name=namespace.namespace_name,
            workgroup_name=self._estate.name(),
            base_capacity=self._estate.config.redshift_base_capacity,
            publicly_accessible=False,
            enhanced_vpc_routing=True,
            port=PORT,
            subnet_ids=args.network.private_subnet_ids,
            security_group_ids=[args.network.warehouse_security_group_id],
            config_parameters=[
                aws.redshiftserverless.WorkgroupConfigParameterArgs(parameter_key=key, parameter_value=value)
                for key, value in {"require_ssl": "true", "enable_user_activity_logging": "true"}.items()
            ],
            opts=self._child,
        )
        aws.redshiftserverless.UsageLimit(
            name,
            resource_arn=workgroup.arn,
            usage_type="serverless-compute",
            period="daily",
            amount=self._estate.config.redshift_base_capacity * self._estate.config.redshift_hours_a_day,
            breach_action="deactivate",
            opts=self._child,
        )
        self.workgroup_name = workgroup.workgroup_name
        host = workgroup.endpoints.apply(lambda found: str(found[0].address) if found else "")
        self.endpoint = pulumi.Output.concat(host, f":{PORT}/{DATABASE}")
        self.jdbc_url = pulumi.Output.concat("jdbc:redshift://", self.endpoint)
        self._apply_sql()
        self.register_outputs({"endpoint": self.endpoint})

    def _role(self) -> aws.iam.Role:
        """Spectrum reads the files that the manifests of gold and silver name, and the catalog's tables over these."""
        estate, lake = self._estate, self._args.storage.lake
        role = aws.iam.Role(
            self._name,
            name=estate.name("spectrum"),
            description="Redshift Spectrum: reads gold and silver",
            assume_role_policy=trust(
                ["redshift-serverless.amazonaws.com", "redshift.amazonaws.com"], estate.account_id
            ),
            opts=self._child,
        )
        database = self._args.catalog.databases[SPECTRUM]
        tables = [
            estate.arn("glue", "catalog"),
            estate.arn("glue", pulumi.Output.concat("database/", database)),
            estate.arn("glue", pulumi.Output.concat("table/", database, "/*")),
        ]
        look = ["glue:GetDatabase", "glue:GetTable", "glue:GetTables", "glue:GetPartition", "glue:GetPartitions"]
        aws.iam.RolePolicy(
            self._name,
            role=role.id,
            policy=document(
                statement("ReadTables", ["s3:GetObject"], lake.below("gold/", "silver/")),
                statement("ListTables", ["s3:ListBucket"], [lake.arn],
                          conditions={"StringLike": {"s3:prefix": ["gold/*", "silver/*"]}}),
                statement("LookIntoCatalog", look, tables),
                statement("AskLakeFormation", ["lakeformation:GetDataAccess"], ["*"]),
                statement("Decrypt", READ, [self._args.keys.arn("lake"), self._args.keys.arn("catalog")]),
            ),
            opts=self._child,
        )  # fmt: skip
        self._may_select(role)
        return role

    def _may_select(self, role: aws.iam.Role) -> None:
        """IAM alone opens no table of this catalog: nothing is left to IAMAllowedPrincipals. The tables of
        manifests are granted and opted in, as a team's tables are; no other table is.
        """
        database = self._args.catalog.databases[SPECTRUM]
        after = pulumi.ResourceOptions(parent=self, depends_on=[self._args.governance])
        if not self._estate.config.switches.table_grants:
            return
        see_database(f"{self._name}-{SPECTRUM}", role.arn, database, after)
        for table_name, table in self._args.catalog.spectrum_tables.items():
            own = pulumi.ResourceOptions.merge(after, pulumi.ResourceOptions(depends_on=[table]))
            name = f"{self._name}-{table_name.partition('.')[2]}"
            use_table(name, role.arn, (DESCRIBE, SELECT), database, table.name, own)
            opt_in(name, self._estate, role.arn, database, table.name, own)

    def _apply_sql(self) -> None:
        """One statement after the other; a statement is a resource named by its content, so only changed ones run."""
        before: list[pulumi.Resource] = []
        for number, text in enumerate(self._statements()):
            digest = text.apply(lambda known: hashlib.sha256(known.encode()).hexdigest()[:12])
            applied = aws.redshiftdata.Statement(
                f"{self._name}-{number:03}",
                workgroup_name=self.workgroup_name,
                database=DATABASE,
                sql=text,
                statement_name=digest,
                opts=pulumi.ResourceOptions(parent=self, depends_on=before, retain_on_delete=True),
            )
            before = [applied]

    def _statements(self) -> list[pulumi.Output[str]]:
        """The external schema, then for each team its role, its views and the right to read them."""
        known = [self._args.catalog.databases[SPECTRUM], self.spectrum_role.arn]
        schema = (SQL / "external_schema.sql").read_text(encoding="utf-8")
        found = [
            pulumi.Output.all(*known).apply(lambda each: schema.format(schema=SCHEMA, database=each[0], role=each[1]))
        ]
        team_sql = (SQL / "team.sql").read_text(encoding="utf-8")
        for team in role_names(self._estate.contracts):
            found += [pulumi.Output.from_input(text) for text in _parts(team_sql.format(team=team))]
        view_sql = (SQL / "view.sql").read_text(encoding="utf-8")
        for access in self._estate.access:
            if access.table in self._args.catalog.spectrum_tables:
                found += [pulumi.Output.from_input(text) for text in _parts(view_of(access, view_sql))]
        return found


def view_of(access: Access, template: str) -> str:
    """The view of one team on one table: the columns and rows that the contract grants, and nothing else."""
    name = access.table.partition(".")[2]
    rows = access.row_filter or "true"
    columns = ", ".join(f'"{column}"' for column in access.columns)
    return template.format(team=access.role, table=name, schema=SCHEMA, columns=columns, rows=rows)


def _parts(text: str) -> list[str]:
    """The statements of a script: Redshift's Data API takes one at a time."""
    return [part.strip() for part in text.split(";\n") if part.strip()]
