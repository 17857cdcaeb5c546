"""The private network that the jobs run in: no way in from the internet, and none out to it."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.config import EstateConfig
from infra.documents import document, statement, trust
from infra.estate import Estate
from infra.keys import Keys

HTTPS = 443
REDSHIFT = 5439
# What a job calls, and why: an endpoint costs about 8 USD a month and zone.
INTERFACES = {
    "kinesis-streams": "bronze reads the streams",
    "glue": "Spark looks tables up in the catalog",
    "kms": "everything is encrypted with our keys",
    "logs": "jobs write their logs",
    "monitoring": "jobs send their metrics",
    "sts": "jobs take their roles",
}
# With enhanced routing the warehouse asks Lake Formation through the network as well.
OF_WAREHOUSE = {"lakeformation": "the warehouse asks what Spectrum may read"}
# The gateway has no policy of its own. EMR and Glue reach buckets of AWS through it, whose names differ with Region and
# release and are listed for EMR on EC2 only: one left out, and no job starts. What jobs may reach, their roles say.
GATEWAYS = ("s3",)


@dataclass(frozen=True)
class NetworkArgs:
    """What the network needs to know."""

    estate: Estate
    keys: Keys


class Network(pulumi.ComponentResource):
    """A VPC with a private subnet in each zone, endpoints for the AWS services that jobs call, and flow logs.

    No internet gateway and no NAT. Costs about 8 USD a month for each interface endpoint and zone.
    """

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("lakehouse:estate:Network", name, None, opts)
        estate = args.estate
        self._child = pulumi.ResourceOptions(parent=self)
        self._name, self._estate = name, estate
        vpc = aws.ec2.Vpc(
            name,
            cidr_block=estate.config.vpc_cidr,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags={"Name": estate.name()},
            opts=self._child,
        )
        self.vpc_id = vpc.id
        # Nobody asked for it, everybody gets it: AWS' own default group lets all its members talk to each other.
        aws.ec2.DefaultSecurityGroup(name, vpc_id=vpc.id, ingress=[], egress=[], opts=self._child)
        subnets = self._subnets()
        self.private_subnet_ids = [subnet.id for subnet in subnets]
        self.private_zones = [subnet.availability_zone for subnet in subnets]
        routes = aws.ec2.RouteTable(name, vpc_id=vpc.id, tags={"Name": estate.name("private")}, opts=self._child)
        for number, subnet in enumerate(self.private_subnet_ids):
            aws.ec2.RouteTableAssociation(
                f"{name}-{number}", route_table_id=routes.id, subnet_id=subnet, opts=self._child
            )
        self.endpoint_security_group_id = self._group("endpoints", "Answers the jobs over HTTPS")
        self.jobs_security_group_id = self._group("jobs", "EMR Serverless and Glue jobs")
        self.warehouse_security_group_id = self._group("warehouse", "Redshift Serverless")
        prefix_lists = self._endpoints(routes.id)
        self._rules(prefix_lists)
        self._flow_logs(args.keys)
        self.register_outputs({"vpc_id": self.vpc_id})

    def _subnets(self) -> list[aws.ec2.Subnet]:
        """One in each zone. Of the zones of a Region only the ordinary ones: Local and Wavelength Zones, which an
        account may have on, know few services. By id, since names mean other zones in other accounts.
        """
        zones: pulumi.Input[Sequence[str]] = self._estate.config.availability_zone_ids
        if not zones:
            ordinary = aws.GetAvailabilityZonesFilterArgs(name="zone-type", values=["availability-zone"])
            found = aws.get_availability_zones_output(state="available", filters=[ordinary])
            zones = found.zone_ids.apply(sorted)
        ids = pulumi.Output.from_input(zones)
        ranges = ipaddress.ip_network(self._estate.config.vpc_cidr).subnets(new_prefix=20)
        return [
            aws.ec2.Subnet(
                f"{self._name}-{number}",
                vpc_id=self.vpc_id,
                cidr_block=str(next(ranges)),
                availability_zone_id=ids[number],
                map_public_ip_on_launch=False,
                tags={"Name": self._estate.name("private", str(number))},
                # A zone that AWS adds to the Region moves no subnet.
                opts=pulumi.ResourceOptions(parent=self, ignore_changes=["availabilityZoneId"]),
            )
            for number in range(self._estate.config.subnet_zones)
        ]

    def _group(self, purpose: str, description: str) -> pulumi.Output[str]:
        return aws.ec2.SecurityGroup(
            f"{self._name}-{purpose}",
            name=self._estate.name(purpose),
            description=description,
            vpc_id=self.vpc_id,
            tags={"Name": self._estate.name(purpose)},
            opts=self._child,
        ).id

    def _endpoints(self, routes: pulumi.Output[str]) -> list[pulumi.Output[str]]:
        region = self._estate.config.region
        for service in interfaces(self._estate.config):
            aws.ec2.VpcEndpoint(
                f"{self._name}-{service}",
                vpc_id=self.vpc_id,
                service_name=f"com.amazonaws.{region}.{service}",
                vpc_endpoint_type="Interface",
                private_dns_enabled=True,
                subnet_ids=self.private_subnet_ids[: self._estate.config.availability_zones],
                security_group_ids=[self.endpoint_security_group_id],
                opts=self._child,
            )
        return [
            aws.ec2.VpcEndpoint(
                f"{self._name}-{service}",
                vpc_id=self.vpc_id,
                service_name=f"com.amazonaws.{region}.{service}",
                vpc_endpoint_type="Gateway",
                route_table_ids=[routes],
                opts=self._child,
            ).prefix_list_id
            for service in GATEWAYS
        ]

    def _rules(self, prefix_lists: list[pulumi.Output[str]]) -> None:
        """Jobs talk to the endpoints, to S3, and to each other; nothing else talks to anything."""
        jobs, endpoints = self.jobs_security_group_id, self.endpoint_security_group_id
        self._in("endpoints-from-jobs", endpoints, HTTPS, jobs)
        self._out("jobs-to-endpoints", jobs, HTTPS, to=endpoints)
        for service, prefix_list in zip(GATEWAYS, prefix_lists, strict=True):
            self._out(f"jobs-to-{service}", jobs, HTTPS, prefix_list=prefix_list)
        self._in("jobs-from-jobs", jobs, None, jobs)
        self._out("jobs-to-jobs", jobs, None, to=jobs)
        warehouse = self.warehouse_security_group_id
        for client in self._estate.config.warehouse_clients:
            self._in(f"warehouse-from-{client}", warehouse, REDSHIFT, client)
        self._out("warehouse-to-s3", warehouse, HTTPS, prefix_list=prefix_lists[0])
        self._out("warehouse-to-endpoints", warehouse, HTTPS, to=endpoints)
        self._in("endpoints-from-warehouse", endpoints, HTTPS, warehouse)

    def _in(self, name: str, group: pulumi.Output[str], port: int | None, source: pulumi.Input[str]) -> None:
        addresses = isinstance(source, str) and "/" in source
        aws.vpc.SecurityGroupIngressRule(
            f"{self._name}-{name}",
            security_group_id=group,
            referenced_security_group_id=None if addresses else source,
            cidr_ipv4=source if addresses else None,
            ip_protocol="tcp",
            from_port=0 if port is None else port,
            to_port=65535 if port is None else port,
            description=name.replace("-", " "),
            opts=self._child,
        )

    def _out(
        self,
        name: str,
        group: pulumi.Output[str],
        port: int | None,
        *,
        prefix_list: pulumi.Output[str] | None = None,
        to: pulumi.Output[str] | None = None,
    ) -> None:
        aws.vpc.SecurityGroupEgressRule(
            f"{self._name}-{name}",
            security_group_id=group,
            referenced_security_group_id=to,
            prefix_list_id=prefix_list,
            ip_protocol="tcp",
            from_port=0 if port is None else port,
            to_port=65535 if port is None else port,
            description=name.replace("-", " "),
            opts=self._child,
        )

    def _flow_logs(self, keys: Keys) -> None:
        group = aws.cloudwatch.LogGroup(
            f"{self._name}-flow",
            name=f"/{self._estate.name('network')}/flow",
            retention_in_days=self._estate.config.retention.logs,
            kms_key_id=keys.arn("logs"),
            opts=self._child,
        )
        role = aws.iam.Role(
            f"{self._name}-flow",
            name=self._estate.global_name("flow-logs"),
            assume_role_policy=trust("vpc-flow-logs.amazonaws.com", self._estate.account_id),
            opts=self._child,
        )
        actions = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
        aws.iam.RolePolicy(
            f"{self._name}-flow",
            role=role.id,
            policy=document(statement("WriteFlowLogs", actions, [pulumi.Output.concat(group.arn, ":*")])),
            opts=self._child,
        )
        aws.ec2.FlowLog(
            self._name,
            vpc_id=self.vpc_id,
            traffic_type="ALL",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            opts=self._child,
        )


def interfaces(config: EstateConfig) -> Mapping[str, str]:
    """The AWS services with an interface endpoint, and why each has one."""
    return {**INTERFACES, **(OF_WAREHOUSE if config.switches.warehouse else {})}
