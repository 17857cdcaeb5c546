"""Where everything lies: the buckets of the lake."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.bucket import Bucket, BucketArgs, LifecycleRule
from infra.documents import Statement, statement
from infra.estate import Estate
from infra.keys import Keys

PREFIXES = ("bronze/", "silver/", "gold/", "rejected/", "checkpoints/", "archive/")
TEMPORARY_DAYS = 7


@dataclass(frozen=True)
class StorageArgs:
    """What the storage builds on."""

    estate: Estate
    keys: Keys


class Storage(pulumi.ComponentResource):
    """The buckets `lake`, `landing`, `artifacts`, `query-results`, `audit` and `access-logs`.

    Delta removes its own old files (`lakehouse maintain`): no rule expires a current object of a table, for that would
    break time travel. Costs 0.023 USD a GB and month, less once bronze moves to a cheaper class.
    """

    def __init__(self, name: str, args: StorageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("lakehouse:estate:Storage", name, None, opts)
        estate, keys = args.estate, args.keys
        retention = estate.config.retention
        child = pulumi.ResourceOptions(parent=self)
        self.access_logs = Bucket(
            f"{name}-access-logs",
            BucketArgs(estate, "access-logs", None, None, [_expire("", retention.audit)],
                       [_log_delivery(estate)], "restricted"),
            child,
        )  # fmt: skip
        logs = self.access_logs
        self.lake = Bucket(
            f"{name}-lake",
            BucketArgs(estate, "lake", keys.arn("lake"), logs, _lake_rules(estate), (), "pii"),
            child,
        )
        self.landing = Bucket(
            f"{name}-landing",
            BucketArgs(estate, "landing", keys.arn("landing"), logs, (), (), "pii"),
            child,
        )
        self.artifacts = Bucket(
            f"{name}-artifacts",
            BucketArgs(estate, "artifacts", keys.arn("artifacts"), logs,
                       [_expire("logs/", retention.logs), _expire("temporary/", TEMPORARY_DAYS)]),
            child,
        )  # fmt: skip
        self.query_results = Bucket(
            f"{name}-query-results",
            BucketArgs(estate, "query-results", keys.arn("lake"), logs, [_expire("", 30)], (), "pii"),
            child,
        )
        lock = retention.audit if estate.config.switches.object_lock else None
        self.audit = Bucket(
            f"{name}-audit",
            BucketArgs(estate, "audit", keys.arn("audit"), logs, [_expire("", retention.audit)],
                       _trail_delivery(estate), "restricted", lock_days=lock),
            child,
        )  # fmt: skip
        self.register_outputs({"lake": self.lake.name, "landing": self.landing.name})


def _lake_rules(estate: Estate) -> list[LifecycleRule]:
    """Bronze is read once and kept: its files get cheaper. S3 moves no object below 128 KB, as most of its log is."""
    days = estate.config.retention.bronze_to_infrequent_access
    transition = aws.s3.BucketLifecycleConfigurationRuleTransitionArgs(days=days, storage_class="STANDARD_IA")
    bronze = LifecycleRule(
        id="bronze-to-infrequent-access",
        status="Enabled",
        filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix="bronze/"),
        transitions=[transition],
    )
    return [bronze, _expire("archive/", estate.config.retention.archive)]


def _expire(prefix: str, days: int) -> LifecycleRule:
    return LifecycleRule(
        id=f"expire-{prefix.strip('/') or 'all'}",
        status="Enabled",
        filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=prefix),
        expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(days=days),
    )


def _log_delivery(estate: Estate) -> Statement:
    bucket = pulumi.Output.concat("arn:", estate.partition, ":s3:::", estate.bucket_name("access-logs"), "/*")
    delivery = statement(
        "AccessLogDelivery",
        ["s3:PutObject"],
        [bucket],
        principals={"Service": "logging.s3.amazonaws.com"},
        conditions={"StringEquals": {"aws:SourceAccount": estate.account_id}},
    )
    # One resource, not a list of one: what checks a target before it takes logs may compare it as text.
    return {**delivery, "Resource": bucket}


def _trail_delivery(estate: Estate) -> list[Statement]:
    """What CloudTrail asks for before it writes to a bucket."""
    bucket = pulumi.Output.concat("arn:", estate.partition, ":s3:::", estate.bucket_name("audit"))
    objects = pulumi.Output.concat(bucket, "/cloudtrail/AWSLogs/", estate.account_id, "/*")
    trail = {"aws:SourceArn": estate.arn("cloudtrail", f"trail/{estate.global_name('audit')}")}
    service = {"Service": "cloudtrail.amazonaws.com"}
    return [
        statement("TrailLooksAtBucket", ["s3:GetBucketAcl"], [bucket], principals=service,
                  conditions={"StringEquals": trail}),
        statement("TrailDelivers", ["s3:PutObject"], [objects], principals=service,
                  conditions={"StringEquals": {**trail, "s3:x-amz-acl": "bucket-owner-full-control"}}),
    ]  # fmt: skip
