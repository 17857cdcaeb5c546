"""The estate's configuration: every value of `Pulumi.<stack>.yaml`, typed, with a default that makes a cheap stack.

A wrong value fails here, before any resource is touched, with its key, the value and what is allowed.
"""

import json
from collections.abc import Collection
from typing import Annotated, Literal, Self

import pulumi
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from infra.config_values import Arn, Cidr, Client, Email, GroupId, Name, Region, RunbooksUrl, ZoneId, number
from infra.regions import short_name
from lakehouse.errors import LakehouseError

WAREHOUSE_ZONES = 3
# Of S3. A role's name may have 64 characters, and none of ours is longer than the longest of a bucket.
BUCKET_NAME_LENGTH, ACCOUNT_ID_LENGTH, LONGEST_PURPOSE = 63, 12, "query-results"
# By vCPU: least, most and step of a worker's memory. One core could have 2 GB, but Spark is given 2 less than that.
WORKER_MEMORY_GB = {1: (4, 8, 1), 2: (4, 16, 1), 4: (8, 30, 1), 8: (16, 60, 4), 16: (32, 120, 8)}
KEY_PREFIX = "shopware-lakehouse"


class ConfigurationError(LakehouseError):
    """A configuration value that cannot be used; the message names key, value and what is allowed."""


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Switches(Section):
    """Parts of the estate that can be left out. Off saves what `docs/cost.md` says and costs the feature."""

    warehouse: bool = Field(False, description="Redshift Serverless with Spectrum over gold and silver.")
    archive: bool = Field(True, description="Firehose's raw copy of every stream, which a replay reads.")
    trail: bool = Field(True, description="CloudTrail with S3 data events, and the tables over it.")
    dashboards: bool = Field(True, description="CloudWatch dashboards, one a team and one for the pipeline.")
    fan_out: bool = Field(
        False,
        description="A consumer with 2 MB/s a shard of its own on each stream, for a reader of yours: "
        "the jobs here and Firehose share what every stream has and use none. It costs even while nobody reads.",
    )
    object_lock: bool = Field(False, description="Audit objects cannot be removed before their retention ends.")
    streaming_jobs: bool = Field(True, description="Start the streaming jobs; off: the application only.")


class Streams(Section):
    """Capacity of the Kinesis streams."""

    shards: int = Field(0, ge=0, le=500, description="Shards of each stream; 0: on demand, which needs no thought.")
    retention_hours: int = Field(24, ge=24, le=8760, description="How long a record can still be read.")


class Compute(Section):
    """The EMR Serverless application and its jobs."""

    release: str = Field("emr-spark-8.1.0", pattern=r"^emr-[a-z0-9.-]+$", description="Spark 4.1, Delta 4.2, Java 17.")
    python: str = Field(
        "python3.13",
        pattern=r"^((\./|/)([A-Za-z0-9._-]+/)*)?python3[0-9.]*$",
        description="The interpreter of driver and executors: a name or path in the release's image, or a path in the "
        "job's archive (./environment/…). The packages of `make package` are for Python 3.13.",
    )
    driver_cores: Literal[1, 2, 4, 8, 16] = Field(2, description="Cores of each job's driver.")
    driver_memory_gb: int = Field(8, ge=2, le=120, description="Memory of each job's driver, in GB.")
    executor_cores: Literal[1, 2, 4, 8, 16] = Field(1, description="Cores of an executor.")
    executor_memory_gb: int = Field(4, ge=2, le=120, description="Memory of an executor, in GB.")
    executors: int = Field(1, ge=1, le=200, description="Most executors of a job.")
    warm_workers: int = Field(0, ge=0, le=50, description="Pre-initialised workers of each kind; they cost all day.")
    maximum_cores: int = Field(8, ge=4, le=4000, description="Most cores of the whole application.")
    together: bool = Field(
        True, description="One job for all layers: a third of the cost. Off: a job and a role for each layer."
    )
    trigger_seconds: float = Field(60.0, ge=0, le=3600, description="Shortest time between two micro-batches.")

    @model_validator(mode="after")
    def _sizes(self) -> Self:
        for kind in ("driver", "executor"):
            cores, memory = getattr(self, f"{kind}_cores"), getattr(self, f"{kind}_memory_gb")
            least, most, step = WORKER_MEMORY_GB[cores]
            if memory not in range(least, most + 1, step):
                raise ValueError(
                    f"{kind}_memory_gb is {memory}: EMR Serverless gives a worker of {cores} vCPU {least} to {most} GB "
                    f"in steps of {step}"
                )
        return self


TIMEOUT = "After this a run is ended, and tried again."


class GlueJob(Section):
    """How large a batch job is, and how long it may take."""

    workers: int = Field(2, ge=2, le=299, description="Workers of the job, the driver's among them.")
    worker_type: Literal["G.1X", "G.2X", "G.4X", "G.8X"] = Field("G.1X", description="1, 2, 4 or 8 DPU a worker.")
    timeout_minutes: int = Field(60, ge=5, le=1440, description=TIMEOUT)


class Maintenance(GlueJob):
    """The upkeep of all tables, one after the other."""

    timeout_minutes: int = Field(120, ge=5, le=1440, description=TIMEOUT)


class Proof(GlueJob):
    """The reconciliation of all that is kept."""

    timeout_minutes: int = Field(180, ge=5, le=1440, description=TIMEOUT)


class Batch(Section):
    """The Glue jobs."""

    sources: GlueJob = Field(GlueJob(), description="Each job that takes in files.")
    maintenance: Maintenance = Field(Maintenance(), description="The nightly upkeep of the tables.")
    reconcile: Proof = Field(
        Proof(),
        description="The proof. It reads all of bronze, silver and gold: it grows with what is kept, not with a day.",
    )
    reconcile_schedule: str = Field(
        "cron(30 4 * * ? *)",
        pattern=r"^cron\([0-9A-Za-z*/?,#L -]+\)$",
        description="When the proof runs, in UTC; weekly, on Sundays: cron(30 4 ? * SUN *).",
    )


class Retention(Section):
    """How long things are kept, in days."""

    bronze_to_infrequent_access: int = Field(90, ge=30, le=3650, description="Bronze moves to a cheaper class.")
    noncurrent_versions: int = Field(30, ge=1, le=365, description="Overwritten and deleted objects stay readable.")
    archive: int = Field(
        400, ge=30, le=3650, description="Firehose's raw copy, personal data with it: an erasure does not reach it."
    )
    audit: int = Field(400, ge=90, le=3653, description="CloudTrail and access logs.")
    logs: Literal[7, 14, 30, 60, 90, 180, 365] = Field(30, description="CloudWatch log groups.")
    time_travel: int = Field(30, ge=7, le=365, description="Delta: how far back a table can be read.")


class EstateConfig(Section):
    """All that a stack can configure; `Pulumi.dev.yaml` and `Pulumi.prod.yaml` are the two that are committed."""

    environment: Name = Field("dev", description="Part of every name and tag.")
    region: str = Field("eu-central-1", pattern=r"^[a-z]{2}(-gov)?-[a-z]+-\d$", description="Where all of it lies.")
    name: Name = Field("shopware-lakehouse", description="First part of every name.")
    owner: str = Field("data-platform", min_length=1, max_length=64, description="Tag: who answers for the estate.")
    cost_centre: str = Field("shared", min_length=1, max_length=64, description="Tag: who pays.")
    vpc_cidr: Cidr = Field("10.42.0.0/16", description="Address range of the private network.")
    availability_zones: int = Field(1, ge=1, le=3, description="Zones that the private subnets span.")
    availability_zone_ids: tuple[ZoneId, ...] = Field(
        (),
        description="The zones of the subnets by id, such as euc1-az2, in order. None: the first of the Region's "
        "ordinary zones. A subnet that is there stays where it is.",
    )
    alarm_emails: tuple[Email, ...] = Field((), description="Who gets alarms and budget alerts.")
    runbooks_url: RunbooksUrl = Field(
        "https://git.example.com/shopware-lakehouse/blob/main/docs/runbooks",
        description="Where docs/runbooks of your copy of this repository can be read: mails of alarms link there.",
    )
    administrators: tuple[Arn, ...] = Field(
        (),
        description="IAM roles that administer Lake Formation, in place of any others: with the one that runs "
        "`pulumi up`, which grants. None: whoever runs it.",
    )
    catalog_key: Arn | None = Field(
        None,
        description="The key of the Glue catalog, where another stack of the same account and Region made it. That "
        "one's settings of Lake Formation and of the catalog, which an account has once, then stay.",
    )
    team_principals: dict[str, tuple[Arn, ...]] = Field(
        {}, description="Who may take a team's role: team (as in the contracts) to IAM roles; none: nobody."
    )
    team_groups: dict[str, tuple[GroupId, ...]] = Field(
        {}, description="IAM Identity Center groups that may read what a team may: team to group ids."
    )
    identity_center: Arn | None = Field(None, description="The IAM Identity Center instance of these groups.")
    team_regions: dict[str, tuple[Region, ...]] = Field(
        {}, description="Teams that see only the rows of some regions: team to regions, as the stores have them."
    )
    auditors: tuple[Arn, ...] = Field((), description="IAM roles that may take the auditors' role; none: nobody.")
    monthly_budget_usd: int = Field(800, ge=1, description="The budget behind the cost alerts.")
    redshift_base_capacity: Annotated[Literal[4, 8, 16, 32, 64, 128], BeforeValidator(number)] = Field(
        8, description="RPUs of the warehouse."
    )
    warehouse_clients: tuple[Client, ...] = Field(
        (), description="Who may connect to the warehouse: security groups and private address ranges; none: nobody."
    )
    redshift_hours_a_day: int = Field(4, ge=1, le=24, description="RPU hours a day before queries are refused.")
    athena_scan_limit_gb: int = Field(10, ge=1, le=10_000, description="Most that one Athena query may read.")
    audit_scan_limit_gb: int = Field(
        200, ge=1, le=10_000, description="Most that one query of auditors may read: a month of the trail, compressed."
    )
    adopt: bool = Field(False, description="Take over what `pulumi destroy` left here; for one `pulumi up`, then off.")
    allow_data_loss: str = Field("", description="The environment's name, to let `pulumi destroy` remove data.")
    confirm_data_loss: bool = Field(False, description="The second setting that removing data needs.")
    streams: Streams = Streams()
    compute: Compute = Compute()
    batch: Batch = Batch()
    retention: Retention = Retention()
    switches: Switches = Switches()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.allow_data_loss and self.allow_data_loss != self.environment:
            raise ValueError(
                f"allow_data_loss is {self.allow_data_loss!r}, this environment is {self.environment!r}: give its name"
            )
        if self.team_groups and self.identity_center is None:
            raise ValueError("team_groups needs identity_center: give the ARN of the IAM Identity Center instance")
        together = len(f"{self.name}-{self.environment}")
        longest = BUCKET_NAME_LENGTH - len(f"-{LONGEST_PURPOSE}-{ACCOUNT_ID_LENGTH * '0'}-{short_name(self.region)}")
        if together > longest:
            raise ValueError(
                f"environment and name make {self.name}-{self.environment}, of {together} characters: in {self.region} "
                f"they may have {longest} together, so that a bucket's name has no more than {BUCKET_NAME_LENGTH}"
            )
        if self.availability_zone_ids and len(self.availability_zone_ids) < self.subnet_zones:
            raise ValueError(
                f"availability_zone_ids names {len(self.availability_zone_ids)} zones, the subnets need "
                f"{self.subnet_zones} (availability_zones; the warehouse needs {WAREHOUSE_ZONES}): name as many"
            )
        return self

    @property
    def subnet_zones(self) -> int:
        """The zones with a subnet: Redshift Serverless takes no workgroup in fewer than three."""
        return max(self.availability_zones, WAREHOUSE_ZONES if self.switches.warehouse else 0)

    @property
    def data_may_go(self) -> bool:
        """Whether `pulumi destroy` removes buckets, keys and tables with data in them."""
        return self.confirm_data_loss and self.allow_data_loss == self.environment


def load(config: pulumi.Config, region: str | None, teams: Collection[str]) -> EstateConfig:
    """The configuration of this stack; `region` is `aws:region` where that is set, `teams` those of the contracts.

    Raises ConfigurationError naming each wrong key, its value and what is allowed.
    """
    given = {field: value for field in EstateConfig.model_fields if (value := _value(config, field)) is not None}
    if region is not None:
        given.setdefault("region", region)
    try:
        found = EstateConfig.model_validate(given)
    except ValidationError as error:
        faults = "; ".join(
            f"{KEY_PREFIX}:{'.'.join(map(str, fault['loc']))} = {fault['input']!r}: {fault['msg']}"
            for fault in error.errors()
        )
        raise ConfigurationError(f"wrong configuration: {faults} (`pulumi config set --path` mends it)") from error
    for field in ("team_principals", "team_groups", "team_regions"):
        for unknown in sorted(set(getattr(found, field)) - set(teams)):
            raise ConfigurationError(
                f"wrong configuration: {KEY_PREFIX}:{field}.{unknown}: no contract names such a team; there are "
                f"{', '.join(sorted(teams))} (`pulumi config set --path` mends it)"
            )
    return found


def _value(config: pulumi.Config, name: str) -> object:
    """A configured value: YAML structures come as JSON text, plain words as they are; an empty one is none."""
    text = config.get(name)
    if not text:
        return None
    if text[:1] not in ("{", "["):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
