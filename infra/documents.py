"""IAM policy documents: plain statements, rendered as JSON once everything that they name is known."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

VERSION = "2012-10-17"
Statement = Mapping[str, Any]


def statement(
    sid: str,
    actions: Sequence[str],
    resources: Sequence[pulumi.Input[str]],
    *,
    effect: str = "Allow",
    principals: Mapping[str, Any] | str | None = None,
    conditions: Mapping[str, Mapping[str, Any]] | None = None,
) -> Statement:
    """One statement; `principals` as `{"Service": "logs.amazonaws.com"}`, only in policies of resources and roles."""
    found: dict[str, Any] = {"Sid": sid, "Effect": effect, "Action": list(actions), "Resource": list(resources)}
    if principals is not None:
        found["Principal"] = principals
    if conditions is not None:
        found["Condition"] = conditions
    return found


def trust(service: str | list[str], account_id: pulumi.Input[str], *, on_behalf: bool = False) -> pulumi.Output[str]:
    """The trust policy of a role that an AWS service, or any of several, takes for this account only; with `on_behalf`
    it may say for which person.
    """
    return document(
        {
            "Sid": "Service",
            "Effect": "Allow",
            "Action": ["sts:AssumeRole", "sts:SetContext"] if on_behalf else ["sts:AssumeRole"],
            "Principal": {"Service": service},
            "Condition": {"StringEquals": {"aws:SourceAccount": account_id}},
        }
    )


def document(*statements: Statement) -> pulumi.Output[str]:
    """The policy document as JSON."""
    return pulumi.Output.json_dumps({"Version": VERSION, "Statement": list(statements)}, sort_keys=True)
