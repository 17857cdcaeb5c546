"""`python -m tests.infra.documents` writes tests/infra/expected/<stack>.json: every document of the estate that says
who may do what, what is kept for how long, what runs and what alarms, so that no change of them goes unseen in review.
"""

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from infra.package import VARIABLE
from tests.infra.conftest import put_package
from tests.infra.declared import POLICY_INPUTS, Program
from tests.infra.recorded_program import STACKS, with_everything

FOLDER = Path(__file__).parent / "expected"
# Resources whose inputs are compared whole; of all others, the IAM documents they hold.
WHOLE = (
    "aws:athena/namedQuery:NamedQuery",
    "aws:athena/workgroup:Workgroup",
    "aws:cloudwatch/eventRule:EventRule",
    "aws:cloudwatch/metricAlarm:MetricAlarm",
    "aws:ec2/securityGroup:SecurityGroup",
    "aws:emrserverless/application:Application",
    "aws:glue/job:Job",
    "aws:glue/trigger:Trigger",
    "aws:kinesis/stream:Stream",
    "aws:kinesis/firehoseDeliveryStream:FirehoseDeliveryStream",
    "aws:lakeformation/dataCellsFilter:DataCellsFilter",
    "aws:lakeformation/dataLakeSettings:DataLakeSettings",
    "aws:lakeformation/optIn:OptIn",
    "aws:lakeformation/permissions:Permissions",
    "aws:lakeformation/resource:Resource",
    "aws:redshiftserverless/usageLimit:UsageLimit",
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    # The streaming jobs.
    "pulumi-python:dynamic:Resource",
)

# Tags have tests of their own; the provider's code is no document.
LEFT_OUT = ("tags", "__provider")


def documents(program: Program) -> dict[str, Any]:
    """Resource -> what must not change unseen: all its inputs, or its IAM documents."""
    found = {}
    for resource in program.resources:
        if resource.type in WHOLE:
            found[str(resource)] = {
                name: _read(value) for name, value in resource.inputs.items() if name not in LEFT_OUT
            }
        elif policies := {name: _read(resource.inputs[name]) for name in POLICY_INPUTS if resource.inputs.get(name)}:
            found[str(resource)] = policies
    return {name: found[name] for name in sorted(found)}


def expected(stack: str) -> dict[str, Any]:
    """What was committed for a stack."""
    content: dict[str, Any] = json.loads((FOLDER / f"{stack}.json").read_text(encoding="utf-8"))
    return content


def text(stack: str) -> str:
    """The file's content for a stack."""
    return json.dumps(documents(with_everything(stack)), indent=1, sort_keys=True) + "\n"


def _read(value: Any) -> Any:
    """JSON texts as what they hold, and names by content without its hash."""
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return _read(json.loads(value))
        except ValueError:
            return value
    if isinstance(value, str):
        return re.sub(r"\b[0-9a-f]{64}\b", "<sha256>", value)
    if isinstance(value, list):
        return [_read(each) for each in value]
    return {name: _read(each) for name, each in value.items()} if isinstance(value, dict) else value


def main() -> None:
    """Writes the files anew: look at the difference before you commit it."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        put_package(Path(folder))
        os.environ[VARIABLE] = folder
        for stack in STACKS:
            (FOLDER / f"{stack}.json").write_text(text(stack), encoding="utf-8")
            print(f"{stack}: {len(expected(stack))} resources", file=sys.stderr)


if __name__ == "__main__":
    main()
