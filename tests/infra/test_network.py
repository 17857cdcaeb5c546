"""The network: no way in or out but to the services that jobs call, and every packet on record."""

import ipaddress
import json

import pytest

from tests.infra.declared import Program
from tests.infra.operations import one
from tests.infra.recorded_program import REGION, recorded, with_everything

SUBNET, ENDPOINT, FLOW = "aws:ec2/subnet:Subnet", "aws:ec2/vpcEndpoint:VpcEndpoint", "aws:ec2/flowLog:FlowLog"
INTO, OUT = (f"aws:vpc/securityGroup{way}Rule:SecurityGroup{way}Rule" for way in ("Ingress", "Egress"))
ROUTES = ("aws:ec2/routeTable:RouteTable", "aws:ec2/routeTableAssociation:RouteTableAssociation")
OUTSIDE = ("internetGateway", "natGateway", "eip", "route:Route", "vpcPeering", "transitGateway")


@pytest.fixture(scope="module")
def program() -> Program:
    return with_everything("prod")


def test_nothing_leads_outside(program: Program) -> None:
    assert [str(each) for each in program.resources if any(kind in each.type for kind in OUTSIDE)] == []
    assert [each.at("mapPublicIpOnLaunch") for each in program.of(SUBNET)] == [False] * 3
    [routes] = program.of(ROUTES[0])
    assert routes.at("routes") is None
    assert len({each.at("subnetId") for each in program.of(ROUTES[1])}) == 3


def test_subnets_lie_in_the_network_and_beside_each_other(program: Program) -> None:
    vpc = ipaddress.ip_network(one(program, "aws:ec2/vpc:Vpc").at("cidrBlock"))
    ranges = [ipaddress.ip_network(each.at("cidrBlock")) for each in program.of(SUBNET)]
    assert all(each.subnet_of(vpc) for each in ranges)  # type: ignore[arg-type]
    assert not [(a, b) for a in ranges for b in ranges if a is not b and a.overlaps(b)]


def test_subnets_lie_in_ordinary_zones_by_id_and_stay_there(program: Program) -> None:
    """AWS, "Regions and Zones": Local Zones, which an account may have on, offer few services."""
    subnets = sorted(program.of(SUBNET), key=lambda each: each.name)

    assert [each.at("availabilityZoneId") for each in subnets] == ["euc1-az1", "euc1-az2", "euc1-az3"]
    assert [each.at("availabilityZone") for each in subnets] == [None] * 3
    assert {each.ignored for each in subnets} == {frozenset({"availabilityZoneId"})}


def test_the_zones_are_those_that_are_configured() -> None:
    pinned = recorded("dev", availability_zone_ids=json.dumps(["euc1-az3"]))
    connection = one(pinned, "aws:glue/connection:Connection")

    assert [each.at("availabilityZoneId") for each in pinned.of(SUBNET)] == ["euc1-az3"]
    assert connection.at("physicalConnectionRequirements", "availabilityZone") == f"{REGION}c", "the subnet's own"


@pytest.mark.parametrize(("stack", "zones"), [("dev", 1), ("prod", 3)])
def test_there_is_an_endpoint_for_each_service_in_each_zone_of_the_jobs(stack: str, zones: int) -> None:
    found = {
        each.at("serviceName").rpartition(".")[2]: (each.at("vpcEndpointType"), len(each.at("subnetIds") or ()))
        for each in recorded(stack, switches={"warehouse": False}).of(ENDPOINT)
    }
    interfaces = ["kinesis-streams", "glue", "kms", "logs", "monitoring", "sts"]
    assert found == {
        **dict.fromkeys(interfaces, ("Interface", zones)),
        "s3": ("Gateway", 0),
    }


def test_the_warehouse_reaches_lake_formation_through_the_network() -> None:
    for on in (True, False):
        services = {
            each.at("serviceName").rpartition(".")[2]
            for each in recorded("dev", switches={"warehouse": on}).of(ENDPOINT)
        }
        assert ("lakeformation" in services) == on


def test_who_is_configured_may_connect_to_the_warehouse_and_nobody_else() -> None:
    clients = ["10.7.0.0/16", "sg-0123456789abcdef0"]
    program = recorded("dev", warehouse_clients=json.dumps(clients), switches={"warehouse": True})
    found = [each for each in program.of(INTO) if each.at("securityGroupId") == "network-warehouse-id"]

    assert {(each.at("fromPort"), each.at("toPort")) for each in found} == {(5439, 5439)}
    assert {(each.at("cidrIpv4"), each.at("referencedSecurityGroupId")) for each in found} == {
        ("10.7.0.0/16", None), (None, "sg-0123456789abcdef0"),
    }  # fmt: skip


def test_who_may_talk_to_whom(program: Program) -> None:
    """Group, other side, port: of groups and prefix lists only, never of addresses."""
    rules = [*program.of(INTO), *program.of(OUT)]
    assert not [each for each in rules if each.at("cidrIpv4") or each.at("cidrIpv6")]

    def said(kind: str) -> set[tuple[str, str, int]]:
        return {
            (
                each.at("securityGroupId").removeprefix("network-").removesuffix("-id"),
                str(each.at("referencedSecurityGroupId") or "prefix list").removeprefix("network-").removesuffix("-id"),
                each.at("toPort"),
            )
            for each in program.of(kind)
        }

    assert said(INTO) == {
        ("endpoints", "jobs", 443),
        ("endpoints", "warehouse", 443),
        ("jobs", "jobs", 65535),
    }
    assert said(OUT) == {
        ("jobs", "endpoints", 443),
        ("jobs", "prefix list", 443),
        ("jobs", "jobs", 65535),
        ("warehouse", "prefix list", 443),
        ("warehouse", "endpoints", 443),
    }


def test_the_default_group_lets_nothing_through_and_all_traffic_is_logged(program: Program) -> None:
    default = one(program, "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")
    assert (default.at("ingress"), default.at("egress")) == ([], [])
    flow = one(program, FLOW)
    assert flow.at("trafficType") == "ALL"
    assert flow.at("vpcId") == one(program, "aws:ec2/vpc:Vpc").id
