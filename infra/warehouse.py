"""Redshift Serverless over gold and silver: a private warehouse that reads the lake through Spectrum."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.catalog import SPECTRUM, Catalog
from infra.documents import document, statement
from infra.estate import Estate
from infra.governance import Governance
from infra.keys import Keys
from infra.network import Network
from infra.warehouse_sql import WarehouseSql, WarehouseSqlArgs

DATABASE, ADMINISTRATOR, PORT = "lakehouse", "lakehouse_admin", 5439
LOGS = ("connectionlog", "userlog", "useractivitylog")
SCHEMA = "lake"
ODBC_DRIVER = "Amazon Redshift ODBC Driver (x64)"


@dataclass(frozen=True)
class WarehouseArgs:
    """What the warehouse reads, and for whom."""

    estate: Estate
    keys: Keys
    network: Network
    catalog: Catalog
    governance: Governance


class Warehouse(pulumi.ComponentResource):
    """A namespace and workgroup of Redshift Serverless, private and encrypted, with one external schema over gold and
    silver. No role reads it for everybody: each query asks the catalog and Lake Formation as the role of who asks
    (docs/adr/0023), so that a team sees in it what `infra/governance.py` grants.

    Costs 0.36 USD an RPU and hour while it answers; a usage limit stops it after the hours configured.
    """

    def __init__(self, name: str, args: WarehouseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("lakehouse:estate:Warehouse", name, None, opts)
        self._name, self._args, self._estate = name, args, args.estate
        self._child = pulumi.ResourceOptions(parent=self)
        namespace = aws.redshiftserverless.Namespace(
            name,
            namespace_name=self._estate.name(),
            db_name=DATABASE,
            admin_username=ADMINISTRATOR,
            manage_admin_password=True,
            admin_password_secret_kms_key_id=args.keys.arn("warehouse"),
            kms_key_id=args.keys.arn("warehouse"),
            log_exports=list(LOGS),
            opts=self._estate.keeps_data(self, self._estate.name(), depends_on=self._logs()),
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
            # AWS adds parameters of its own, some of which the provider does not know: each would be a difference for
            # ever (terraform-provider-aws #33916, #49939).
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["configParameters"]),
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
        WarehouseSql(
            name,
            WarehouseSqlArgs(
                self.workgroup_name, DATABASE, self.secret_arn, self._estate.config.region, self._statements()
            ),
            # What it names has to be there.
            pulumi.ResourceOptions(parent=self, depends_on=[args.governance]),
        )
        self.register_outputs({"endpoint": self.endpoint})

    def _logs(self) -> list[aws.cloudwatch.LogGroup]:
        """Where Redshift exports its logs, in groups of its naming; it would make them without an end and our key."""
        return [
            aws.cloudwatch.LogGroup(
                f"{self._name}-{log}",
                name=f"/aws/redshift/{self._estate.name()}/{log}",
                retention_in_days=self._estate.config.retention.logs,
                kms_key_id=self._args.keys.arn("logs"),
                opts=self._child,
            )
            for log in LOGS
        ]

    def _statements(self) -> list[pulumi.Output[str]]:
        """The external schema, and who may use it. Each can run again at any time."""
        account, region = self._estate.account_id, self._estate.config.region
        schema = pulumi.Output.concat(
            f"CREATE EXTERNAL SCHEMA IF NOT EXISTS {SCHEMA} FROM DATA CATALOG DATABASE '",
            self._args.catalog.databases[SPECTRUM],
            f"' REGION '{region}' IAM_ROLE 'SESSION' CATALOG_ID '",
            account,
            "'",
        )
        grants = (
            f"GRANT USAGE ON SCHEMA {SCHEMA} TO PUBLIC",
            f"GRANT TEMPORARY ON DATABASE {DATABASE} TO PUBLIC",
        )
        return [schema, *(pulumi.Output.from_input(each) for each in grants)]

    def _may_connect(self, workgroup: aws.redshiftserverless.Workgroup) -> None:
        """A team's role gets a password of Redshift for itself; nobody else does."""
        actions = ["redshift-serverless:GetCredentials", "redshift-serverless:GetWorkgroup"]
        for team, role in self._args.governance.team_roles.items():
            aws.iam.RolePolicy(
                f"{self._name}-{team}",
                role=role.id,
                policy=document(statement("ConnectToWarehouse", actions, [workgroup.arn])),
                opts=self._child,
            )
