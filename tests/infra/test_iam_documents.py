"""Every IAM document of the program, read by a linter that knows AWS's actions, resources and conditions."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from parliament import analyze_policy_string

from tests.infra.declared import Declared, Program
from tests.infra.recorded_program import STACKS, with_everything

# The linter's list of AWS's actions ends with its last release; these came or were completed later. Each is in AWS's
# Service Authorization Reference under the name written here.
NEWER_THAN_THE_LINTER: frozenset[str] = frozenset()
# Policies of resources name principals, which the linter reads as faults of identity policies, or `*` for themselves.
ONLY_IN_IDENTITY_POLICIES = frozenset({"RESOURCE_STAR", "RESOURCE_MISMATCH"})
IDENTITY = ("aws:iam/rolePolicy:RolePolicy", "aws:iam/policy:Policy")


def faults(program: Program) -> Iterator[str]:
    for resource, name, document in program.documents():
        for statement in document["Statement"]:
            yield from (f"{resource}: {name}: {fault}" for fault in lint(resource, statement))


def lint(resource: Declared, statement: Mapping[str, Any]) -> Iterator[str]:
    """What the linter finds in one statement; principals are left to the rules of the policy suite."""
    plain = {key: value for key, value in statement.items() if key != "Principal"}
    plain.setdefault("Resource", "*")
    found = analyze_policy_string(json.dumps({"Version": "2012-10-17", "Statement": [plain]}))
    for finding in found.findings:
        if resource.type not in IDENTITY and finding.issue in ONLY_IN_IDENTITY_POLICIES:
            continue
        if finding.issue == "UNKNOWN_ACTION" and any(each in str(finding) for each in NEWER_THAN_THE_LINTER):
            continue
        yield str(finding)


@pytest.mark.parametrize("stack", STACKS)
def test_the_linter_finds_nothing(stack: str) -> None:
    program = with_everything(stack)
    assert len([*program.documents()]) > 20, "where are the IAM documents?"
    assert [*faults(program)] == []


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ({"Action": ["s3:GetObjct"], "Resource": ["arn:aws:s3:::b/*"]}, "UNKNOWN_ACTION"),
        ({"Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::b"]}, "RESOURCE_MISMATCH"),
        ({"Action": ["s3:GetObject"], "Resource": ["b"]}, "INVALID_ARN"),
        (
            {
                "Action": ["s3:GetObject"],
                "Resource": ["arn:aws:s3:::b/*"],
                "Condition": {"StringEqual": {"aws:SourceAccount": "123456789012"}},
            },
            "UNKNOWN_OPERATOR",
        ),
        (
            {
                "Action": ["s3:GetObject"],
                "Resource": ["arn:aws:s3:::b/*"],
                "Condition": {"StringEquals": {"s3:prefix": "gold/"}},
            },
            "UNKNOWN_CONDITION_FOR_ACTION",
        ),
    ],
)
def test_the_linter_finds(statement: Mapping[str, Any], finding: str) -> None:
    bad = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}
    program = Program([Declared("aws:iam/rolePolicy:RolePolicy", "bad", {"policy": json.dumps(bad)})])
    assert any(finding in each for each in faults(program)), [*faults(program)]
