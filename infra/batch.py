"""The batch jobs on Glue: landing files into bronze, daily and hourly, upkeep of all tables, and the daily proof."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.catalog import Catalog
from infra.compute import job_statements
from infra.config import GlueJob
from infra.documents import Statement, document, statement, trust
from infra.estate import Estate
from infra.keys import READ, Keys
from infra.metrics import may_publish, namespace
from infra.network import Network
from infra.package import Code
from infra.storage import PREFIXES, Storage

GLUE, PYTHON = "6.0", "3"
MAINTENANCE, RECONCILE = "maintenance", "reconcile"
REFERENCE = "reference"
# UTC: the tills' files of a day are there by three; the warehouses' come every hour.
DAILY, HOURLY, NIGHTLY = "cron(15 3 * * ? *)", "cron(10 * * * ? *)", "cron(30 1 * * ? *)"
SCHEDULES: Mapping[str, str] = {REFERENCE: DAILY, "inventory": HOURLY, MAINTENANCE: NIGHTLY}
# None of these knows a resource; they tell what there is, and change nothing.
LOOK_AT_NETWORK = ("ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables", "ec2:DescribeSecurityGroups",
                   "ec2:DescribeSubnets", "ec2:DescribeVpcEndpoints")  # fmt: skip
WRITES = tuple(prefix for prefix in PREFIXES if prefix != "archive/")


@dataclass(frozen=True)
class BatchArgs:
    """What the jobs run on, read and write."""

    estate: Estate
    keys: Keys
    network: Network
    storage: Storage
    catalog: Catalog
    code: Code


class Batch(pulumi.ComponentResource):
    """A Glue job with a trigger for each source that comes in files, for the reference data together, for upkeep, and
    for the daily reconciliation.

    Each runs once at a time, twice more when it fails. Costs 0.31 USD an hour and DPU while one runs.
    """

    def __init__(self, name: str, args: BatchArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("lakehouse:estate:Batch", name, None, opts)
        self._name, self._args, self._estate = name, args, args.estate
        self._child = pulumi.ResourceOptions(parent=self)
        self.role = self._role([group.arn for group in self._log_groups()])
        security = self._security()
        connection = self._connection()
        names = [*self._sources(), REFERENCE, MAINTENANCE, RECONCILE]
        self.jobs = {job: self._job(job, security, connection) for job in names}
        schedules = {**SCHEDULES, RECONCILE: self._estate.config.batch.reconcile_schedule}
        for job, declared in self.jobs.items():
            aws.glue.Trigger(
                f"{name}-{job}",
                name=self._estate.name(job),
                type="SCHEDULED",
                schedule=schedules.get(job, DAILY),
                start_on_creation=True,
                actions=[aws.glue.TriggerActionArgs(job_name=declared.name, timeout=self._size(job).timeout_minutes)],
                opts=self._child,
            )
        self.register_outputs({"jobs": {job: declared.name for job, declared in self.jobs.items()}})

    def _size(self, job: str) -> GlueJob:
        config = self._estate.config.batch
        return {MAINTENANCE: config.maintenance, RECONCILE: config.reconcile}.get(job, config.sources)

    @property
    def _log_prefix(self) -> str:
        return f"/{self._estate.name('batch')}"

    def _log_groups(self) -> list[aws.cloudwatch.LogGroup]:
        """Where Glue writes what it and Spark log (`error`) and what our code prints (`output`). The names are Glue's:
        below the prefix, one level for the security configuration and one for the role.
        """
        below = f"{self._log_prefix}/{self._estate.name('batch')}-role/{self._estate.global_name('job', 'batch')}"
        return [
            aws.cloudwatch.LogGroup(
                f"{self._name}-{kind}",
                name=f"{below}/{kind}",
                retention_in_days=self._estate.config.retention.logs,
                kms_key_id=self._args.keys.arn("logs"),
                opts=self._child,
            )
            for kind in ("error", "output")
        ]

    def _sources(self) -> list[str]:
        """The facts that come in files: neither on a stream nor reference data."""
        contracts = self._estate.contracts
        streaming = self._estate.streaming_sources
        return [each for each in contracts.sources if each not in streaming and each not in contracts.references]

    def _job(self, job: str, security: pulumi.Output[str], connection: pulumi.Output[str]) -> aws.glue.Job:
        storage, code, size = self._args.storage, self._args.code, self._size(job)
        arguments: dict[str, pulumi.Input[str]] = {
            "--job-language": "python",
            # Glue's own Delta, which it made for its Spark: ours beside it would be a second one on one class path.
            "--datalake-formats": "delta",
            "--additional-python-modules": code.glue_wheels,
            # No package index is in reach, and the zip names every package.
            "--python-modules-installer-option": "--no-index --no-deps",
            "--extra-jars": code.jars,
            "--enable-metrics": "true",
            "--custom-logGroup-prefix": self._log_prefix,
            "--lakehouse_job": job,
            "--lakehouse_platform": "glue",
            "--lakehouse_root": storage.lake.uri,
            "--lakehouse_landing": storage.landing.uri,
            "--lakehouse_region": self._estate.config.region,
            "--lakehouse_time_travel_hours": str(self._estate.config.retention.time_travel * 24),
            "--lakehouse_metrics_namespace": namespace(self._estate),
            "--lakehouse_code_version": code.digest,
        }
        return aws.glue.Job(
            f"{self._name}-{job}",
            name=self._estate.name(job),
            description=f"Lakehouse: {job}",
            role_arn=self.role.arn,
            glue_version=GLUE,
            worker_type=size.worker_type,
            number_of_workers=size.workers,
            timeout=size.timeout_minutes,
            max_retries=2,
            execution_class="STANDARD",
            execution_property=aws.glue.JobExecutionPropertyArgs(max_concurrent_runs=1),
            command=aws.glue.JobCommandArgs(name="glueetl", python_version=PYTHON, script_location=code.glue_script),
            default_arguments=arguments,
            security_configuration=security,
            connections=[connection],
            opts=self._child,
        )

    def _security(self) -> pulumi.Output[str]:
        keys = self._args.keys
        return aws.glue.SecurityConfiguration(
            self._name,
            name=self._estate.name("batch"),
            encryption_configuration=aws.glue.SecurityConfigurationEncryptionConfigurationArgs(
                cloudwatch_encryption=(
                    aws.glue.SecurityConfigurationEncryptionConfigurationCloudwatchEncryptionArgs(
                        cloudwatch_encryption_mode="SSE-KMS", kms_key_arn=keys.arn("logs")
                    )
                ),
                job_bookmarks_encryption=(
                    aws.glue.SecurityConfigurationEncryptionConfigurationJobBookmarksEncryptionArgs(
                        job_bookmarks_encryption_mode="CSE-KMS", kms_key_arn=keys.arn("artifacts")
                    )
                ),
                s3_encryption=aws.glue.SecurityConfigurationEncryptionConfigurationS3EncryptionArgs(
                    s3_encryption_mode="SSE-KMS", kms_key_arn=keys.arn("lake")
                ),
            ),
            opts=self._child,
        ).name

    def _connection(self) -> pulumi.Output[str]:
        """Puts the jobs into the private network: from there they reach AWS through its endpoints only."""
        network = self._args.network
        return aws.glue.Connection(
            self._name,
            name=self._estate.name("network"),
            connection_type="NETWORK",
            physical_connection_requirements=aws.glue.ConnectionPhysicalConnectionRequirementsArgs(
                availability_zone=network.private_zones[0],
                subnet_id=network.private_subnet_ids[0],
                security_group_id_lists=[network.jobs_security_group_id],
            ),
            opts=self._child,
        ).name

    def _role(self, log_arns: list[pulumi.Output[str]]) -> aws.iam.Role:
        role = aws.iam.Role(
            self._name,
            name=self._estate.global_name("job", "batch"),
            description="The batch jobs: landing into bronze, and the upkeep of all tables",
            assume_role_policy=trust("glue.amazonaws.com", self._estate.account_id),
            opts=self._child,
        )
        landing = self._args.storage.landing
        aws.iam.RolePolicy(
            self._name,
            role=role.id,
            policy=document(
                *job_statements(self._estate, self._args.keys, self._args.storage, (), WRITES),
                statement("ReadLanding", ["s3:GetObject"], landing.below("")),
                statement("ListLanding", ["s3:ListBucket", "s3:GetBucketLocation"], [landing.arn]),
                statement("DecryptLanding", READ, [self._args.keys.arn("landing")]),
                # Before it writes, Glue makes the groups and gives them the key, also those that are there and have it.
                statement("WriteLogs", ["logs:CreateLogGroup", "logs:AssociateKmsKey", "logs:CreateLogStream",
                                        "logs:PutLogEvents"],
                          [each for arn in log_arns for each in (arn, pulumi.Output.concat(arn, ":*"))]),
                statement("UseNetwork", ["glue:GetConnection"],
                          [self._estate.arn("glue", "catalog"),
                           self._estate.arn("glue", f"connection/{self._estate.name('network')}")]),
                *self._join_network(),
                may_publish(self._estate),
            ),
            opts=self._child,
        )  # fmt: skip
        return role

    def _join_network(self) -> list[Statement]:
        """Glue puts a network interface into the subnet before each run, in the job's own name."""
        interfaces = self._estate.arn("ec2", "network-interface/*")
        subnet = self._estate.arn("ec2", pulumi.Output.concat("subnet/", self._args.network.private_subnet_ids[0]))
        group = self._estate.arn(
            "ec2", pulumi.Output.concat("security-group/", self._args.network.jobs_security_group_id)
        )
        vpc = self._estate.arn("ec2", pulumi.Output.concat("vpc/", self._args.network.vpc_id))
        ours = {"ForAllValues:StringEquals": {"aws:TagKeys": ["aws-glue-service-resource"]}}
        return [
            statement("LookAtNetwork", LOOK_AT_NETWORK, ["*"]),
            statement("LookAtVpc", ["ec2:DescribeVpcAttribute"], [vpc]),
            statement("JoinNetwork", ["ec2:CreateNetworkInterface"], [interfaces, subnet, group]),
            # Glue tags it after making it, so its own tag cannot be a condition here; another's cannot be deleted
            # while it is attached.
            statement("LeaveNetwork", ["ec2:DeleteNetworkInterface"], [interfaces]),
            statement("TagInterfaces", ["ec2:CreateTags", "ec2:DeleteTags"], [interfaces], conditions=ours),
        ]
