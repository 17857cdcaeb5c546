"""The kinds of values that a stack's configuration has, each with what it refuses."""

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, StringConstraints


def number(value: object) -> object:
    """Pulumi hands plain values over as text, and of a choice of numbers none is a text."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _network(value: str) -> str:
    """Refuses what looks like a network and is none, such as 10.300.0.0/16."""
    ipaddress.ip_network(value)
    return value


def _client(value: str) -> str:
    """A security group, or a range of private addresses."""
    if not re.fullmatch(r"sg-[0-9a-f]{8,17}", value):
        network = ipaddress.IPv4Network(value)
        if not any(network.subnet_of(each) for each in PRIVATE):
            raise ValueError("give a security group (sg-…) or a range within 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16")
    return value


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,23}$")]
Arn = Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:\d{0,12}:.+$")]
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]
Cidr = Annotated[str, StringConstraints(pattern=r"^10\.\d{1,3}\.0\.0/16$"), AfterValidator(_network)]
Client = Annotated[str, AfterValidator(_client)]
# Short enough for what an alarm means to fit beside it, and of characters that the value of a tag may have.
RunbooksUrl = Annotated[
    str, StringConstraints(pattern=r"^https://[a-z0-9][a-z0-9.-]*(:\d{1,5})?(/[A-Za-z0-9._-]+)+$", max_length=150)
]
GroupId = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{10}-)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Region = Annotated[str, StringConstraints(pattern=r"^[^'\"\\\s]([^'\"\\]{0,62}[^'\"\\\s])?$")]
PRIVATE = tuple(ipaddress.IPv4Network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
ZoneId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+-az\d+$")]
