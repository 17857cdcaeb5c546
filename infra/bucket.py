"""One bucket as every bucket here is: private, encrypted with its domain's key, versioned, over TLS only, logged."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import pulumi
import pulumi_aws as aws

from infra.documents import Statement, document, statement
from infra.estate import Estate
from infra.regions import short_name

# Where in their bucket access logs lie; the table over them knows it (`infra/audit.py`).
ACCESS_PREFIX = "access/"
LifecycleRule = aws.s3.BucketLifecycleConfigurationRuleArgs


@dataclass(frozen=True)
class BucketArgs:
    """What differs from bucket to bucket.

    `purpose` ends its name. `key_arn` None means S3's own key (the target of access logs cannot have another).
    `log_to` is the bucket for its access logs. `statements` are added to the policy that all buckets have.
    """

    estate: Estate
    purpose: str
    key_arn: pulumi.Input[str] | None
    log_to: "Bucket | None"
    rules: Sequence[LifecycleRule] = ()
    statements: Sequence[Statement] = ()
    classification: str = "internal"
    lock_days: int | None = None


class Bucket(pulumi.ComponentResource):
    """A private, encrypted, versioned bucket with a policy that refuses plain HTTP and other encryption.

    Costs what S3 costs for what lies in it, old versions included.
    """

    name: pulumi.Output[str]
    arn: pulumi.Output[str]
    uri: pulumi.Output[str]

    def __init__(self, name: str, args: BucketArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("lakehouse:estate:Bucket", name, None, opts)
        estate = args.estate
        # What protects the data stays with it: an open or unencrypted bucket of personal data must not be left behind.
        identity = f"{estate.name(args.purpose)}-{{account}}-{short_name(estate.config.region)}"
        kept = partial(estate.keeps_data, self, identity)
        self.resource = aws.s3.Bucket(
            name,
            bucket=estate.bucket_name(args.purpose),
            force_destroy=estate.config.data_may_go,
            tags={"data-classification": args.classification},
            # The lock below puts itself on a bucket that exists. Set here, it would make another bucket of that name.
            opts=kept(ignore_changes=["objectLockEnabled"]),
        )
        self.name, self.arn = self.resource.bucket, self.resource.arn
        self.uri = pulumi.Output.concat("s3://", self.name)
        block = aws.s3.BucketPublicAccessBlock(
            name,
            bucket=self.resource.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=kept(),
        )
        aws.s3.BucketOwnershipControls(
            name,
            bucket=self.resource.id,
            rule=aws.s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
            opts=kept(),
        )
        versioning = aws.s3.BucketVersioning(
            name,
            bucket=self.resource.id,
            versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=kept(),
        )
        self._encrypt(name, args, kept())
        aws.s3.BucketLifecycleConfiguration(
            name,
            bucket=self.resource.id,
            rules=[*args.rules, *_housekeeping(estate)],
            # Rules for old versions want versioning first.
            opts=kept(depends_on=[versioning]),
        )
        self.policy = aws.s3.BucketPolicy(
            name,
            bucket=self.resource.id,
            policy=document(*args.statements, *_refusals(self.arn, args.key_arn)),
            # A policy and the block of public ones cannot be put at the same time.
            opts=kept(depends_on=[block]),
        )
        if args.log_to is not None:
            aws.s3.BucketLogging(
                name,
                bucket=self.resource.id,
                target_bucket=args.log_to.name,
                target_prefix=ACCESS_PREFIX,
                target_object_key_format=_by_day(),
                # S3 refuses a target whose policy does not yet let the log service in.
                opts=kept(depends_on=[args.log_to.policy]),
            )
        if args.lock_days is not None:
            aws.s3.BucketObjectLockConfiguration(
                name,
                bucket=self.resource.id,
                object_lock_enabled="Enabled",
                rule=aws.s3.BucketObjectLockConfigurationRuleArgs(
                    default_retention=aws.s3.BucketObjectLockConfigurationRuleDefaultRetentionArgs(
                        mode="GOVERNANCE", days=args.lock_days
                    )
                ),
                opts=kept(depends_on=[versioning]),
            )
        self.register_outputs({"name": self.name, "arn": self.arn})

    def _encrypt(self, name: str, args: BucketArgs, opts: pulumi.ResourceOptions) -> None:
        algorithm = "AES256" if args.key_arn is None else "aws:kms"
        default = aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
            sse_algorithm=algorithm, kms_master_key_id=args.key_arn
        )
        rule = aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
            apply_server_side_encryption_by_default=default, bucket_key_enabled=args.key_arn is not None
        )
        aws.s3.BucketServerSideEncryptionConfiguration(name, bucket=self.resource.id, rules=[rule], opts=opts)

    def below(self, *prefixes: str) -> list[pulumi.Output[str]]:
        """The ARNs of all objects under these prefixes."""
        return [pulumi.Output.concat(self.arn, f"/{prefix}*") for prefix in prefixes]


def _by_day() -> aws.s3.BucketLoggingTargetObjectKeyFormatArgs:
    """Folders `<account>/<Region>/<bucket>/<yyyy>/<MM>/<dd>/` below the prefix, by when the request was."""
    by_event = aws.s3.BucketLoggingTargetObjectKeyFormatPartitionedPrefixArgs(partition_date_source="EventTime")
    return aws.s3.BucketLoggingTargetObjectKeyFormatArgs(partitioned_prefix=by_event)


def _refusals(arn: pulumi.Input[str], key_arn: pulumi.Input[str] | None) -> list[Statement]:
    """Plain HTTP for everybody; of what is put, another kind of encryption or another key than the default's."""
    objects = pulumi.Output.concat(arn, "/*")
    plain = {"Bool": {"aws:SecureTransport": "false"}}
    found = [statement("RefusePlainHttp", ["s3:*"], [arn, objects], effect="Deny", principals="*", conditions=plain)]
    if key_arn is not None:
        other_kind: dict[str, dict[str, object]] = {
            "StringNotEqualsIfExists": {"s3:x-amz-server-side-encryption": "aws:kms"},
            "Null": {"s3:x-amz-server-side-encryption": "false"},
        }
        other_key: dict[str, dict[str, object]] = {
            "ArnNotEqualsIfExists": {"s3:x-amz-server-side-encryption-aws-kms-key-id": key_arn},
            "Null": {"s3:x-amz-server-side-encryption-aws-kms-key-id": "false"},
        }
        put = ["s3:PutObject"]
        found.append(statement("RefuseOtherEncryption", put, [objects], effect="Deny", principals="*",
                               conditions=other_kind))  # fmt: skip
        found.append(statement("RefuseOtherKeys", put, [objects], effect="Deny", principals="*",
                               conditions=other_key))  # fmt: skip
    return found


def _housekeeping(estate: Estate) -> list[LifecycleRule]:
    """What every bucket gets: broken uploads and old versions go, and of what was deleted the marker once no version is
    left behind it, else listing a table gets slower for ever. No current object is ever touched here.
    """
    return [
        LifecycleRule(
            id="remove-broken-uploads",
            status="Enabled",
            filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
            abort_incomplete_multipart_upload=aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
                days_after_initiation=7
            ),
        ),
        LifecycleRule(
            id="remove-old-versions",
            status="Enabled",
            filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
            noncurrent_version_expiration=aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                noncurrent_days=estate.config.retention.noncurrent_versions
            ),
            expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(expired_object_delete_marker=True),
        ),
    ]
