"""The commands of docs/deploy.md that reach AWS, for a shell of a test: `python -m tests.infra.page_commands aws …`.

`pulumi stack output` answers from a file; `aws glue start-job-run` runs the job's script here, with the job's own
arguments, and is through when it ends.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import boto3

OUTPUTS = "PAGE_COMMANDS_OUTPUTS"
GLUE = "from batch.glue import main; main()"
ONE_RUN = "jr_1"


def install(folder: Path, outputs: Mapping[str, object]) -> dict[str, str]:
    """Makes `pulumi`, `aws` and `lakehouse` in a folder, and gives the variables with which they are found."""
    commands = {name: f'-m tests.infra.page_commands {name} "$@"' for name in ("pulumi", "aws")}
    for name, arguments in {**commands, "lakehouse": '-m local "$@"'}.items():
        file = folder / name
        file.write_text(f"#!/bin/sh\nexec {sys.executable} {arguments}\n")
        file.chmod(0o755)
    (folder / "outputs.json").write_text(json.dumps(outputs))
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", OUTPUTS: str(folder / "outputs.json")}


def main(arguments: Sequence[str]) -> int:
    """Answers one command; gives its exit code, 2 for one that is not known here."""
    match list(arguments):
        case ["pulumi", "stack", "output", name, *rest] if rest in ([], ["--json"]):
            value = json.loads(Path(os.environ[OUTPUTS]).read_text())[name]
            print(value if isinstance(value, str) and not rest else json.dumps(value))
            return 0
        case ["aws", "glue", "start-job-run", "--job-name", job, "--query", "JobRunId", "--output", "text"]:
            print(ONE_RUN)
            return _run(job)
        case ["aws", "glue", "get-job-run", "--job-name", _, "--run-id", run, "--query", state, "--output", "text"]:
            assert (run, state) == (ONE_RUN, "JobRun.JobRunState")
            print("SUCCEEDED")
            return 0
    print(f"no such command in this test: {' '.join(arguments)}", file=sys.stderr)
    return 2


def _run(name: str) -> int:
    job = boto3.client("glue", region_name=os.environ["AWS_REGION"]).get_job(JobName=name)["Job"]
    assert job["Command"]["ScriptLocation"].endswith("/glue.py")
    given = job["DefaultArguments"] | {"--lakehouse_platform": "local"}
    command = [sys.executable, "-c", GLUE, *(part for pair in given.items() for part in pair)]
    return subprocess.run(command, stdout=sys.stderr, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
