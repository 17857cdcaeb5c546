"""The streaming jobs on EMR Serverless: one application, and a run for each layer that goes on for ever."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.catalog import SPECTRUM, Catalog
from infra.config import Compute as ComputeConfig
from infra.documents import Statement, document, statement, trust
from infra.estate import Estate
from infra.keys import READ, WRITE, Keys
from infra.metrics import VARIABLE, may_publish, namespace
from infra.network import Network
from infra.package import Code
from infra.storage import Storage
from infra.streaming_job import StreamingJob, StreamingJobArgs
from infra.streams import Streams
from runtime.log_store import log_store_settings
from runtime.region import VARIABLES as REGION_VARIABLES

# One job for all layers, where `compute.together` asks for it.
ALL = "all"
# What a layer's job reads besides its own prefixes, and what it writes.
READS: Mapping[str, tuple[str, ...]] = {
    "bronze": (),
    "silver": ("bronze/",),
    "gold": ("silver/",),
}
WRITES: Mapping[str, tuple[str, ...]] = {
    "bronze": ("bronze/", "checkpoints/bronze/"),
    "silver": ("silver/", "rejected/", "checkpoints/silver/"),
    "gold": ("gold/", "checkpoints/gold/"),
}
IDLE_MINUTES = 15
# What the application is made of, but for what makes another one anyway, and its tags.
APPLICATION_PARTS = (
    "release_label",
    "architecture",
    "initial_capacities",
    "maximum_capacity",
    "network_configuration",
    "auto_start_configuration",
    "auto_stop_configuration",
)
ENVIRONMENT = "environment"
# The Delta that EMR made for its own Spark; no job has it unless it says so.
DELTA_JARS = "/usr/share/aws/delta/lib/*.jar"
# Where AWS says that a job names its interpreter ("Using Python libraries with EMR Serverless").
INTERPRETER = (
    "spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON",
    "spark.emr-serverless.driverEnv.PYSPARK_PYTHON",
    "spark.executorEnv.PYSPARK_PYTHON",
)
# Of a worker's memory, what is not Java's heap: Python, Arrow, Java itself.
OVERHEAD_GB = 2


@dataclass(frozen=True)
class ComputeArgs:
    """What the jobs run on, read and write."""

    estate: Estate
    keys: Keys
    network: Network
    storage: Storage
    streams: Streams
    catalog: Catalog
    code: Code


class Compute(pulumi.ComponentResource):
    """An EMR Serverless application and the bronze, silver and gold jobs on it, each with a role that reaches only
    what its layer reads and writes; or one job for the three (`compute.together`), with what all of them need.

    Costs about 0.05 USD a vCPU and hour and 0.006 USD a GB and hour for what the jobs hold, all day.
    """

    def __init__(self, name: str, args: ComputeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("lakehouse:estate:Compute", name, None, opts)
        self._name, self._args, self._estate = name, args, args.estate
        self._child = pulumi.ResourceOptions(parent=self)
        self.jobs: dict[str, StreamingJob] = {}
        self._policies: dict[str, aws.iam.RolePolicy] = {}
        group = aws.cloudwatch.LogGroup(
            name,
            name=f"/{self._estate.name('streaming')}",
            retention_in_days=self._estate.config.retention.logs,
            kms_key_id=args.keys.arn("logs"),
            opts=self._child,
        )
        self.log_group_name = group.name
        self.job_roles = {job: self._role(job, group.arn) for job in job_names(self._estate)}
        self.application_id = self._application().id
        if self._estate.config.switches.streaming_jobs:
            self.jobs = {job: self._job(job, self.application_id) for job in self.job_roles}
        self.register_outputs({"application_id": self.application_id})

    def settings(self, job: str) -> dict[str, pulumi.Input[str]]:
        """The LAKEHOUSE_* variables of a job: where the lake lies, and what differs from one machine."""
        streams = pulumi.Output.json_dumps(self._args.streams.names)
        return {
            "LAKEHOUSE_PLATFORM": "emr",
            "LAKEHOUSE_ROOT": self._args.storage.lake.uri,
            "LAKEHOUSE_LANDING": self._args.storage.landing.uri,
            "LAKEHOUSE_REGION": self._estate.config.region,
            "LAKEHOUSE_STREAMS": streams,
            "LAKEHOUSE_SYMLINK_MANIFESTS": str(job != "bronze").lower(),
            "LAKEHOUSE_SPECTRUM_DATABASE": self._args.catalog.databases[SPECTRUM],
            "LAKEHOUSE_TRIGGER_SECONDS": str(self._estate.config.compute.trigger_seconds),
            "LAKEHOUSE_SHUFFLE_PARTITIONS": str(
                self._estate.config.compute.executors * self._estate.config.compute.executor_cores
            ),
            "LAKEHOUSE_TIME_TRAVEL_HOURS": str(self._estate.config.retention.time_travel * 24),
            "LAKEHOUSE_CODE_VERSION": self._args.code.digest,
            VARIABLE: namespace(self._estate),
        }

    def _application(self) -> aws.emrserverless.Application:
        """Any change makes another application: EMR changes only one that is stopped, and this one's jobs never end by
        themselves. The jobs then move, each with its old run ended before the next starts, since another application
        makes another job; the old application is removed last, stopped by the last job that left it.
        """
        config = self._estate.config.compute
        warm = [
            aws.emrserverless.ApplicationInitialCapacityArgs(
                initial_capacity_type=kind,
                initial_capacity_config=aws.emrserverless.ApplicationInitialCapacityInitialCapacityConfigArgs(
                    worker_count=config.warm_workers,
                    worker_configuration=(
                        aws.emrserverless.ApplicationInitialCapacityInitialCapacityConfigWorkerConfigurationArgs(
                            cpu=f"{cores} vCPU", memory=f"{memory} GB"
                        )
                    ),
                ),
            )
            for kind, cores, memory in (
                ("Driver", config.driver_cores, config.driver_memory_gb),
                ("Executor", config.executor_cores, config.executor_memory_gb),
            )
            if config.warm_workers
        ]
        return aws.emrserverless.Application(
            self._name,
            name=self._estate.name("streaming"),
            type="spark",
            release_label=config.release,
            architecture="X86_64",
            initial_capacities=warm,
            maximum_capacity=aws.emrserverless.ApplicationMaximumCapacityArgs(
                cpu=f"{config.maximum_cores} vCPU", memory=f"{config.maximum_cores * 8} GB"
            ),
            network_configuration=aws.emrserverless.ApplicationNetworkConfigurationArgs(
                subnet_ids=self._args.network.private_subnet_ids,
                security_group_ids=[self._args.network.jobs_security_group_id],
            ),
            auto_start_configuration=aws.emrserverless.ApplicationAutoStartConfigurationArgs(enabled=True),
            auto_stop_configuration=aws.emrserverless.ApplicationAutoStopConfigurationArgs(
                enabled=True, idle_timeout_minutes=IDLE_MINUTES
            ),
            opts=pulumi.ResourceOptions(parent=self, replace_on_changes=[*APPLICATION_PARTS]),
        )

    def _job(self, job: str, application_id: pulumi.Output[str]) -> StreamingJob:
        configuration = pulumi.Output.json_dumps(
            {
                # Not as options of `spark-submit`: EMR splits those as a shell does, and some values are JSON.
                "applicationConfiguration": [
                    {
                        "classification": "spark-defaults",
                        "properties": _spark_defaults(self._estate, self._args.code, self.settings(job)),
                    }
                ],
                "monitoringConfiguration": {
                    "s3MonitoringConfiguration": {
                        "logUri": pulumi.Output.concat(self._args.storage.artifacts.uri, "/logs/streaming/"),
                        "encryptionKeyArn": self._args.keys.arn("artifacts"),
                    },
                    # No key: the group has it. With one here EMR would associate it with the group before each run, in
                    # the name of the job, which would then need the right to change the key of its own log.
                    "cloudWatchLoggingConfiguration": {
                        "enabled": True,
                        "logGroupName": self.log_group_name,
                        "logStreamNamePrefix": job,
                        "logTypes": {"SPARK_DRIVER": ["STDOUT", "STDERR"]},
                    },
                },
            },
            sort_keys=True,
        )
        return StreamingJob(
            f"{self._name}-{job}",
            StreamingJobArgs(
                application_id=application_id,
                name=self._estate.name(job),
                role_arn=self.job_roles[job].arn,
                region=self._estate.config.region,
                entry_point=self._args.code.entry_point,
                arguments=[job],
                spark_parameters=_spark_parameters(self._estate.config.compute),
                configuration=configuration,
                tags=dict(self._estate.tags),
            ),
            # Its role and its code are inputs; what lets it reach and write anything is not. It starts after that, and
            # on destroy ends its batch before that goes.
            pulumi.ResourceOptions(
                parent=self,
                depends_on=[
                    self._policies[job],
                    self._args.network,
                    self._args.storage,
                    self._args.streams,
                    self._args.catalog,
                ],
            ),
        )

    def _role(self, job: str, group_arn: pulumi.Output[str]) -> aws.iam.Role:
        role = aws.iam.Role(
            f"{self._name}-{job}",
            name=self._estate.global_name("job", job),
            description=f"The streaming job of {' and '.join(layers_of(job))}: reads and writes its own prefixes",
            assume_role_policy=trust("emr-serverless.amazonaws.com", self._estate.account_id),
            opts=self._child,
        )
        self._policies[job] = aws.iam.RolePolicy(
            f"{self._name}-{job}",
            role=role.id,
            policy=document(
                *job_statements(self._estate, self._args.keys, self._args.storage, *_prefixes(job)),
                may_publish(self._estate),
                *self._only(job, group_arn),
            ),
            opts=self._child,
        )
        return role

    def _only(self, job: str, group_arn: pulumi.Output[str]) -> list[Statement]:
        found = [
            statement(
                "WriteLogs",
                ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                [pulumi.Output.concat(group_arn, ":*")],
            ),
            # The action knows no resources; it tells names only.
            statement("FindLogGroups", ["logs:DescribeLogGroups"], ["*"]),
            statement(
                "KeepLogs", ["s3:PutObject", "s3:GetObject"], self._args.storage.artifacts.below("logs/streaming/")
            ),
        ]
        if "bronze" in layers_of(job):
            read = ["kinesis:DescribeStreamSummary", "kinesis:ListShards", "kinesis:GetShardIterator"]
            found += [
                statement("ReadStreams", [*read, "kinesis:GetRecords"], list(self._args.streams.arns.values())),
                statement("DecryptStreams", READ, [self._args.keys.arn("streams")]),
            ]
        return found


def job_names(estate: Estate) -> tuple[str, ...]:
    """The streaming jobs of the estate, by what each of them is told to run."""
    return (ALL,) if estate.config.compute.together else tuple(WRITES)


def layers_of(job: str) -> tuple[str, ...]:
    """The layers that a streaming job writes."""
    return tuple(WRITES) if job == ALL else (job,)


def _prefixes(job: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the job reads besides what it writes, and what it writes."""
    writes = tuple(prefix for layer in layers_of(job) for prefix in WRITES[layer])
    return tuple(prefix for layer in layers_of(job) for prefix in READS[layer] if prefix not in writes), writes


def job_statements(
    estate: Estate, keys: Keys, storage: Storage, reads: tuple[str, ...], writes: tuple[str, ...]
) -> list[Statement]:
    """What every job on the lake needs: its prefixes, the key, its code."""
    lake, artifacts = storage.lake, storage.artifacts
    prefixes = [prefix for each in (*reads, *writes) for prefix in (each, f"{each}*", each.rstrip("/"))]
    found = [
        statement("WriteOwnPrefixes", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
                  lake.below(*writes)),
        statement("ListPrefixes", ["s3:ListBucket"], [lake.arn], conditions={"StringLike": {"s3:prefix": prefixes}}),
        statement("FindLake", ["s3:GetBucketLocation"], [lake.arn]),
        statement("EncryptLake", WRITE, [keys.arn("lake")]),
        statement("ReadCode", ["s3:GetObject"], artifacts.below("")),
        statement("FindCode", ["s3:GetBucketLocation", "s3:ListBucket"], [artifacts.arn]),
        statement("DecryptCode", WRITE, [keys.arn("artifacts")]),
    ]  # fmt: skip
    if reads:
        found.append(statement("ReadPrefixes", ["s3:GetObject"], lake.below(*reads)))
    return found


def _spark_parameters(config: ComputeConfig) -> str:
    """`spark-submit`'s options: the sizes. A worker's memory is exactly what is configured: Spark would add a tenth to
    the heap, which the largest workers do not have, and Python and Arrow need more than a tenth of the small ones.
    """
    values = {
        "spark.driver.cores": config.driver_cores,
        "spark.driver.memory": f"{config.driver_memory_gb - OVERHEAD_GB}g",
        "spark.driver.memoryOverhead": f"{OVERHEAD_GB}g",
        "spark.executor.cores": config.executor_cores,
        "spark.executor.memory": f"{config.executor_memory_gb - OVERHEAD_GB}g",
        "spark.executor.memoryOverhead": f"{OVERHEAD_GB}g",
        "spark.executor.instances": config.executors,
        "spark.dynamicAllocation.enabled": "false",
    }
    return " ".join(f"--conf {name}={value}" for name, value in values.items())


def _spark_defaults(
    estate: Estate, code: Code, settings: Mapping[str, pulumi.Input[str]]
) -> Mapping[str, pulumi.Input[str]]:
    """What Spark loads; settings reach the driver, and those of S3 and Kinesis the executors too."""
    executors = {VARIABLE: settings[VARIABLE], **dict.fromkeys(REGION_VARIABLES, estate.config.region)}
    return {
        "spark.archives": pulumi.Output.concat(code.environment, f"#{ENVIRONMENT}"),
        "spark.jars": pulumi.Output.concat(DELTA_JARS, ",", code.jars),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        **log_store_settings(),
        "spark.emr-serverless.driverEnv.PYTHONPATH": f"./{ENVIRONMENT}",
        "spark.executorEnv.PYTHONPATH": f"./{ENVIRONMENT}",
        # A release's default is an older Python (docs/adr/0022): the driver, and what it and the executors start.
        **{name: estate.config.compute.python for name in INTERPRETER},
        **{f"spark.emr-serverless.driverEnv.{name}": value for name, value in {**settings, **executors}.items()},
        **{f"spark.executorEnv.{name}": value for name, value in executors.items()},
    }
