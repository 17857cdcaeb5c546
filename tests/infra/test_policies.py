"""The policy suite: the whole program breaks none of the rules, and each rule finds a bad example of its own."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.infra import access_rules as access_rules  # puts its rules on the list
from tests.infra.declared import Declared, Program
from tests.infra.policy_rules import RULES
from tests.infra.recorded_program import STACKS, with_everything

KEY = "arn:aws:kms:eu-central-1:123456789012:key/1"
BUCKET = Declared("aws:s3/bucket:Bucket", "b", {"bucket": "x-lake-1"}, "b-id")


def role_policy(**statement: object) -> Declared:
    return with_policy("aws:iam/rolePolicy:RolePolicy", "policy", **statement)


def with_policy(kind: str, name: str, **statement: object) -> Declared:
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}
    return Declared(kind, "bad", {name: json.dumps(document)})


def of(kind: str, **inputs: object) -> Declared:
    return Declared(kind, "bad", inputs, "bad-id")


def lifecycle(rule: Mapping[str, Any]) -> Declared:
    kind = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
    return of(kind, bucket="b-id", rules=[{"status": "Enabled", **rule}])


def bucket_policy(*statements: Mapping[str, Any]) -> Declared:
    return of("aws:s3/bucketPolicy:BucketPolicy", bucket="b-id", policy=json.dumps({"Statement": statements}))


def in_kms() -> list[Declared]:
    """The bucket's default encryption."""
    kind = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    default = {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": KEY}
    rules = [{"applyServerSideEncryptionByDefault": default, "bucketKeyEnabled": True}]
    return [of(kind, bucket="b-id", rules=rules)]


REFUSED = {"Effect": "Deny", "Principal": "*", "Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::x-lake-1/*"]}
REFUSE_OTHER_ENCRYPTION = {
    **REFUSED, "Condition": {"StringNotEqualsIfExists": {"s3:x-amz-server-side-encryption": "aws:kms"}},
}  # fmt: skip
REFUSE_OTHER_KEYS = {
    **REFUSED, "Condition": {"ArnNotEqualsIfExists": {"s3:x-amz-server-side-encryption-aws-kms-key-id": KEY}},
}  # fmt: skip
OTHER_BUCKETS_KEY = {
    **REFUSED, "Condition": {"ArnNotEqualsIfExists": {"s3:x-amz-server-side-encryption-aws-kms-key-id": f"{KEY}2"}},
}  # fmt: skip


# For every rule: programs that a reviewer would send back, each for one reason.
BAD: Mapping[str, Sequence[Sequence[Declared]]] = {
    "buckets_are_closed_to_the_public": [
        [BUCKET],
        [BUCKET, of("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", bucket="b-id", blockPublicAcls=True)],
    ],
    "buckets_know_no_acls": [[BUCKET], [of("aws:s3/bucketAcl:BucketAcl", acl="private")]],
    "buckets_are_encrypted_with_our_keys": [
        [BUCKET],
        [
            BUCKET,
            of(
                "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
                bucket="b-id",
                rules=[{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}],
            ),
        ],
        [
            BUCKET,
            of(
                "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
                bucket="b-id",
                rules=[{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": KEY}}],
            ),
        ],
    ],
    "buckets_keep_versions": [
        [BUCKET],
        [
            BUCKET,
            of(
                "aws:s3/bucketVersioning:BucketVersioning",
                bucket="b-id",
                versioningConfiguration={"status": "Suspended"},
            ),
        ],
    ],
    "buckets_clean_up": [[BUCKET], [BUCKET, lifecycle({"abortIncompleteMultipartUpload": {}, "status": "Disabled"})]],
    "delta_tables_never_expire": [
        [BUCKET, lifecycle({"filter": {"prefix": "silver/"}, "expiration": {"days": 9}})],
        [BUCKET, lifecycle({"filter": {"prefix": ""}, "expiration": {"days": 9}})],
        [BUCKET, lifecycle({"filter": {"prefix": "bronze/"}, "transitions": [{"storageClass": "GLACIER"}]})],
    ],
    "buckets_log_their_access": [[BUCKET]],
    "buckets_refuse_plain_http": [
        [BUCKET],
        [BUCKET, of("aws:s3/bucketPolicy:BucketPolicy", bucket="b-id", policy=json.dumps({"Statement": []}))],
    ],
    "buckets_refuse_other_encryption": [
        [BUCKET, *in_kms(), bucket_policy(REFUSE_OTHER_KEYS)],
        [BUCKET, *in_kms(), bucket_policy(REFUSE_OTHER_ENCRYPTION)],
        [BUCKET, *in_kms(), bucket_policy(REFUSE_OTHER_ENCRYPTION, {**REFUSE_OTHER_KEYS, "Effect": "Allow"})],
        [BUCKET, *in_kms(), bucket_policy(REFUSE_OTHER_ENCRYPTION, OTHER_BUCKETS_KEY)],
    ],
    "buckets_have_no_inline_settings": [[of("aws:s3/bucket:Bucket", acl="private")]],
    "keys_rotate": [
        [of("aws:kms/key:Key", deletionWindowInDays=30)],
        [of("aws:kms/key:Key", enableKeyRotation=True, deletionWindowInDays=7)],
    ],
    "everything_at_rest_is_under_our_keys": [
        [of("aws:kinesis/stream:Stream", kmsKeyId="alias/aws/kinesis")],
        [of("aws:cloudwatch/logGroup:LogGroup", retentionInDays=30)],
        [of("aws:sns/topic:Topic", kmsMasterKeyId="alias/aws/sns")],
        [of("aws:cloudtrail/trail:Trail")],
        [of("aws:redshiftserverless/namespace:Namespace")],
        [of("aws:athena/workgroup:Workgroup", configuration={"resultConfiguration": {}})],
        [of("aws:glue/securityConfiguration:SecurityConfiguration", encryptionConfiguration={})],
    ],
    "kinesis_says_kms": [[of("aws:kinesis/stream:Stream", kmsKeyId=KEY)]],
    "the_catalog_is_encrypted": [[of("aws:glue/catalogDatabase:CatalogDatabase")]],
    "no_password_is_written_down": [
        [of("aws:redshiftserverless/namespace:Namespace", adminUserPassword="hunter2")],
        [of("aws:secretsmanager/secretVersion:SecretVersion", secretString="hunter2")],
    ],
    "no_wildcard_action_on_wildcard_resource": [
        [role_policy(Action=["s3:Get*"], Resource=["*"])],
        [role_policy(Action="*", Resource="*")],
        [role_policy(NotAction=["iam:*"], Resource="arn:aws:s3:::b")],
    ],
    "wildcard_actions_stay_within_one_verb": [[role_policy(Action=["s3:*"], Resource=["arn:aws:s3:::b"])]],
    "only_what_knows_no_resource_is_allowed_on_all": [[role_policy(Action=["s3:GetObject"], Resource=["*"])]],
    "nothing_is_allowed_to_everybody": [
        [with_policy("aws:s3/bucketPolicy:BucketPolicy", "policy", Principal="*", Action="s3:GetObject", Resource="a")],
        [with_policy("aws:iam/role:Role", "assumeRolePolicy", Principal={"AWS": "*"}, Action="sts:AssumeRole")],
    ],
    "services_act_for_this_account_only": [
        [
            with_policy(
                "aws:iam/role:Role",
                "assumeRolePolicy",
                Principal={"Service": "glue.amazonaws.com"},
                Action="sts:AssumeRole",
            )
        ]
    ],
    "roles_are_passed_by_name": [[role_policy(Action="iam:PassRole", Resource="arn:aws:iam::123456789012:role/*")]],
    "nobody_has_keys_or_aws_own_wide_policies": [
        [of("aws:iam/user:User")],
        [of("aws:iam/accessKey:AccessKey")],
        [
            of(
                "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
                policyArn="arn:aws:iam::aws:policy/AdministratorAccess",
            )
        ],
    ],
    "nothing_is_open_to_the_internet": [
        [of("aws:ec2/internetGateway:InternetGateway")],
        [of("aws:ec2/subnet:Subnet", mapPublicIpOnLaunch=True)],
        [of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", cidrIpv4="0.0.0.0/0", ipProtocol="tcp")],
        [of("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", cidrIpv6="::/0", ipProtocol="tcp")],
        [of("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", ipProtocol="-1")],
    ],
    "security_groups_have_no_inline_rules": [
        [of("aws:ec2/securityGroup:SecurityGroup", description="d", ingress=[{"cidrBlocks": ["10.0.0.0/8"]}])],
        [of("aws:ec2/securityGroup:SecurityGroup")],
        [of("aws:ec2/vpc:Vpc")],
    ],
    "networks_log_their_flows": [
        [of("aws:ec2/vpc:Vpc")],
        [of("aws:ec2/vpc:Vpc"), of("aws:ec2/flowLog:FlowLog", vpcId="bad-id", trafficType="REJECT")],
    ],
    "jobs_run_in_the_private_network": [
        [of("aws:emrserverless/application:Application")],
        [of("aws:glue/job:Job", securityConfiguration="s", timeout=60, executionProperty={"maxConcurrentRuns": 1})],
        [
            of(
                "aws:glue/job:Job",
                securityConfiguration="s",
                connections=["c"],
                executionProperty={"maxConcurrentRuns": 1},
            )
        ],
        [of("aws:glue/job:Job", securityConfiguration="s", connections=["c"], timeout=60)],
    ],
    "the_warehouse_is_private_and_audited": [
        [of("aws:redshiftserverless/workgroup:Workgroup", publiclyAccessible=True, enhancedVpcRouting=True)],
        [of("aws:redshiftserverless/workgroup:Workgroup", publiclyAccessible=False, enhancedVpcRouting=True)],
        [of("aws:redshiftserverless/namespace:Namespace", manageAdminPassword=True, logExports=["userlog"])],
    ],
    "trails_cover_everything": [[of("aws:cloudtrail/trail:Trail", isMultiRegionTrail=True)]],
    "athena_enforces_its_limits": [
        [of("aws:athena/workgroup:Workgroup", configuration={"enforceWorkgroupConfiguration": True})],
        [of("aws:athena/workgroup:Workgroup", configuration={"bytesScannedCutoffPerQuery": 1})],
    ],
    "logs_end_at_some_time": [
        [of("aws:cloudwatch/logGroup:LogGroup", kmsKeyId=KEY)],
        [of("aws:kinesis/firehoseDeliveryStream:FirehoseDeliveryStream", extendedS3Configuration={})],
    ],
    "alarms_say_what_to_do": [
        [of("aws:cloudwatch/metricAlarm:MetricAlarm", alarmDescription="See docs/runbooks/x.md")],
        [of("aws:cloudwatch/metricAlarm:MetricAlarm", alarmActions=["arn"], alarmDescription="It is late")],
        # A path can be read, but not followed from a mail.
        [of("aws:cloudwatch/metricAlarm:MetricAlarm", alarmActions=["arn"], alarmDescription="See docs/runbooks/x.md")],
    ],
    "lake_formation_leaves_nothing_to_iam": [
        [of("aws:lakeformation/permissions:Permissions", principal="IAM_ALLOWED_PRINCIPALS")],
        [
            of(
                "aws:lakeformation/dataLakeSettings:DataLakeSettings",
                createTableDefaultPermissions=[{"permissions": ["ALL"]}],
            )
        ],
    ],
}


def test_what_refuses_another_kind_and_another_key_is_enough() -> None:
    good = Program([BUCKET, *in_kms(), bucket_policy(REFUSE_OTHER_ENCRYPTION, REFUSE_OTHER_KEYS)])
    assert [*RULES["buckets_refuse_other_encryption"](good)] == []


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("name", RULES)
def test_the_program_breaks_no_rule(stack: str, name: str) -> None:
    assert [*RULES[name](with_everything(stack))] == []


def test_every_rule_has_a_bad_example() -> None:
    assert BAD.keys() == RULES.keys()


@pytest.mark.parametrize(
    ("name", "example"), [(name, example) for name, examples in BAD.items() for example in examples]
)
def test_a_bad_example_is_found(name: str, example: Sequence[Declared]) -> None:
    assert [*RULES[name](Program(example))], f"{name} let {[str(each) for each in example]} pass"
