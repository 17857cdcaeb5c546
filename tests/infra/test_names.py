"""Names: every environment has valid ones in every Region or is refused, and two Regions or accounts share none."""

from collections.abc import Mapping

import pytest
from pydantic import ValidationError

from infra.config import LONGEST_PURPOSE, EstateConfig
from infra.regions import LONGEST, short_name
from tests.infra.declared import Program
from tests.infra.recorded_program import ACCOUNT, recorded

# "Regions and Zones": all commercial Regions, and those of GovCloud. With what the ids of their zones begin with.
REGIONS = {
    "us-east-1": "use1", "us-east-2": "use2", "us-west-1": "usw1", "us-west-2": "usw2", "af-south-1": "afs1",
    "ap-east-1": "ape1", "ap-east-2": "ape2", "ap-south-1": "aps1", "ap-south-2": "aps2", "ap-southeast-1": "apse1",
    "ap-southeast-2": "apse2", "ap-southeast-3": "apse3", "ap-southeast-4": "apse4", "ap-southeast-5": "apse5",
    "ap-southeast-7": "apse7", "ap-northeast-1": "apne1", "ap-northeast-2": "apne2", "ap-northeast-3": "apne3",
    "ca-central-1": "cac1", "ca-west-1": "caw1", "eu-central-1": "euc1", "eu-central-2": "euc2", "eu-west-1": "euw1",
    "eu-west-2": "euw2", "eu-west-3": "euw3", "eu-south-1": "eus1", "eu-south-2": "eus2", "eu-north-1": "eun1",
    "il-central-1": "ilc1", "mx-central-1": "mxc1", "me-south-1": "mes1", "me-central-1": "mec1", "sa-east-1": "sae1",
    "us-gov-east-1": "usge1", "us-gov-west-1": "usgw1",
}  # fmt: skip
ENVIRONMENTS = ("dev", "staging", "production", "production-eu", "an-environment-of-24-let")
# Names that an account has once, or the world, by AWS: "Bucket naming rules", "IAM and AWS STS quotas", "Using
# Amazon CloudWatch dashboards", "CreateBudget", "Naming requirements for CloudTrail resources".
GLOBAL: Mapping[str, tuple[str, int]] = {
    "aws:s3/bucket:Bucket": ("bucket", 63),
    "aws:iam/role:Role": ("name", 64),
    "aws:cloudwatch/dashboard:Dashboard": ("dashboardName", 255),
    "aws:budgets/budget:Budget": ("name", 100),
    "aws:cloudtrail/trail:Trail": ("name", 128),
}
# Others with narrow limits.
REGIONAL: Mapping[str, tuple[str, int]] = {
    "aws:kinesis/firehoseDeliveryStream:FirehoseDeliveryStream": ("name", 64),
    "aws:cloudwatch/eventRule:EventRule": ("name", 64),
    "aws:emrserverless/application:Application": ("name", 64),
    "aws:redshiftserverless/namespace:Namespace": ("namespaceName", 64),
    "aws:redshiftserverless/workgroup:Workgroup": ("workgroupName", 64),
    "aws:athena/workgroup:Workgroup": ("name", 128),
}


def named(program: Program, kinds: Mapping[str, tuple[str, int]]) -> dict[str, tuple[str, int]]:
    """The names of a program, with their limits."""
    return {str(each): (each.at(key), limit) for kind, (key, limit) in kinds.items() for each in program.of(kind)}


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_has_valid_names_in_a_region_or_is_refused_with_the_limit(environment: str, region: str) -> None:
    bucket = f"shopware-lakehouse-{environment}-{LONGEST_PURPOSE}-{ACCOUNT}-{REGIONS[region]}"
    if len(bucket) <= 63:
        assert EstateConfig(environment=environment, region=region).environment == environment
        return
    together = len(f"shopware-lakehouse-{environment}")
    with pytest.raises(ValidationError) as refused:
        EstateConfig(environment=environment, region=region)
    assert (
        f"environment and name make shopware-lakehouse-{environment}, of {together} characters: in {region} they may "
        f"have {together + 63 - len(bucket)} together"
    ) in str(refused.value)


@pytest.mark.parametrize("environment", ["dev", "staging", "production"])
def test_the_usual_environments_are_valid_everywhere(environment: str) -> None:
    for region in REGIONS:
        EstateConfig(environment=environment, region=region)


def test_a_regions_short_name_is_that_of_its_zones() -> None:
    """AWS, "Availability Zone IDs". GovCloud's `usgw1` is as there too."""
    assert {region: short_name(region) for region in REGIONS} == REGIONS
    assert max(map(len, REGIONS.values())) == LONGEST
    assert len(set(REGIONS.values())) == len(REGIONS)


@pytest.fixture(scope="module")
def longest() -> Program:
    """The longest that is not refused, where a Region's short name is longest."""
    return recorded("prod", environment="production", region="ap-southeast-2")


def test_the_longest_names_keep_to_the_limits_of_their_services(longest: Program) -> None:
    found = {**named(longest, GLOBAL), **named(longest, REGIONAL)}

    assert {kind.split(" ")[0] for kind in found} == {*GLOBAL, *REGIONAL}
    assert {each: name for each, (name, limit) in found.items() if len(name) > limit} == {}


def test_two_regions_and_two_accounts_with_one_environment_share_no_global_name(longest: Program) -> None:
    other = recorded("prod", environment="production", region="ap-southeast-1")
    here, there = ({name for name, _ in named(each, GLOBAL).values()} for each in (longest, other))

    assert here & there == set()
    assert len(here) == len(there) > 25
    buckets = [each.at("bucket") for each in longest.of("aws:s3/bucket:Bucket")]
    assert [name for name in buckets if not name.endswith(f"-{ACCOUNT}-apse2")] == []
