"""The AWS Region that the clients of this process call.

Java's SDK and EMR know AWS_REGION, boto3 only AWS_DEFAULT_REGION: where one of them is set, half of a job would go
elsewhere. Whatever makes a client or a store asks here, and a job's entry point says it for all that it starts.
"""

import os

import boto3

VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")


def region() -> str | None:
    """What AWS_REGION says, else AWS_DEFAULT_REGION or the profile, as boto3 has them; None where nothing says it."""
    return os.environ.get("AWS_REGION") or boto3.session.Session().region_name


def use_region(name: str) -> None:
    """Leads all clients of this process and of its children to a Region."""
    os.environ.update(dict.fromkeys(VARIABLES, name))
