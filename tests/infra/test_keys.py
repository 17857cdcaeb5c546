"""The keys: one a domain, rotated, kept, and each open to the services that must use it themselves."""

import json
from typing import Any

import pytest

from infra.keys import DOMAINS
from tests.infra.declared import Program
from tests.infra.operations import one
from tests.infra.recorded_program import ACCOUNT, REGION, with_everything

KEY, ALIAS = "aws:kms/key:Key", "aws:kms/alias:Alias"
ROOT = {
    "Sid": "AccountAdministersThroughIam",
    "Effect": "Allow",
    "Action": ["kms:*"],
    "Resource": ["*"],
    "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
}
SERVICES: dict[str, list[dict[str, Any]]] = {
    "logs": [
        {
            "Sid": "CloudWatchLogs",
            "Effect": "Allow",
            "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*"],
            "Resource": ["*"],
            "Principal": {"Service": f"logs.{REGION}.amazonaws.com"},
            "Condition": {
                "StringLike": {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:*"}
            },
        }
    ],
    "audit": [
        {
            "Sid": "CloudTrail",
            "Effect": "Allow",
            "Action": ["kms:GenerateDataKey*", "kms:DescribeKey"],
            "Resource": ["*"],
            "Principal": {"Service": "cloudtrail.amazonaws.com"},
            "Condition": {
                "StringEquals": {
                    "aws:SourceArn": f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/shopware-lakehouse-dev-audit-euc1"
                }
            },
        }
    ],
    "notifications": [
        {
            "Sid": "Publishers",
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"],
            "Resource": ["*"],
            "Principal": {"Service": ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"]},
            "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
        },
        {
            "Sid": "Rules",
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
            "Resource": ["*"],
            "Principal": {"Service": "events.amazonaws.com"},
            "Condition": {
                "StringEquals": {
                    "kms:EncryptionContext:aws:sns:topicArn": (
                        f"arn:aws:sns:{REGION}:{ACCOUNT}:shopware-lakehouse-dev-alarms"
                    )
                }
            },
        },
    ],
}


@pytest.fixture(scope="module")
def program() -> Program:
    return with_everything("dev")


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_key_is_open_to_the_account_and_to_its_own_services_only(program: Program, domain: str) -> None:
    key = one(program, KEY, f"keys-{domain}")

    assert json.loads(key.at("policy")) == {"Version": "2012-10-17", "Statement": [ROOT, *SERVICES.get(domain, [])]}
    assert (key.at("enableKeyRotation"), key.at("deletionWindowInDays")) == (True, 30)


def test_the_topic_of_the_context_is_the_one_that_the_rules_publish_to(program: Program) -> None:
    assert one(program, "aws:sns/topic:Topic").at("name") == "shopware-lakehouse-dev-alarms"


def test_every_key_has_a_name(program: Program) -> None:
    found = {each.at("name"): each.at("targetKeyId") for each in program.of(ALIAS)}

    assert found == {f"alias/shopware-lakehouse-dev-{domain}": f"keys-{domain}" for domain in DOMAINS}
