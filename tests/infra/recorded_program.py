"""The whole program without an engine: mocks that answer with plausible ARNs and record every resource."""

import functools
import gc
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pulumi
import yaml
from pulumi.runtime.mocks import MockMonitor

from tests.infra.declared import Declared, Program

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "shopware-lakehouse"
STACKS = ("dev", "prod")
ACCOUNT, REGION = "123456789012", "eu-central-1"
# ARNs that a linter can hold against the actions on them. What is not here is named by its service and name.
ARNS: Mapping[str, str] = {
    "aws:s3/bucket:Bucket": "arn:aws:s3:::{bucket}",
    "aws:kms/key:Key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{{pulumi_name}}",
    "aws:kinesis/stream:Stream": f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{{name}}",
    "aws:kinesis/streamConsumer:StreamConsumer": f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s/consumer/{{name}}:1",
    "aws:kinesis/firehoseDeliveryStream:FirehoseDeliveryStream": (
        f"arn:aws:firehose:{REGION}:{ACCOUNT}:deliverystream/{{name}}"
    ),
    "aws:iam/role:Role": f"arn:aws:iam::{ACCOUNT}:role/{{name}}",
    "aws:cloudwatch/logGroup:LogGroup": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{{name}}",
    "aws:cloudwatch/logStream:LogStream": (
        f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{{logGroupName}}:log-stream:{{name}}"
    ),
    "aws:sns/topic:Topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:{{name}}",
    "aws:sqs/queue:Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{{name}}",
    "aws:emrserverless/application:Application": f"arn:aws:emr-serverless:{REGION}:{ACCOUNT}:/applications/00f1a2b3",
    "aws:glue/job:Job": f"arn:aws:glue:{REGION}:{ACCOUNT}:job/{{name}}",
    "aws:athena/workgroup:Workgroup": f"arn:aws:athena:{REGION}:{ACCOUNT}:workgroup/{{name}}",
    "aws:cloudwatch/eventRule:EventRule": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{{name}}",
    "aws:redshiftserverless/namespace:Namespace": f"arn:aws:redshift-serverless:{REGION}:{ACCOUNT}:namespace/n-1",
    "aws:redshiftserverless/workgroup:Workgroup": f"arn:aws:redshift-serverless:{REGION}:{ACCOUNT}:workgroup/w-1",
    "aws:secretsmanager/secret:Secret": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{{name}}",
}
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": {
        "accountId": ACCOUNT,
        "arn": f"arn:aws:iam::{ACCOUNT}:role/deployer",
        "userId": "AIDA",
    },
    "aws:index/getPartition:getPartition": {"partition": "aws", "dnsSuffix": "amazonaws.com"},
    "aws:kms/getKey:getKey": {"id": "0f0e0d0c"},
    "aws:iam/getSessionContext:getSessionContext": {"issuerArn": f"arn:aws:iam::{ACCOUNT}:role/deployer"},
}


def zones(filters: Sequence[Mapping[str, Any]]) -> Mapping[str, list[str]]:
    """The zones of an account that has a Local Zone on, as the provider sorts them: by name, so that one comes first.
    AWS, "DescribeAvailabilityZones": a filter `zone-type` keeps availability-zone, local-zone or wavelength-zone; ids
    are the same in all accounts, names are not.
    """
    kinds = [kind for each in filters if each["name"] == "zone-type" for kind in each["values"]]
    found = {
        f"{REGION}-ham-1a": ("euc1-ham1-az1", "local-zone"),
        **{
            f"{REGION}{name}": (f"euc1-az{zone}", "availability-zone")
            for name, zone in zip("abc", (2, 3, 1), strict=True)
        },
    }
    kept = {name: zone for name, (zone, kind) in found.items() if not kinds or kind in kinds}
    return {"names": list(kept), "zoneIds": list(kept.values())}


# What AWS adds to a resource, where the program uses it.
MADE: Mapping[str, Mapping[str, Any]] = {
    "aws:ec2/subnet:Subnet": {"availabilityZone": f"{REGION}c"},
    "aws:redshiftserverless/namespace:Namespace": {
        "adminPasswordSecretArn": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:redshift!admin"
    },
    "aws:redshiftserverless/workgroup:Workgroup": {"endpoints": [{"address": "warehouse.example", "port": 5439}]},
}


class Recorder(pulumi.runtime.Mocks):
    """Creates everything at once, and remembers it."""

    def __init__(self) -> None:
        self.resources: list[Declared] = []
        self.outputs: dict[str, Any] = {}
        self.kept: set[tuple[str, str]] = set()
        self.after: dict[tuple[str, str], frozenset[str]] = {}
        self.replaced_by: dict[tuple[str, str], frozenset[str]] = {}
        self.ignored: dict[tuple[str, str], frozenset[str]] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        """The resource with its inputs as outputs, an id and an ARN."""
        found = {"name": args.name, **args.inputs}
        service = args.typ.partition(":")[2].partition("/")[0]
        pattern = ARNS.get(args.typ, f"arn:aws:{service}:{REGION}:{ACCOUNT}:{{pulumi_name}}")
        known = _Known({**found, "pulumi_name": args.name})
        outputs = {"arn": pattern.format_map(known), "keyId": args.name, **MADE.get(args.typ, {}), **found}
        identity = str(found.get("bucket", args.name)) if args.typ == "aws:s3/bucket:Bucket" else f"{args.name}-id"
        key = (args.typ, args.name)
        after, replaced_by = self.after.get(key, frozenset()), self.replaced_by.get(key, frozenset())
        adopted = args.resource_id or ""
        ignored = self.ignored.get(key, frozenset())
        self.resources.append(
            Declared(*key, args.inputs, identity, key in self.kept, adopted, after, replaced_by, ignored)
        )
        return identity, outputs

    def export(self, name: str, value: Any) -> None:
        """Remembers an output of the stack: without an engine nobody asks for any."""
        pulumi.Output.from_input(value).apply(lambda known: self.outputs.update({name: known}))

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        """What AWS would say to a question of the program; nothing where nobody asked before."""
        if args.token == "aws:index/getAvailabilityZones:getAvailabilityZones":
            return {**args.args, **zones(args.args.get("filters") or ())}, []
        return {**args.args, **ANSWERS.get(args.token, {})}, []


class _Monitor(MockMonitor):
    """Lets the recorder know what a resource's options say, which mocks are not told."""

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 (the engine's name)
        """Notes what stays on destroy, what comes first and what makes another one, and registers."""
        recorder = self.mocks
        assert isinstance(recorder, Recorder), "another kind of mocks"
        key = (request.type, request.name)
        if request.retainOnDelete:
            recorder.kept.add(key)
        recorder.after[key] = frozenset(_label(urn) for urn in request.dependencies)
        recorder.replaced_by[key] = frozenset(request.replaceOnChanges)
        recorder.ignored[key] = frozenset(request.ignoreChanges)
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]


def _label(urn: str) -> str:
    """A resource's type and name, as `Declared` is written."""
    *_, types, name = urn.split("::")
    return f"{types.rpartition('$')[2]} {name}"


class _Known(dict[str, Any]):
    """Leaves unknown names as they are."""

    def __missing__(self, key: str) -> str:
        return key


def declaration() -> "Declare":
    """`declare` of `__main__.py`, which cannot be imported by that name here."""
    spec = importlib.util.spec_from_file_location("estate_program", ROOT / "__main__.py")
    assert spec is not None, "no __main__.py"
    assert spec.loader is not None, "no loader"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    declare: Callable[[], None] = module.declare
    return declare


def stack_configuration(stack: str) -> dict[str, str]:
    """What the committed stack sets, as the engine hands it to a program: structures as JSON."""
    content = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())
    given = {key: value for key, value in (content.get("config") or {}).items()}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}


Declare = Callable[[], None]


def _whole(declare: Declare) -> Declare:
    return declare


def recorded(
    stack: str, changed: Callable[[Declare], Declare] = _whole, **sections: Mapping[str, Any] | str
) -> Program:
    """What the program, `changed`, declares for a committed stack; `switches={"warehouse": True}` changes parts of a
    section, a text a whole value. The same question is answered once a run.
    """
    configuration = stack_configuration(stack)
    for name, values in sections.items():
        key = f"{PROJECT}:{name}"
        given = values if isinstance(values, str) else {**json.loads(configuration.get(key, "{}")), **values}
        configuration[key] = given if isinstance(given, str) else json.dumps(given, sort_keys=True)
    return _declared(stack, changed, tuple(sorted(configuration.items())))


@functools.cache
def _declared(stack: str, changed: Callable[[Declare], Declare], configuration: tuple[tuple[str, str], ...]) -> Program:
    recorder = Recorder()
    pulumi.runtime.set_mocks(recorder, project=PROJECT, stack=stack, preview=False, monitor=_Monitor(recorder))
    pulumi.runtime.set_all_config(dict(configuration))
    # Half a million objects come and stay: looking for garbage among them would take a third of the time.
    gc.disable()
    try:
        with patch.object(pulumi, "export", recorder.export):
            pulumi.runtime.test(changed(declaration()))()  # type: ignore[no-untyped-call]
    finally:
        gc.enable()
    return Program(recorder.resources, recorder.outputs)


def with_everything(stack: str) -> Program:
    """A committed stack with every feature switched on, so that no rule passes because there is nothing to look at."""
    return recorded(stack, switches={"warehouse": True, "fan_out": True, "object_lock": True})
