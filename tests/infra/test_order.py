"""What of the estate has to stand before a streaming job starts, and what a change of the application takes with it."""

import pytest

from tests.infra.declared import Program
from tests.infra.operations import one
from tests.infra.recorded_program import recorded

JOB, APPLICATION = "pulumi-python:dynamic:Resource", "aws:emrserverless/application:Application"
# What makes another application in any case, and what EMR changes while jobs run.
NO_REASON = {"name", "type", "tags"}


@pytest.fixture(scope="module")
def prod() -> Program:
    return recorded("prod")


@pytest.mark.parametrize("job", ["bronze", "silver", "gold"])
def test_a_job_starts_after_its_permissions_its_network_and_its_data_and_ends_before_them(
    prod: Program, job: str
) -> None:
    """The engine removes in the opposite order: a job that ends its batch still may write."""
    needed = {
        str(each)
        for each in prod.resources
        if each.type.startswith("aws:") and each.name.startswith(("network", "storage", "streams", "catalog", "code-"))
    }
    assert {
        "aws:ec2/vpcEndpoint:VpcEndpoint network-s3",
        "aws:ec2/routeTableAssociation:RouteTableAssociation network-0",
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule network-jobs-to-s3",
        "aws:s3/bucketPolicy:BucketPolicy storage-lake",
        "aws:kinesis/stream:Stream streams-crm",
        "aws:glue/catalogTable:CatalogTable catalog-silver-stores",
        "aws:s3/bucketObjectv2:BucketObjectv2 code-emr.py",
    } <= needed
    found = one(prod, JOB, f"compute-{job}").after
    assert needed - found == set()
    policies = {each for each in found if each.startswith("aws:iam/rolePolicy:RolePolicy compute-")}
    assert policies == {f"aws:iam/rolePolicy:RolePolicy compute-{job}"}


def test_a_changed_application_is_a_new_one(prod: Program) -> None:
    """EMR changes only one that is stopped. Another id makes another job: its run ends before the next one starts."""
    application = one(prod, APPLICATION)
    assert application.replaced_by == set(application.inputs) - NO_REASON
    assert {"maximumCapacity", "initialCapacities", "networkConfiguration", "releaseLabel"} <= application.replaced_by
