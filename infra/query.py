"""Athena: a workgroup with limits for each team and for auditors, with the queries that they begin with."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.audit_questions import questions
from infra.catalog import AUDIT, Catalog
from infra.documents import document, trust
from infra.estate import Estate
from infra.governance import LAYERS_READ, Governance
from infra.keys import Keys
from infra.kpi_queries import granted_kpis, kpi_query
from infra.readers import AUDITOR, PEOPLE, place_of, reader_statements
from infra.storage import Storage

GIGABYTE = 1024**3


@dataclass(frozen=True)
class QueryArgs:
    """What there is to query."""

    estate: Estate
    keys: Keys
    storage: Storage
    catalog: Catalog
    governance: Governance


class Query(pulumi.ComponentResource):
    """An Athena workgroup for each team and one for auditors, which nobody can loosen: encrypted results in a folder of
    their own, a limit for what a query may read. A shared folder would let teams read past each other's filters.

    Costs 5 USD a TB read.
    """

    def __init__(self, name: str, args: QueryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("lakehouse:estate:Query", name, None, opts)
        self._name, self._args, self._estate = name, args, args.estate
        limits, teams = self._estate.config, self._args.governance.team_roles
        self.workgroup_names: Mapping[str, pulumi.Output[str]] = {
            team: self._workgroup(team, f"Gold and silver, for {team.replace('_', ' ')}", limits.athena_scan_limit_gb)
            for team in teams
        }
        self.auditor_workgroup_name = self._workgroup(AUDITOR, "Who did what, for auditors", limits.audit_scan_limit_gb)
        self._kpis()
        self._questions()
        if self._estate.config.identity_center is not None:
            self._for_groups(self._estate.config.identity_center)
        self.register_outputs({"workgroups": self.workgroup_names})

    def _kpis(self) -> None:
        """For each team a query for each of its KPIs."""
        for access in self._estate.access:
            layer = access.table.partition(".")[0]
            if layer != "gold":
                continue
            contract = self._estate.contracts.table(access.table)
            for kpi in granted_kpis(access, contract):
                aws.athena.NamedQuery(
                    f"{self._name}-{access.role}-{kpi.name}",
                    name=f"{access.role}: {kpi.name}, last 30 days",
                    description=kpi.description,
                    workgroup=self.workgroup_names[access.role],
                    database=self._args.catalog.databases[layer],
                    query=kpi_query(kpi, access, contract),
                    opts=pulumi.ResourceOptions(parent=self),
                )

    def _questions(self) -> None:
        """What auditors ask."""
        for question in questions(self._estate):
            aws.athena.NamedQuery(
                f"{self._name}-{question.key}",
                name=question.title,
                description=question.description,
                workgroup=self.auditor_workgroup_name,
                database=self._args.catalog.databases[AUDIT],
                query=question.sql,
                opts=pulumi.ResourceOptions(parent=self),
            )

    def _for_groups(self, instance: str) -> None:
        """A workgroup in which a query runs as the person who asks: what the groups of IAM Identity Center may read
        counts. The role does the rest of the work, and may read no table by itself.
        """
        name, estate, args = f"{self._name}-{PEOPLE}", self._estate, self._args
        child = pulumi.ResourceOptions(parent=self)
        role = aws.iam.Role(
            name,
            name=estate.global_name("athena-people"),
            description="Runs the queries of people of IAM Identity Center",
            assume_role_policy=trust("athena.amazonaws.com", estate.account_id, on_behalf=True),
            opts=child,
        )
        databases = [args.catalog.databases[layer] for layer in LAYERS_READ]
        statements = reader_statements(estate, args.storage, args.keys, databases, place_of(estate, PEOPLE))
        policy = aws.iam.RolePolicy(name, role=role.id, policy=document(*statements), opts=child)
        people = aws.athena.WorkgroupConfigurationIdentityCenterConfigurationArgs(
            enable_identity_center=True, identity_center_instance_arn=instance
        )
        self._workgroup(
            PEOPLE,
            "Gold and silver, for people of IAM Identity Center",
            estate.config.athena_scan_limit_gb,
            people,
            role.arn,
            pulumi.ResourceOptions(depends_on=[policy]),
        )

    def _workgroup(
        self,
        reader: str,
        description: str,
        scan_limit_gb: int,
        people: aws.athena.WorkgroupConfigurationIdentityCenterConfigurationArgs | None = None,
        role: pulumi.Output[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> pulumi.Output[str]:
        """What no query of a reader can loosen. Past queries are no data: they do not keep a workgroup from going."""
        place = place_of(self._estate, reader)
        encryption = aws.athena.WorkgroupConfigurationResultConfigurationEncryptionConfigurationArgs(
            encryption_option="SSE_KMS", kms_key_arn=self._args.keys.arn("lake")
        )
        results = aws.athena.WorkgroupConfigurationResultConfigurationArgs(
            output_location=pulumi.Output.concat(self._args.storage.query_results.uri, f"/{place.folder}"),
            encryption_configuration=encryption,
        )
        return aws.athena.Workgroup(
            f"{self._name}-{reader}",
            name=place.workgroup,
            description=description,
            configuration=aws.athena.WorkgroupConfigurationArgs(
                enforce_workgroup_configuration=True,
                publish_cloudwatch_metrics_enabled=True,
                bytes_scanned_cutoff_per_query=scan_limit_gb * GIGABYTE,
                execution_role=role,
                identity_center_configuration=people,
                result_configuration=results,
            ),
            force_destroy=True,
            opts=pulumi.ResourceOptions.merge(pulumi.ResourceOptions(parent=self), opts),
        ).name
