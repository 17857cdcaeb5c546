"""More of the reviewer's rules: who may do what, what can be reached, and what is watched. They join `RULES`."""

import re
from collections.abc import Mapping
from typing import Any

from tests.infra.declared import Program, listed
from tests.infra.policy_rules import Faults, rule

SOURCES = ("aws:SourceAccount", "aws:SourceArn")
EVERYWHERE = ("0.0.0.0/0", "::/0")
EVENT_PUBLISHERS = (
    "aws:SourceAccount",
    "aws:SourceArn",
    "kms:EncryptionContext:aws:logs:arn",
    "kms:EncryptionContext:aws:sns:topicArn",
)


@rule
def no_wildcard_action_on_wildcard_resource(program: Program) -> Faults:
    """CKV_AWS_62, 63, 355, CKV2_AWS_40. A key's own policy says `*` for the key itself."""
    for resource, name, statement in program.statements():
        if statement["Effect"] != "Allow":
            continue
        wild = [action for action in listed(statement.get("Action")) if "*" in action]
        if wild and "*" in listed(statement.get("Resource")) and resource.type != "aws:kms/key:Key":
            yield f"{resource}: {name} allows {', '.join(wild)} on *"
        if "NotAction" in statement or "NotResource" in statement:
            yield f"{resource}: {name} allows all but something"


@rule
def wildcard_actions_stay_within_one_verb(program: Program) -> Faults:
    """CKV_AWS_288 to 290: `s3:*` or `iam:*` is never needed; `kms:GenerateDataKey*` names its verb."""
    for resource, name, statement in program.statements():
        if statement["Effect"] == "Allow" and resource.type != "aws:kms/key:Key":
            for action in listed(statement.get("Action")):
                if action == "*" or action.endswith(":*"):
                    yield f"{resource}: {name} allows {action}"


@rule
def only_what_knows_no_resource_is_allowed_on_all(program: Program) -> Faults:
    """CKV_AWS_356: `*` as resource, only for actions that AWS offers no resource for."""
    for resource, name, statement in program.statements():
        if statement["Effect"] != "Allow" or resource.type == "aws:kms/key:Key" or "Principal" in statement:
            continue
        if "*" in listed(statement.get("Resource")) and not statement.get("Condition"):
            for action in set(listed(statement.get("Action"))) - WITHOUT_RESOURCE:
                yield f"{resource}: {name} allows {action} on *"


WITHOUT_RESOURCE = {
    "logs:DescribeLogGroups",
    "lakeformation:GetDataAccess",
    "athena:ListWorkGroups",
    "athena:ListDataCatalogs",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeVpcEndpoints",
    "ec2:DescribeVpcs",
    "ec2:DescribeRouteTables",
    "ec2:DescribeDhcpOptions",
    "kinesis:ListStreams",
}


@rule
def nothing_is_allowed_to_everybody(program: Program) -> Faults:
    """CKV_AWS_70, 111, 283, 385: no Allow for principal `*`, in policies of resources and in trusts."""
    for resource, name, statement in program.statements():
        principal = statement.get("Principal")
        named = listed(principal.get("AWS")) if isinstance(principal, Mapping) else listed(principal)
        if statement["Effect"] == "Allow" and "*" in named:
            yield f"{resource}: {name} lets everybody in"


@rule
def services_act_for_this_account_only(program: Program) -> Faults:
    """The confused deputy: a service that may act for anybody is bound to this account or to one source."""
    for resource, name, statement in program.statements():
        principal = statement.get("Principal")
        if statement["Effect"] == "Allow" and isinstance(principal, Mapping) and "Service" in principal:
            conditions = {key for each in (statement.get("Condition") or {}).values() for key in each}
            if not conditions & set(EVENT_PUBLISHERS):
                yield f"{resource}: {name} lets {principal['Service']} act for any account"


@rule
def roles_are_passed_by_name(program: Program) -> Faults:
    """CKV_AWS_287: iam:PassRole on `*` would be every role's rights."""
    for resource, name, statement in program.statements():
        passes = any(action.lower() in ("iam:passrole", "iam:*", "*") for action in listed(statement.get("Action")))
        if statement["Effect"] == "Allow" and passes and any("*" in each for each in listed(statement.get("Resource"))):
            yield f"{resource}: {name} passes any role"


@rule
def nobody_has_keys_or_aws_own_wide_policies(program: Program) -> Faults:
    """CKV_AWS_40, 273, 274: roles only; no users, access keys, or AWS-managed policies."""
    for kind in ("user:User", "accessKey:AccessKey", "userPolicy:UserPolicy", "groupPolicy:GroupPolicy"):
        for resource in program.of(f"aws:iam/{kind}"):
            yield f"{resource}: people and jobs have roles"
    for resource in program.resources:
        arns = [*listed(resource.inputs.get("managedPolicyArns")), resource.inputs.get("policyArn")]
        if any(isinstance(arn, str) and ":iam::aws:policy/" in arn for arn in arns):
            yield f"{resource}: a policy of AWS's, wider than needed and changed without us"


@rule
def nothing_is_open_to_the_internet(program: Program) -> Faults:
    """CKV_AWS_24, 25, 260, 277, 382, 130, CKV2_AWS_12: no way in or out, and no public address."""
    for gateway in program.of(
        "aws:ec2/internetGateway:InternetGateway", "aws:ec2/natGateway:NatGateway", "aws:ec2/eip:Eip"
    ):
        yield f"{gateway}: a way to the internet"
    for subnet in program.of("aws:ec2/subnet:Subnet"):
        if subnet.inputs.get("mapPublicIpOnLaunch") is not False:
            yield f"{subnet}: gives out public addresses"
    for each in program.of(
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
    ):
        if each.inputs.get("cidrIpv4") in EVERYWHERE or each.inputs.get("cidrIpv6") in EVERYWHERE:
            yield f"{each}: open to everywhere"
        if each.inputs.get("ipProtocol") in ("-1", -1):
            yield f"{each}: all protocols"


@rule
def security_groups_have_no_inline_rules(program: Program) -> Faults:
    """CKV_AWS_23: rules are resources with descriptions; AWS's default group is closed."""
    for group in program.of("aws:ec2/securityGroup:SecurityGroup", "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"):
        if group.inputs.get("ingress") or group.inputs.get("egress"):
            yield f"{group}: inline rules"
        if group.type.endswith(":SecurityGroup") and not group.inputs.get("description"):
            yield f"{group}: says not what it is for"
    for vpc in program.of("aws:ec2/vpc:Vpc"):
        if not program.beside(vpc, "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", "vpcId"):
            yield f"{vpc}: AWS's default group is not closed"


@rule
def networks_log_their_flows(program: Program) -> Faults:
    """CKV2_AWS_11."""
    for vpc in program.of("aws:ec2/vpc:Vpc"):
        if not any(
            each.inputs.get("trafficType") == "ALL" for each in program.beside(vpc, "aws:ec2/flowLog:FlowLog", "vpcId")
        ):
            yield f"{vpc}: flows are not logged"


@rule
def jobs_run_in_the_private_network(program: Program) -> Faults:
    """CKV_AWS_195 and its like: EMR in the private subnets; Glue with a security configuration, bounded in time."""
    for application in program.of("aws:emrserverless/application:Application"):
        if not application.at("networkConfiguration", "subnetIds"):
            yield f"{application}: not in the private network"
    for job in program.of("aws:glue/job:Job"):
        if not job.inputs.get("securityConfiguration"):
            yield f"{job}: no security configuration"
        if not job.inputs.get("connections"):
            yield f"{job}: not in the private network"
        if not 0 < (job.inputs.get("timeout") or 0) <= 24 * 60:
            yield f"{job}: may run for ever"
        if job.at("executionProperty", "maxConcurrentRuns") != 1:
            yield f"{job}: may run beside itself"


@rule
def the_warehouse_is_private_and_audited(program: Program) -> Faults:
    """CKV_AWS_71, 87, 154, 281 and 282, serverless: no public way in, TLS, audit logs, managed password."""
    for workgroup in program.of("aws:redshiftserverless/workgroup:Workgroup"):
        if (
            workgroup.inputs.get("publiclyAccessible") is not False
            or workgroup.inputs.get("enhancedVpcRouting") is not True
        ):
            yield f"{workgroup}: traffic leaves the private network"
        if not _has_parameter(workgroup.inputs.get("configParameters"), "require_ssl", "true"):
            yield f"{workgroup}: clients may come without TLS"
    for namespace in program.of("aws:redshiftserverless/namespace:Namespace"):
        if set(listed(namespace.inputs.get("logExports"))) != {"userlog", "connectionlog", "useractivitylog"}:
            yield f"{namespace}: not all three audit logs are on"
        if namespace.inputs.get("manageAdminPassword") is not True:
            yield f"{namespace}: the administrator's password is not AWS's to keep"


def _has_parameter(parameters: Any, key: str, value: str) -> bool:
    return any(each.get("parameterKey") == key and each.get("parameterValue") == value for each in parameters or ())


@rule
def trails_cover_everything(program: Program) -> Faults:
    """CKV_AWS_36, 67, 251, 252: all Regions, validated, on, global events too."""
    for trail in program.of("aws:cloudtrail/trail:Trail"):
        for name in ("isMultiRegionTrail", "enableLogFileValidation", "includeGlobalServiceEvents", "enableLogging"):
            if trail.inputs.get(name) is not True:
                yield f"{trail}: {name} is off"


@rule
def athena_enforces_its_limits(program: Program) -> Faults:
    """CKV_AWS_82, 159: clients cannot choose another place or key, and a query has a limit."""
    for workgroup in program.of("aws:athena/workgroup:Workgroup"):
        if workgroup.at("configuration", "enforceWorkgroupConfiguration") is not True:
            yield f"{workgroup}: clients may override it"
        if not workgroup.at("configuration", "bytesScannedCutoffPerQuery"):
            yield f"{workgroup}: a query may read without limit"


@rule
def logs_end_at_some_time(program: Program) -> Faults:
    """CKV_AWS_66 and 338: log groups have a retention, Firehose tells of its errors."""
    for group in program.of("aws:cloudwatch/logGroup:LogGroup"):
        if not group.inputs.get("retentionInDays"):
            yield f"{group}: kept for ever"
    for delivery in program.of("aws:kinesis/firehoseDeliveryStream:FirehoseDeliveryStream"):
        if delivery.at("extendedS3Configuration", "cloudwatchLoggingOptions", "enabled") is not True:
            yield f"{delivery}: errors are told to nobody"


@rule
def alarms_say_what_to_do(program: Program) -> Faults:
    """CKV_AWS_319: an alarm reaches somebody, and its text leads to a runbook."""
    for alarm in program.of("aws:cloudwatch/metricAlarm:MetricAlarm", "aws:cloudwatch/compositeAlarm:CompositeAlarm"):
        if not alarm.inputs.get("alarmActions") or alarm.inputs.get("actionsEnabled") is False:
            yield f"{alarm}: reaches nobody"
        if not re.search(r"https://\S+/[a-z-]+\.md$", alarm.inputs.get("alarmDescription") or ""):
            yield f"{alarm}: links to no runbook"


@rule
def lake_formation_leaves_nothing_to_iam(program: Program) -> Faults:
    """No IAMAllowedPrincipals: what Lake Formation governs is granted by Lake Formation."""
    for settings in program.of("aws:lakeformation/dataLakeSettings:DataLakeSettings"):
        if settings.inputs.get("createDatabaseDefaultPermissions") or settings.inputs.get(
            "createTableDefaultPermissions"
        ):
            yield f"{settings}: new tables would be open to IAM"
    for database in program.of("aws:glue/catalogDatabase:CatalogDatabase"):
        if database.inputs.get("createTableDefaultPermissions"):
            yield f"{database}: new tables would be open to IAM"
    for permissions in program.of("aws:lakeformation/permissions:Permissions"):
        if permissions.inputs.get("principal") == "IAM_ALLOWED_PRINCIPALS":
            yield f"{permissions}: open to IAM"
