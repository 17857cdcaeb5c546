"""The encryption keys: one for each domain, so that who may read one kind of data cannot read another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import pulumi
import pulumi_aws as aws

from infra.documents import Statement, document, statement
from infra.estate import Estate

Domain = Literal["lake", "landing", "streams", "catalog", "audit", "logs", "notifications", "warehouse", "artifacts"]
DOMAINS: tuple[Domain, ...] = get_args(Domain)
DELETION_DAYS = 30
USE = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
READ = ["kms:Decrypt", "kms:DescribeKey"]
WRITE = ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"]
PURPOSES: Mapping[Domain, str] = {
    "lake": "Bronze, silver, gold and rejected tables with their checkpoints, and query results",
    "landing": "Files as they arrive",
    "streams": "Kinesis streams",
    "catalog": "The Glue catalog",
    "audit": "CloudTrail and the audit bucket",
    "logs": "CloudWatch log groups",
    "notifications": "Alarms on their way to people",
    "warehouse": "Redshift",
    "artifacts": "The jobs' code",
}


@dataclass(frozen=True)
class KeysArgs:
    """What the keys need to know."""

    estate: Estate


class Keys(pulumi.ComponentResource):
    """A customer-managed KMS key and alias for each domain, rotated every year.

    IAM policies decide who uses a key; the key policies add only the AWS services that must use it themselves, for
    this account. Costs 1 USD a key and month, and 0.03 USD for 10 000 requests (bucket keys keep these few).
    """

    def __init__(self, name: str, args: KeysArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("lakehouse:estate:Keys", name, None, opts)
        estate = args.estate
        self._arns: dict[Domain, pulumi.Output[str]] = {}
        for domain in DOMAINS:
            if domain == "catalog" and estate.config.catalog_key is not None:
                self._arns[domain] = pulumi.Output.from_input(estate.config.catalog_key)
                continue
            alias = f"alias/{estate.name(domain)}"
            key = aws.kms.Key(
                f"{name}-{domain}",
                description=f"{PURPOSES[domain]} ({estate.name()})",
                enable_key_rotation=True,
                deletion_window_in_days=DELETION_DAYS,
                policy=document(_account(estate), *_services(estate, domain)),
                opts=estate.keeps_data(self, _left(estate, alias)),
            )
            aws.kms.Alias(
                f"{name}-{domain}",
                name=alias,
                target_key_id=key.key_id,
                # It stays with its key, which can then be found again.
                opts=estate.keeps_data(self, alias),
            )
            self._arns[domain] = key.arn
        self.register_outputs({domain: self._arns[domain] for domain in DOMAINS})

    def arn(self, domain: Domain) -> pulumi.Output[str]:
        """The ARN of a domain's key."""
        return self._arns[domain]


def _left(estate: Estate, alias: str) -> str:
    """The id of the key that an earlier stack left under its alias, where this one takes it over."""
    return aws.kms.get_key(key_id=alias).id if estate.adopting else ""


def _account(estate: Estate) -> Statement:
    """Without this nobody could ever change the key again; it lets IAM policies grant its use."""
    root = pulumi.Output.concat("arn:", estate.partition, ":iam::", estate.account_id, ":root")
    return statement("AccountAdministersThroughIam", ["kms:*"], ["*"], principals={"AWS": root})


def _services(estate: Estate, domain: Domain) -> list[Statement]:
    """The AWS services that use a key in their own name, bound to this account."""
    ours = {"StringEquals": {"aws:SourceAccount": estate.account_id}}
    region = estate.config.region
    if domain == "logs":
        groups = estate.arn("logs", "log-group:*")
        # A context is text, and DescribeKey has none.
        bound = {"StringLike": {"kms:EncryptionContext:aws:logs:arn": groups}}
        service = {"Service": f"logs.{region}.amazonaws.com"}
        use = [action for action in USE if action != "kms:DescribeKey"]
        return [statement("CloudWatchLogs", use, ["*"], principals=service, conditions=bound)]
    if domain == "audit":
        trail = {"StringEquals": {"aws:SourceArn": estate.arn("cloudtrail", f"trail/{estate.global_name('audit')}")}}
        service = {"Service": "cloudtrail.amazonaws.com"}
        return [statement("CloudTrail", ["kms:GenerateDataKey*", "kms:DescribeKey"], ["*"],
                          principals=service, conditions=trail)]  # fmt: skip
    if domain == "notifications":
        services = {"Service": ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"]}
        topic = {"kms:EncryptionContext:aws:sns:topicArn": estate.arn("sns", estate.name("alarms"))}
        return [
            statement("Publishers", WRITE, ["*"], principals=services, conditions=ours),
            # SNS passes no source on to KMS when EventBridge publishes; the topic in the context is ours.
            statement("Rules", ["kms:Decrypt", "kms:GenerateDataKey*"], ["*"],
                      principals={"Service": "events.amazonaws.com"}, conditions={"StringEquals": topic}),
        ]  # fmt: skip
    return []
