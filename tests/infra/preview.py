"""`make preview`: the plan for a committed stack, without an account. Prints the resource count; a warning fails."""

import collections
import sys
import tempfile
from pathlib import Path

from pulumi.automation import CommandError

from tests.infra.emulated_aws import emulated_aws
from tests.infra.engine import Engine, absent


def main() -> int:
    """Previews the stack named on the command line (`dev` without one) against an empty emulated account."""
    stack = sys.argv[1] if len(sys.argv) > 1 else "dev"
    if (why := absent()) is not None:
        print(f"preview: {why}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder, emulated_aws(Path(folder) / "emulator.log") as endpoint:
        try:
            run = Engine(stack, endpoint, Path(folder)).preview()
        except CommandError as error:
            print(error, file=sys.stderr)
            return 1
    for kind, count in sorted(collections.Counter(name.split()[0] for name in run.operations).items()):
        print(f"{count:5}  {kind}")
    print(f"preview: stack {stack}, {len(run.operations)} resources, {len(run.warnings)} warnings")
    for warning in run.warnings:
        print(f"preview: warning: {warning}", file=sys.stderr)
    return 1 if run.warnings else 0


if __name__ == "__main__":
    sys.exit(main())
