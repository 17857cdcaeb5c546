"""The rules that a reviewer would hold the estate to, by family as checkov has them. `RULES` lists them all.

A rule is a function from a program to its faults; `@rule` names the families. What a bad program looks like for each is
in test_policies.py.
"""

from collections.abc import Callable, Iterator, Mapping

from tests.infra.declared import Declared, Program, listed

Faults = Iterator[str]
Rule = Callable[[Program], Faults]
RULES: dict[str, Rule] = {}

BUCKET, ENCRYPTION = "aws:s3/bucket:Bucket", "s3:x-amz-server-side-encryption"
INLINE_IN_BUCKETS = (
    "acl", "corsRules", "grants", "lifecycleRules", "loggings", "objectLockConfiguration", "policy",
    "replicationConfiguration", "serverSideEncryptionConfiguration", "versioning", "website",
)  # fmt: skip


def rule(function: Rule) -> Rule:
    """Puts a rule on the list, under its own name."""
    RULES[function.__name__] = function
    return function


def is_own_key(value: object) -> bool:
    """A customer's key, by ARN: neither none, nor AWS's own (`alias/aws/...`)."""
    return isinstance(value, str) and value.startswith("arn:") and ":key/" in value


@rule
def buckets_are_closed_to_the_public(program: Program) -> Faults:
    """CKV_AWS_53 to 56, CKV2_AWS_6: all four blocks, on every bucket."""
    blocks = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    for bucket in program.of(BUCKET):
        found = program.beside(bucket, "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock")
        if not any(all(block.inputs.get(name) is True for name in blocks) for block in found):
            yield f"{bucket}: public access is not blocked in all four ways"


@rule
def buckets_know_no_acls(program: Program) -> Faults:
    """CKV2_AWS_65, CKV_AWS_20 and 57: the owner of the bucket owns all, so that access lists say nothing."""
    for bucket in program.of(BUCKET):
        controls = program.beside(bucket, "aws:s3/bucketOwnershipControls:BucketOwnershipControls")
        if not any(each.at("rule", "objectOwnership") == "BucketOwnerEnforced" for each in controls):
            yield f"{bucket}: access lists are not switched off"
    for acl in program.of("aws:s3/bucketAcl:BucketAcl"):
        yield f"{acl}: an access list"


@rule
def buckets_are_encrypted_with_our_keys(program: Program) -> Faults:
    """CKV_AWS_19 and 145: KMS with a bucket key. S3's own key only where access logs go: they cannot take another."""
    log_targets = {each.inputs.get("targetBucket") for each in program.of("aws:s3/bucketLogging:BucketLogging")}
    for bucket in program.of(BUCKET):
        rules = [
            each.at("rules", 0)
            for each in program.beside(
                bucket,
                "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
            )
        ]
        defaults = [each.get("applyServerSideEncryptionByDefault", {}) for each in rules if each]
        if bucket.inputs.get("bucket") in log_targets and any(
            each.get("sseAlgorithm") == "AES256" for each in defaults
        ):
            continue
        if not any(
            each.get("sseAlgorithm") == "aws:kms" and is_own_key(each.get("kmsMasterKeyId")) for each in defaults
        ):
            yield f"{bucket}: not encrypted with a key of ours"
        elif not all(each.get("bucketKeyEnabled") is True for each in rules):
            yield f"{bucket}: without a bucket key, every object costs a call of KMS"


@rule
def buckets_keep_versions(program: Program) -> Faults:
    """CKV_AWS_21."""
    for bucket in program.of(BUCKET):
        found = program.beside(bucket, "aws:s3/bucketVersioning:BucketVersioning")
        if not any(each.at("versioningConfiguration", "status") == "Enabled" for each in found):
            yield f"{bucket}: not versioned"


@rule
def buckets_clean_up(program: Program) -> Faults:
    """CKV2_AWS_61, CKV_AWS_300: broken uploads and old versions end at some time."""
    for bucket in program.of(BUCKET):
        found = program.beside(bucket, "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration")
        rules = [each for configuration in found for each in configuration.inputs.get("rules", ())]
        enabled = [each for each in rules if each.get("status") == "Enabled"]
        for name in ("abortIncompleteMultipartUpload", "noncurrentVersionExpiration"):
            if not any(name in each for each in enabled):
                yield f"{bucket}: no lifecycle rule with {name}"


@rule
def delta_tables_never_expire(program: Program) -> Faults:
    """Time travel is Delta's: no lifecycle rule removes or freezes current objects of a table or a checkpoint."""
    tables = ("bronze/", "silver/", "gold/", "rejected/", "checkpoints/")
    lakes = [bucket for bucket in program.of(BUCKET) if "-lake-" in str(bucket.inputs.get("bucket"))]
    for lake in lakes:
        for found in program.beside(lake, "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"):
            for each in found.inputs.get("rules", ()):
                where = each.get("filter") or {}
                prefix = where.get("prefix") or (where.get("and") or {}).get("prefix") or ""
                touches = any(table.startswith(prefix) or prefix.startswith(table) for table in tables)
                frozen = [step.get("storageClass") for step in each.get("transitions") or ()]
                ends = {"days", "date"} & set(each.get("expiration") or {})
                if touches and (ends or {"GLACIER", "DEEP_ARCHIVE"} & set(frozen)):
                    yield f"{found}: rule {each.get('id')} takes current objects from Delta tables"


@rule
def buckets_log_their_access(program: Program) -> Faults:
    """CKV_AWS_18: every bucket but the one that the logs go to."""
    targets = {each.inputs.get("targetBucket") for each in program.of("aws:s3/bucketLogging:BucketLogging")}
    for bucket in program.of(BUCKET):
        logs = program.beside(bucket, "aws:s3/bucketLogging:BucketLogging")
        if not logs and bucket.inputs.get("bucket") not in targets:
            yield f"{bucket}: access is not logged"


@rule
def buckets_refuse_plain_http(program: Program) -> Faults:
    """CKV_AWS_379: a bucket policy that denies everything to everybody without TLS."""
    for bucket in program.of(BUCKET):
        policies = program.beside(bucket, "aws:s3/bucketPolicy:BucketPolicy")
        if not any(_denies_plain_http(policy, program) for policy in policies):
            yield f"{bucket}: plain HTTP is not refused"


def _denies_plain_http(policy: Declared, program: Program) -> bool:
    refused = {"Bool": {"aws:SecureTransport": "false"}}
    return any(
        each["Effect"] == "Deny" and each.get("Principal") in ("*", {"AWS": "*"}) and each.get("Condition") == refused
        for resource, _, each in program.statements()
        if resource is policy
    )


@rule
def buckets_refuse_other_encryption(program: Program) -> Faults:
    """CKV_AWS_145 as a policy: a default is no rule. Where a key of ours is the default, nobody may put with another
    kind of encryption or another key.
    """
    kind = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    for bucket in program.of(BUCKET):
        defaults = [each.at("rules", 0, "applyServerSideEncryptionByDefault") for each in program.beside(bucket, kind)]
        keys = [each["kmsMasterKeyId"] for each in defaults if each and each.get("kmsMasterKeyId")]
        refused = [
            (operator, condition, wanted)
            for policy in program.beside(bucket, "aws:s3/bucketPolicy:BucketPolicy")
            for resource, _, each in program.statements()
            if resource is policy and each["Effect"] == "Deny" and "s3:PutObject" in listed(each["Action"])
            and each.get("Principal") in ("*", {"AWS": "*"})
            for operator, conditions in (each.get("Condition") or {}).items()
            for condition, wanted in conditions.items()
        ]  # fmt: skip
        for key in keys:
            needed = {
                "kind of encryption": ("StringNotEqualsIfExists", ENCRYPTION, "aws:kms"),
                "key": ("ArnNotEqualsIfExists", f"{ENCRYPTION}-aws-kms-key-id", key),
            }
            for what, condition in needed.items():
                if condition not in refused:
                    yield f"{bucket}: another {what} is not refused"


@rule
def buckets_have_no_inline_settings(program: Program) -> Faults:
    """pulumi-aws 7: a bucket's settings are resources of their own; inline ones fight with them."""
    for bucket in program.of(BUCKET):
        for name in INLINE_IN_BUCKETS:
            if bucket.inputs.get(name):
                yield f"{bucket}: {name} is set inline"


@rule
def keys_rotate(program: Program) -> Faults:
    """CKV_AWS_7, and time to change one's mind before a key is gone."""
    for key in program.of("aws:kms/key:Key"):
        if key.inputs.get("enableKeyRotation") is not True:
            yield f"{key}: does not rotate"
        if (key.inputs.get("deletionWindowInDays") or 0) < 30:
            yield f"{key}: deleted in less than 30 days"


@rule
def everything_at_rest_is_under_our_keys(program: Program) -> Faults:
    """CKV_AWS_43, 158, 26, 27, 119, 149, 35, 240, 241 and others: the key of each thing that holds data is ours."""
    for resource in program.resources:
        for path in KEY_OF.get(resource.type, ()):
            if not is_own_key(resource.at(*path)):
                yield f"{resource}: {'.'.join(map(str, path))} is no key of ours"


KEY_OF: Mapping[str, tuple[tuple[str | int, ...], ...]] = {
    "aws:kinesis/stream:Stream": (("kmsKeyId",),),
    "aws:kinesis/firehoseDeliveryStream:FirehoseDeliveryStream": (("extendedS3Configuration", "kmsKeyArn"),),
    "aws:cloudwatch/logGroup:LogGroup": (("kmsKeyId",),),
    "aws:sns/topic:Topic": (("kmsMasterKeyId",),),
    "aws:sqs/queue:Queue": (("kmsMasterKeyId",),),
    "aws:secretsmanager/secret:Secret": (("kmsKeyId",),),
    "aws:cloudtrail/trail:Trail": (("kmsKeyId",),),
    "aws:redshiftserverless/namespace:Namespace": (("kmsKeyId",),),
    "aws:athena/workgroup:Workgroup": (
        ("configuration", "resultConfiguration", "encryptionConfiguration", "kmsKeyArn"),
    ),
    "aws:glue/dataCatalogEncryptionSettings:DataCatalogEncryptionSettings": (
        ("dataCatalogEncryptionSettings", "encryptionAtRest", "sseAwsKmsKeyId"),
        ("dataCatalogEncryptionSettings", "connectionPasswordEncryption", "awsKmsKeyId"),
    ),
    "aws:glue/securityConfiguration:SecurityConfiguration": (
        ("encryptionConfiguration", "cloudwatchEncryption", "kmsKeyArn"),
        ("encryptionConfiguration", "jobBookmarksEncryption", "kmsKeyArn"),
        ("encryptionConfiguration", "s3Encryption", "kmsKeyArn"),
    ),
}


@rule
def kinesis_says_kms(program: Program) -> Faults:
    """CKV_AWS_43: a key id alone does nothing while the encryption type is NONE."""
    for stream in program.of("aws:kinesis/stream:Stream"):
        if stream.inputs.get("encryptionType") != "KMS":
            yield f"{stream}: not encrypted"


@rule
def the_catalog_is_encrypted(program: Program) -> Faults:
    """CKV_AWS_94: a program with Glue databases encrypts the catalog."""
    kind = "aws:glue/dataCatalogEncryptionSettings:DataCatalogEncryptionSettings"
    if any(program.of("aws:glue/catalogDatabase:CatalogDatabase")) and not any(
        each.at("dataCatalogEncryptionSettings", "encryptionAtRest", "catalogEncryptionMode") == "SSE-KMS"
        for each in program.of(kind)
    ):
        yield f"{kind}: the catalog is not encrypted"


@rule
def no_password_is_written_down(program: Program) -> Faults:
    """CKV_AWS_41, 45, 46: no secret in the program; AWS makes and keeps passwords."""
    for resource in program.resources:
        for name in ("adminUserPassword", "masterPassword", "password", "secretString"):
            if resource.inputs.get(name) is not None:
                yield f"{resource}: {name} is in the program"
