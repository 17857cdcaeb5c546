"""Redshift Serverless over gold and silver: a private warehouse that reads the lake through Spectrum."""

import hashlib
from collections.abc import Sequence
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
ODBC_DRIVER = "Amazon Redshift ODBC Driver (x64)"


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
        # With IAM: who connects needs a team's role and no password.
        self.jdbc_url = pulumi.Output.concat("jdbc:redshift:iam://", self.endpoint)
        self.odbc = pulumi.Output.concat(
            f"Driver={{{ODBC_DRIVER}}};Server=", host, f";Port={PORT};Database={DATABASE};IAM=1;SSLMode=verify-full"
        )
        self.secret_arn = namespace.admin_password_secret_arn
        self._may_connect(workgroup)
        self._apply_sql(self.secret_arn)
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

    def _apply_sql(self, secret_arn: pulumi.Output[str]) -> None:
        """One statement after the other, as the administrator: nobody else may make schemas and roles.

        A statement is known by its text and by the digest of the script that it belongs to, so what differs runs again,
        and with a changed procedure its call. All can run again at any time, and do after a `pulumi refresh` that comes
        more than a day later: Redshift then no longer knows the results.
        """
        before: list[pulumi.Resource] = []
        for number, (text, digest) in enumerate(self._statements()):
            applied = aws.redshiftdata.Statement(
                f"{self._name}-{number:03}",
                workgroup_name=self.workgroup_name,
                secret_arn=secret_arn,
                database=DATABASE,
                sql=text,
                statement_name=digest,
                opts=pulumi.ResourceOptions(parent=self, depends_on=before, retain_on_delete=True),
            )
            before = [applied]

    def _statements(self) -> list[tuple[pulumi.Input[str], pulumi.Input[str]]]:
        """Each with its script's digest: what contracts no longer grant goes first, then comes the external schema, and
        for each team its role, its views and the right to read them.
        """
        schema = pulumi.Output.all(self._args.catalog.databases[SPECTRUM], self.spectrum_role.arn).apply(
            lambda known: _script("external_schema").format(schema=SCHEMA, database=known[0], role=known[1]).strip()
        )
        teams = role_names(self._estate.contracts)
        granted = [each for each in self._estate.access if each.table in self._args.catalog.spectrum_tables]
        scripts = [
            withdrawal(teams, granted),
            *(_script("team").format(team=team) for team in teams),
            *(view_of(access, _script("view")) for access in granted),
        ]
        found = [(text, _digest(script)) for script in scripts for text in parts(script)]
        return [*found[: len(parts(scripts[0]))], (schema, schema.apply(_digest)), *found[len(parts(scripts[0])) :]]

    def _may_connect(self, workgroup: aws.redshiftserverless.Workgroup) -> None:
        """A team's role gets a password of Redshift for itself. Its tag RedshiftDbRoles (`infra/governance.py`) makes
        it a member of the team's database role.
        """
        actions = ["redshift-serverless:GetCredentials", "redshift-serverless:GetWorkgroup"]
        for team, role in self._args.governance.team_roles.items():
            aws.iam.RolePolicy(
                f"{self._name}-{team}",
                role=role.id,
                policy=document(statement("ConnectToWarehouse", actions, [workgroup.arn])),
                opts=self._child,
            )


def view_of(access: Access, template: str) -> str:
    """The view of one team on one table: the columns and rows that the contract grants, and nothing else."""
    name = access.table.partition(".")[2]
    rows = access.row_filter or "true"
    columns = ", ".join(f'"{column}"' for column in access.columns)
    return template.format(team=access.role, table=name, schema=SCHEMA, columns=columns, rows=rows)


def withdrawal(teams: Sequence[str], granted: Sequence[Access]) -> str:
    """Drops every team's view that is not granted any more; of teams that are no more, the role and the schema."""
    views = ", ".join(f"'{each.role}.{each.table.partition('.')[2]}'" for each in granted)
    return _script("withdraw").format(views=views, teams=", ".join(f"'{team}'" for team in teams))


def parts(script: str) -> list[str]:
    """The statements of a script, which blank lines part: Redshift's Data API takes one at a time."""
    return [part.strip().removesuffix(";") for part in script.split("\n\n")]


def _script(name: str) -> str:
    return (SQL / f"{name}.sql").read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
